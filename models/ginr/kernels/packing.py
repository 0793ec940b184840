"""Packs weights for the kernels: vectors padded with zeros, matrices in panels.

Works on NumPy arrays and tensors, see `ginr.array_api`.

Letters: D width, E inner width, S state, M heads, C = E + 2 S packed channels, H hidden width, J taps.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ginr.array_api import Array, as_type, namespace, padded
from ginr.kernels.sizes import COLUMNS, GENERATE, LANES, STATES, TAPS, whole


class Lattices(NamedTuple):
    """The tokens and LPs of a batch of pictures."""

    tokens: Array  # (B, L, D)
    lps: Array  # (B, N, D)


class MixerWeights(NamedTuple):
    """A block's `norm` and `mixer`, for `ginr.kernels.mixer`."""

    scale: Array  # (D,), of the norm
    shift: Array  # (D,)
    weight_in: Array  # (n, D, COLUMNS): packed channels (C), gates (E), steps (M), in panels
    conv_weight: Array  # (2, J, C), the current step first
    conv_bias: Array  # (2, C)
    log_decay: Array  # (2, M)
    step_bias: Array  # (2, M)
    skip: Array  # (2, E), each head's value repeated for its channels
    norm: Array  # (E,)
    weight_out: Array  # (n', E, COLUMNS), in panels


class MixerKept(NamedTuple):
    """What the mixer saves for the backward pass; empty without gradients."""

    sums: Array  # (B W, T, E): the sum of both scans
    starts: Array  # (2, B W, E S T / CHUNK): states of the scans at the start of each chunk


class ScanInputs(NamedTuple):
    """What the scan of Mamba-1 reads, see `ginr.kernels.channel_scan`, or the gradients of it."""

    x: Array  # (B, T, E)
    dt: Array  # (B, T, E)
    a: Array  # (S, E)
    b: Array  # (B, T, S)
    c: Array  # (B, T, S)
    d: Array  # (E,)


class FeedForwardWeights(NamedTuple):
    """A feed-forward with a 3x3 convolution, for `ginr.kernels.feedforward`."""

    scale: Array  # (D,), of the norm
    shift: Array  # (D,)
    kernel: Array  # (SPAN^2, n, D, COLUMNS): the convolution's spectrum, in panels
    kernel_bias: Array  # (H,), H a multiple of LANES
    weight: Array  # (n', H, COLUMNS), in panels
    bias: Array  # (D,)


class LinearWeights(NamedTuple):
    """A linear map for `ginr.kernels.linear`, or one per LP of a square."""

    weight: Array  # (.., n, D, COLUMNS), in panels
    bias: Array  # (.., N)


Weights = Mapping[str, Array]  # the weights of a module, named as in its checkpoint


def in_lanes(packed: Array, n_inner: int, n_state: int) -> Array:
    """Pads packed x, B and C (..., E + 2 S) for the kernels; E is a multiple of LANES.

    B and C are each padded with zeros to a multiple of STATES, and both together to whole vectors.
    """
    n_kept = whole(n_state, STATES)
    if n_kept == n_state and 2 * n_state % LANES == 0:
        return packed
    b, c = (padded(packed[..., k : k + n_state], n_kept) for k in (n_inner, n_inner + n_state))
    join = namespace(packed).concatenate
    return join([packed[..., :n_inner], padded(join([b, c], -1), whole(2 * n_kept))], -1)


def panels(weight: Array) -> Array:
    """(..., K, N) -> (..., n, K, COLUMNS): groups of COLUMNS columns, the last padded with zeros."""
    full = padded(weight, whole(weight.shape[-1], COLUMNS))
    return full.reshape(*full.shape[:-1], -1, COLUMNS).swapaxes(-3, -2)


def transposed(packed: Array) -> Array:
    """Transposes a matrix in panels: (..., n, K, COLUMNS) -> (..., n', n COLUMNS, COLUMNS)."""
    rows = packed.swapaxes(-1, -2)
    return panels(rows.reshape(*rows.shape[:-3], -1, rows.shape[-1]))


def matrix(weight: Array) -> Array:
    """The weight (n_out, n_in, 1, 1) of a linear map as a matrix (n_in, n_out)."""
    return weight[:, :, 0, 0].T


def pack_mixer(weights: Weights, n_state: int) -> MixerWeights:
    """Pack the weights of a block's `norm` and `mixer`."""
    n_head, n_inner = weights["mixer.skip"].shape[1], weights["mixer.norm"].shape[0]
    taps = in_lanes(weights["mixer.conv_weight"], n_inner, n_state)  # (2, J, C)
    ops = namespace(taps)
    taps = ops.flip(taps, (1,))
    taps = padded(taps.swapaxes(1, 2), max(TAPS, taps.shape[1])).swapaxes(1, 2)
    into = [matrix(weights[f"mixer.to_{name}.weight"]) for name in ("packed", "gate", "step")]
    into[0] = in_lanes(into[0], n_inner, n_state)
    skip = weights["mixer.skip"][..., None]  # (2, M, 1)
    return MixerWeights(
        weights["norm.weight"],
        weights["norm.bias"],
        panels(ops.concatenate(into, 1)),
        taps,
        in_lanes(weights["mixer.conv_bias"], n_inner, n_state),
        weights["mixer.log_decay"],
        weights["mixer.step_bias"],
        ops.broadcast_to(skip, (2, n_head, n_inner // n_head)).reshape(2, n_inner),
        weights["mixer.norm"],
        panels(matrix(weights["mixer.out.weight"])),
    )


def pack_feed_forward(weights: Weights) -> FeedForwardWeights:
    """Pack the weights of a feed-forward with a 3x3 convolution."""
    kernel = weights["conv.weight"]  # (H, D, 3, 3)
    n_hidden, width = kernel.shape[:2]
    rows = kernel.reshape(n_hidden, width, -1).swapaxes(0, 2).reshape(9, -1)  # (3 3, D H)
    generate = namespace(kernel).asarray(GENERATE)  # (SPAN^2, 3 3)
    spectrum = as_type(generate @ as_type(rows, "float64"), "float32")
    spectrum = spectrum.reshape(-1, width, n_hidden)
    out = padded(matrix(weights["out.weight"]).T, whole(n_hidden)).T
    return FeedForwardWeights(
        weights["norm.weight"],
        weights["norm.bias"],
        panels(padded(spectrum, whole(n_hidden))),
        padded(weights["conv.bias"], whole(n_hidden)),
        panels(out),
        weights["out.bias"],
    )


def pack_linear(weights: Weights) -> LinearWeights:
    """Pack the weights of a linear map."""
    return LinearWeights(panels(matrix(weights["weight"])), weights["bias"])


def pack_content(weights: Weights, n_square: int) -> LinearWeights:
    """Pack the weights of a content path from a token to its square of LPs."""
    weight, bias = matrix(weights["map.weight"]), weights["map.bias"]
    depth = len(bias) // n_square
    by_lp = weight.reshape(len(weight), n_square, depth).swapaxes(0, 1)
    return LinearWeights(panels(by_lp), bias.reshape(n_square, depth))
