"""The encoder's blocks on the CPU without gradients: one compiled pass each, weights packed for it.

The weights are packed anew in every call, under a millisecond for all blocks: nothing can be stale.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ginr.scan import LANES, STATES, default_backend, in_lanes, whole

if TYPE_CHECKING:
    from ginr.mamba import BiMamba, ContentPath, FeedForward, Pointwise
    from ginr.tokens import SequenceLayout


def can_run(module: nn.Module, *lattices: Tensor, inner: int = LANES) -> bool:
    """Whether a compiled pass can stand in for the module's own `forward`, of `inner` width."""
    learning = torch.is_grad_enabled() and (
        any(x.requires_grad for x in lattices) or any(p.requires_grad for p in module.parameters())
    )
    return (
        not learning
        and not torch.is_autocast_enabled("cpu")
        and all(x.device.type == "cpu" and x.dtype == torch.float32 for x in lattices)
        and all(n % LANES == 0 for n in (inner, *(x.shape[-1] for x in lattices)))
        and all(p.dtype == torch.float32 for p in module.parameters())
        and default_backend(lattices[0].device) == "numba"
    )


def mix(
    norm: nn.LayerNorm, mixer: "BiMamba", tokens: Tensor, lps: Tensor, layout: "SequenceLayout"
) -> tuple[Tensor, Tensor]:
    """`tokens` and `lps` with what the mixer adds to each."""
    n_inner = mixer.norm.numel()
    kernels = import_module("ginr.mixer_numba")
    n_state = whole(mixer.n_state, STATES)
    taps = in_lanes(mixer.conv_weight, n_inner, mixer.n_state).flip(1)
    weight_in = torch.cat(
        [
            in_lanes(_matrix(mixer.to_packed), n_inner, mixer.n_state),
            _matrix(mixer.to_gate),
            _matrix(mixer.to_step),
        ],
        1,
    )
    tokens, lps = tokens.contiguous(), lps.contiguous()
    out = _empty(tokens.shape), _empty(lps.shape)
    kernels.mix(
        *_arrays(tokens.flatten(1, 2), lps.flatten(1, 2), layout.order),
        layout.n_window,
        *_arrays(norm.weight, norm.bias, _panels(weight_in)),
        n_state,
        *_arrays(
            F.pad(taps, (0, 0, 0, max(0, kernels.TAPS - taps.shape[1]))),
            in_lanes(mixer.conv_bias, n_inner, mixer.n_state),
            mixer.log_decay,
            mixer.step_bias,
            mixer.skip.repeat_interleave(n_inner // mixer.skip.shape[1], 1),
            mixer.norm,
            _panels(_matrix(mixer.out)),
            *(v.flatten(1, 2) for v in out),
        ),
    )
    return out


def feed_forward(module: "FeedForward", x: Tensor) -> Tensor:
    """What `module` makes of x (B, h, w, D), its convolution 3x3."""
    kernels = import_module("ginr.feedforward_numba")
    generate = torch.from_numpy(kernels.GENERATE)  # (f, 3)
    weight = module.conv.weight.double().permute(2, 3, 1, 0)  # (3, 3, D, H)
    weight = torch.einsum("fy,gx,yxio->fgio", generate, generate, weight).flatten(0, 1).float()
    n_hidden = whole(weight.shape[-1])
    weight_out = F.pad(_matrix(module.out), (0, 0, 0, n_hidden - weight.shape[-1]))
    x = x.contiguous()
    out = _empty(x.shape)
    kernels.feed_forward(
        *_arrays(
            x,
            module.norm.weight,
            module.norm.bias,
            _panels(weight),
            _padded(module.conv.bias, n_hidden),
            _panels(weight_out),
            _bias(module.out),
            out,
        )
    )
    return out


def add_content(module: "ContentPath", tokens: Tensor, lps: Tensor) -> Tensor:
    """`lps` with what `module` makes of the tokens, each covering a square of LPs."""
    n_square, depth = module.up**2, tokens.shape[-1]
    weight = _matrix(module.map).unflatten(1, (n_square, depth)).transpose(0, 1)
    out = _empty(lps.shape)
    import_module("ginr.feedforward_numba").add_content(
        *_arrays(
            tokens, _panels(weight), _bias(module.map).unflatten(0, (n_square, depth)), lps, out
        )
    )
    return out


def _matrix(layer: "Pointwise") -> Tensor:
    return layer.weight[:, :, 0, 0].t()  # (n_in, n_out)


def _bias(layer: "Pointwise") -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _empty(shape: torch.Size) -> Tensor:
    # NumPy asks the system for large pages, which saves a tenth of the encoder's time on Linux.
    return torch.from_numpy(np.empty(shape, np.float32))


def _padded(x: Tensor, n: int) -> Tensor:
    return F.pad(x, (0, n - x.shape[-1]))


def _panels(weight: Tensor) -> Tensor:
    """(..., K, N) -> (..., n, K, COLUMNS): groups of columns one after another, the last padded."""
    columns: int = import_module("ginr.simd_numba").COLUMNS
    padded = _padded(weight, -(-weight.shape[-1] // columns) * columns)
    return padded.reshape(*padded.shape[:-1], -1, columns).transpose(-3, -2)


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
