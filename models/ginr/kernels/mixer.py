"""The mixer of a block on the CPU in one pass, one window per task.

The rows of a window are gathered along the curve, normalised, projected, convolved and scanned in both
directions, gated, normalised, projected and added to the lattices; only that sum leaves the cache.

Letters: B batch, W windows, T steps, L tokens, N LPs, D width, E inner width, M heads, S state,
C = E + 2 S packed channels, J taps. D, E and C are multiples of LANES, and S is a multiple of STATES.
Weights are `MixerWeights`; `order` (W, T) indexes tokens, then LPs.
"""

from collections import namedtuple

import numpy as np

from ginr.kernels.activations import clear, constant, exp, layer_norm, silu, softplus
from ginr.kernels.compile import claim_next, fused, inlined
from ginr.kernels.convolution import convolve
from ginr.kernels.product import ROWS, multiply, product, whole_rows
from ginr.kernels.scan import scan_states
from ginr.kernels.simd import broadcast, fma, load, store, total
from ginr.kernels.sizes import COLUMNS, LANES

_Sizes = namedtuple("_Sizes", "n_step n_inner n_packed n_state head_dim wide begin")
_Room = namedtuple("_Room", "normed rows mixed gained decay y work answer")


@inlined
def sizes_of(order, n_state, weights):
    """The sizes of a window's sequence and of its projected rows: packed channels, gates, steps."""
    n_inner, wide = weights.norm.shape[0], weights.weight_in.shape[0] * COLUMNS
    return _Sizes(
        n_step=order.shape[1],
        n_inner=n_inner,
        n_packed=weights.conv_bias.shape[1],
        n_state=n_state,
        head_dim=n_inner // weights.step_bias.shape[1],
        wide=wide,  # numbers in a row, whole panels
        # The index of the first row, and the zeros before it and after the last: the convolution
        # reads them.
        begin=weights.conv_weight.shape[1] * wide,
    )


@inlined
def gather(x, i, order, weights, normed):
    """Layer norm of the tokens and LPs `order` (T,) of picture i, into normed (T, D)."""
    tokens, lps, scale, shift = x.tokens, x.lps, weights.scale, weights.shift
    n_token, depth = tokens.shape[1], tokens.shape[2]
    for t in range(order.shape[0]):
        place = order[t]
        if place < n_token:
            source = (i * n_token + place) * depth
            layer_norm(tokens, source, scale, shift, normed, t * depth, depth)
        else:
            source = (i * lps.shape[1] + place - n_token) * depth
            layer_norm(lps, source, scale, shift, normed, t * depth, depth)


@inlined
def project_in(size, weights, normed, rows):
    """Project `normed` (T, D) into rows, and set the rows behind them to zero."""
    multiply(normed, 0, size.n_step, weights.weight_in, rows, size.begin)
    first = size.begin + size.n_step * size.wide
    clear(rows, first, size.begin + whole_rows(size.n_step) * size.wide)


@inlined
def steps(size, rows, step_bias, log_decay, delta, decay, work):
    """dt = softplus(step + bias) and exp(dt a) (T, E), each head's value repeated for its channels."""
    # A vector may write past its head: the next head overwrites that, and the arrays have spare room.
    n_head, head_dim, wide = step_bias.shape[0], size.head_dim, size.wide
    first = size.begin + size.n_packed + size.n_inner
    for start in range(0, size.n_step, LANES):
        some = min(LANES, size.n_step - start)
        for m in range(n_head):
            for k in range(some):
                work[m, 0, k] = rows[first + (start + k) * wide + m]
            at = m * 2 * LANES
            dt = softplus(load(work, at) + broadcast(step_bias[m]))
            store(work, at, dt)
            store(work, at + LANES, exp(dt * broadcast(-np.exp(log_decay[m]))))
        for k in range(some):
            for m in range(n_head):
                for c in range(0, head_dim, LANES):
                    at = ((start + k) * n_head + m) * head_dim + c
                    store(delta, at, broadcast(work[m, 0, k]))
                    store(decay, at, broadcast(work[m, 1, k]))


