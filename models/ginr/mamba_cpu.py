"""The encoder's blocks on the CPU without gradients: one compiled pass each, weights packed for it.

The weights are packed anew in every call, under a millisecond for all blocks: nothing can be stale.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ginr.scan import CHUNK, LANES, STATES, default_backend, in_lanes, whole

if TYPE_CHECKING:
    from ginr.mamba import BiMamba, ContentPath, FeedForward, Pointwise
    from ginr.tokens import SequenceLayout


def can_run(module: nn.Module, *lattices: Tensor, inner: int = LANES) -> bool:
    """Whether a compiled pass can stand in for the module's own `forward`, of `inner` width."""
    return (
        not torch.is_autocast_enabled("cpu")
        and all(x.device.type == "cpu" and x.dtype == torch.float32 for x in lattices)
        and all(n % LANES == 0 for n in (inner, *(x.shape[-1] for x in lattices)))
        and all(p.dtype == torch.float32 for p in module.parameters())
        and default_backend(lattices[0].device) == "numba"
    )


def _learns(*inputs: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in inputs)


def mix(
    norm: nn.LayerNorm, mixer: "BiMamba", tokens: Tensor, lps: Tensor, layout: "SequenceLayout"
) -> tuple[Tensor, Tensor]:
    """`tokens` and `lps` with what the mixer adds to each."""
    n_inner, n_state = mixer.norm.numel(), mixer.n_state
    least: int = import_module("ginr.mixer_numba").TAPS
    taps = in_lanes(mixer.conv_weight, n_inner, n_state).flip(1)
    packed_in = in_lanes(_matrix(mixer.to_packed), n_inner, n_state)
    weight_in = torch.cat([packed_in, _matrix(mixer.to_gate), _matrix(mixer.to_step)], 1)
    packed = (
        norm.weight,
        norm.bias,
        _panels(weight_in),
        F.pad(taps, (0, 0, 0, max(0, least - taps.shape[1]))),
        in_lanes(mixer.conv_bias, n_inner, n_state),
        mixer.log_decay,
        mixer.step_bias,
        mixer.skip.repeat_interleave(n_inner // mixer.skip.shape[1], 1),
        mixer.norm,
        _panels(_matrix(mixer.out)),
    )
    learning = _learns(tokens, lps, *packed)
    out: tuple[Tensor, Tensor] = _Mix.apply(  # type: ignore[no-untyped-call]
        learning, layout, whole(n_state, STATES), tokens, lps, *packed
    )
    return out


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        learning: bool,
        layout: "SequenceLayout",
        n_state: int,
        tokens: Tensor,
        lps: Tensor,
        *packed: Tensor,
    ) -> tuple[Tensor, Tensor]:
        tokens, lps = tokens.contiguous(), lps.contiguous()
        n_sequence, n_inner = len(tokens) * layout.n_window, packed[8].numel()
        n_step = len(layout.order) // layout.n_window
        n_start = -(-n_step // CHUNK) * n_inner * n_state
        kept = _empty((n_sequence, n_step, n_inner) if learning else (0, 0, 0))
        starts = _empty((2, n_sequence, n_start) if learning else (0, 0, 0))
        out = _empty(tokens.shape), _empty(lps.shape)
        lattices = [v.flatten(1, 2) for v in (tokens, lps, *out)]
        import_module("ginr.mixer_numba").mix(
            *_arrays(*lattices[:2], layout.order),
            layout.n_window,
            *_arrays(*packed[:3]),
            n_state,
            *_arrays(*packed[3:], kept, starts, *lattices[2:]),
        )
        ctx.layout, ctx.n_state = layout, n_state
        ctx.save_for_backward(tokens, lps, kept, starts, *packed)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *coming: Tensor) -> tuple[Tensor | None, ...]:
        tokens, lps, kept, starts, *packed = ctx.saved_tensors
        given = _empty(tokens.shape), _empty(lps.shape)
        grads = [_empty((len(kept), *p.shape)) for p in packed]
        lattices = [v.flatten(1, 2) for v in (tokens, lps, *coming, *given)]
        import_module("ginr.mixer_backward_numba").mix_backward(
            *_arrays(*lattices[:2], ctx.layout.order),
            ctx.layout.n_window,
            *_arrays(*packed[:3], _turned(packed[2])),
            ctx.n_state,
            *_arrays(*packed[3:9], _turned(packed[9]), kept, starts, *lattices[2:], *grads),
        )
        return None, None, None, *given, *(g.sum(0) for g in grads)