@inlined(inline="always")
def _scan(size, weights, direction, room, starts, starts_at):
    # Adds the scan of room.rows in one direction to room.y.
    rows, mixed, gained, decay, y = room.rows, room.mixed, room.gained, room.decay, room.y
    bias, rates, skip = weights.step_bias[direction], weights.log_decay[direction], weights.skip[direction]  # fmt: skip
    steps(size, rows, bias, rates, gained, decay, room.work)
    reverse = direction == 1
    convolve(size, rows, weights.conv_weight[direction], weights.conv_bias[direction], reverse, mixed)  # fmt: skip
    for t in range(size.n_step):
        for c in range(0, size.n_inner, LANES):
            x, at = load(mixed, t * size.n_packed + c), t * size.n_inner + c
            store(y, at, fma(x, load(skip, c), load(y, at)))
            store(gained, at, x * load(gained, at))
    scan_states(size, mixed, gained, decay, reverse, y, starts, starts_at)


@inlined
def _gate(size, norm, room):
    # room.normed (T, E) = RMS norm of the gated mean of both scans.
    rows, y, normed = room.rows, room.y, room.normed
    for t in range(size.n_step):
        square = constant(0.0)
        for c in range(0, size.n_inner, LANES):
            gate = load(rows, size.begin + t * size.wide + size.n_packed + c)
            level = load(y, t * size.n_inner + c) * silu(gate) * constant(0.5)
            store(normed, t * size.n_inner + c, level)
            square = fma(level, level, square)
        mean = total(square) / np.float32(size.n_inner)
        factor = np.float32(1) / np.sqrt(mean + np.float32(1e-5))
        for c in range(0, size.n_inner, LANES):
            at = t * size.n_inner + c
            store(normed, at, load(normed, at) * broadcast(factor) * load(norm, c))


@inlined
def _scatter(x, i, order, weight, room, out):
    # out = x + the projection of room.normed, at the tokens and LPs `order` (T,) of picture i.
    tokens, lps, out_tokens, out_lps = x.tokens, x.lps, out.tokens, out.lps
    n_token, n_lp, depth = tokens.shape[1], lps.shape[1], tokens.shape[2]
    n_step, n_inner, normed, answer = order.shape[0], weight.shape[1], room.normed, room.answer
    for t in range(0, n_step, ROWS):
        for panel in range(weight.shape[0]):
            begin = panel * COLUMNS
            product(normed, t * n_inner, n_inner, weight, begin * n_inner, answer, 0, COLUMNS)
            for r in range(min(ROWS, n_step - t)):
                place = order[t + r]
                for c in range(0, min(COLUMNS, depth - begin), LANES):
                    value = load(answer, r * COLUMNS + c)
                    if place < n_token:
                        at = (i * n_token + place) * depth + begin + c
                        store(out_tokens, at, load(tokens, at) + value)
                    else:
                        at = (i * n_lp + place - n_token) * depth + begin + c
                        store(out_lps, at, load(lps, at) + value)


@fused
def mix(claim, x, order, n_state, weights, kept, out):
    """out = x + mixer(norm(x)) for `Lattices` of tokens (B, L, D) and lps (B, N, D).

    Unless they are empty, kept.sums (B W, T, E) receives the sum of both scans, and kept.starts
    (2, B W, E S T / CHUNK) the states of the scans at the start of each chunk.
    """
    size, n_window = sizes_of(order, n_state, weights), order.shape[0]
    n_row, n_number = whole_rows(size.n_step), size.n_step * size.n_inner
    room = _Room(
        normed=np.empty(n_row * max(x.tokens.shape[2], size.n_inner), np.float32),  # (T, D or E)
        rows=np.zeros(n_row * size.wide + 2 * size.begin, np.float32),  # the projected rows
        mixed=np.empty(size.n_step * size.n_packed, np.float32),
        gained=np.empty(n_number + LANES, np.float32),
        decay=np.empty(n_number + LANES, np.float32),
        y=np.empty(n_number, np.float32),
        work=np.zeros((weights.step_bias.shape[1], 2, LANES), np.float32),
        answer=np.empty(ROWS * COLUMNS, np.float32),
    )
    sums, starts, y = kept.sums, kept.starts, room.y
    n_task = x.tokens.shape[0] * n_window
    task = claim_next(claim)
    while task < n_task:
        i, places = task // n_window, order[task % n_window]
        gather(x, i, places, weights, room.normed)
        project_in(size, weights, room.normed, room.rows)
        clear(y, 0, n_number)
        for direction in range(2):
            starts_at = (direction * n_task + task) * starts.shape[2]
            _scan(size, weights, direction, room, starts, starts_at)
        if sums.size:
            for k in range(0, n_number, LANES):
                store(sums, task * n_number + k, load(y, k))
        _gate(size, weights.norm, room)
        _scatter(x, i, places, weights.weight_out, room, out)
        task = claim_next(claim)