def feed_forward(module: "FeedForward", x: Tensor) -> Tensor:
    """What `module` makes of x (B, h, w, D), its convolution 3x3."""
    n_hidden = whole(module.conv.weight.shape[0])
    kernel = module.conv.weight.permute(2, 3, 1, 0).flatten(0, 1)  # (3 3, D, H)
    generate = torch.from_numpy(import_module("ginr.winograd_numba").GENERATE)  # (SPAN^2, 3 3)
    spectrum = (generate @ kernel.flatten(1).double()).float().view(-1, *kernel.shape[1:])
    packed = (
        module.norm.weight,
        module.norm.bias,
        _panels(_padded(spectrum, n_hidden)),
        _padded(module.conv.bias, n_hidden),
        _panels(_padded(_matrix(module.out).t(), n_hidden).t()),
        _bias(module.out),
    )
    out: Tensor = _FeedForward.apply(_learns(x, *packed), x, *packed)  # type: ignore[no-untyped-call]
    return out


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, learning: bool, x: Tensor, *packed: Tensor) -> Tensor:
        scale, shift, spectrum, kernel_bias, weight, bias = packed
        kept = _empty((*x.shape[:3], len(kernel_bias)) if learning else (0, 0, 0, 0))
        x, out = x.contiguous(), _empty(x.shape)
        import_module("ginr.feedforward_numba").feed_forward(
            *_arrays(x, scale, shift, spectrum, kernel_bias, weight, bias, kept, out)
        )
        ctx.shapes = [p.shape for p in packed]
        ctx.save_for_backward(x, scale, shift, spectrum, weight, kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, spectrum, weight, kept = ctx.saved_tensors
        grad_x = _empty(x.shape)
        grads = [_empty((len(x), *shape)) for shape in ctx.shapes]
        import_module("ginr.feedforward_backward_numba").feed_forward_backward(
            *_arrays(
                x, scale, shift, _turned(spectrum), _turned(weight), kept, grad, grad_x, *grads
            )
        )
        return None, grad_x, *(g.sum(0) for g in grads)


def add_content(module: "ContentPath", tokens: Tensor, lps: Tensor) -> Tensor:
    """`lps` with what `module` makes of the tokens, each covering a square of LPs."""
    n_square, depth = module.up**2, tokens.shape[-1]
    weight = _matrix(module.map).unflatten(1, (n_square, depth)).transpose(0, 1)
    packed = _panels(weight), _bias(module.map).unflatten(0, (n_square, depth))
    out: Tensor = _AddContent.apply(tokens, lps, *packed)  # type: ignore[no-untyped-call]
    return out


class _AddContent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, lps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out = _empty(lps.shape)
        kernels = import_module("ginr.feedforward_numba")
        kernels.add_content(*_arrays(tokens, weight, bias, lps, out))
        ctx.save_for_backward(tokens, weight, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        tokens, weight, bias = ctx.saved_tensors
        given = _empty(tokens.shape)
        grads = [_empty((len(tokens), *p.shape)) for p in (weight, bias)]
        import_module("ginr.feedforward_backward_numba").add_content_backward(
            *_arrays(tokens, _turned(weight), grad, given, *grads)
        )
        return given, grad, *(g.sum(0) for g in grads)


def map_rows(layer: "Pointwise", x: Tensor) -> Tensor:
    """What `layer` makes of x (..., n_in): (..., n_out)."""
    packed = _panels(_matrix(layer)), _bias(layer)
    out: Tensor = _MapRows.apply(x, layer.weight, *packed)  # type: ignore[no-untyped-call]
    return out


class _MapRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, panels: Tensor, bias: Tensor) -> Tensor:
        out = _empty((*x.shape[:-1], len(bias)))
        rows = [v.flatten(0, -2) for v in (x, out)]
        arrays = _arrays(rows[0], panels, bias, rows[1])
        import_module("ginr.feedforward_numba").map_rows(*arrays)
        ctx.save_for_backward(x, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows, grads = x.flatten(0, -2), grad.flatten(0, -2)
        given = (grads @ weight[:, :, 0, 0]).view_as(x)
        return given, (grads.t() @ rows).view_as(weight), None, grads.sum(0)


def _matrix(layer: "Pointwise") -> Tensor:
    return layer.weight[:, :, 0, 0].t()  # (n_in, n_out)


def _bias(layer: "Pointwise") -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _empty(shape: Sequence[int]) -> Tensor:
    # NumPy asks the system for large pages, which saves a tenth of the encoder's time on Linux.
    return torch.from_numpy(np.empty(shape, np.float32))


def _padded(x: Tensor, n: int) -> Tensor:
    return x if n == x.shape[-1] else F.pad(x, (0, n - x.shape[-1]))


def _panels(weight: Tensor) -> Tensor:
    """(..., K, N) -> (..., n, K, COLUMNS): groups of columns one after another, the last padded."""
    columns: int = import_module("ginr.simd_numba").COLUMNS
    padded = _padded(weight, -(-weight.shape[-1] // columns) * columns)
    return padded.reshape(*padded.shape[:-1], -1, columns).transpose(-3, -2)


def _turned(panels: Tensor) -> Tensor:
    """The panels (..., n, K, COLUMNS) of a map as those of its transpose, (..., n', n COLUMNS, COLUMNS)."""
    return _panels(panels.transpose(-1, -2).flatten(-3, -2))


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
