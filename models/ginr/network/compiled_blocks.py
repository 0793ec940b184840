"""The encoder's blocks as differentiable kernels on the CPU, see `ginr.network.compiled`.

Weights are packed in every call, so that they are never stale; for all blocks this takes under 1 ms.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ginr.architecture.folding import content_map, scaled_channels
from ginr.kernels.available import default_backend
from ginr.kernels.packing import (
    FeedForwardWeights,
    Lattices,
    LinearWeights,
    MixerKept,
    MixerWeights,
    pack_content,
    pack_feed_forward,
    pack_linear,
    pack_mixer,
    transposed,
)
from ginr.kernels.sizes import CHUNK, STATES, whole
from ginr.network.blocks import Block, ContentPath, FeedForward
from ginr.network.layers import Pointwise
from ginr.network.mamba2 import Mamba2
from ginr.network.sequences import SequenceLayout


class CompiledBlock(Block):
    """A block whose mixer, including gather and residual, is one kernel if it is Mamba-2."""

    def mix(self, tokens: Tensor, lps: Tensor, layout: SequenceLayout) -> tuple[Tensor, Tensor]:
        if (
            self.norm is not None
            and isinstance(self.mixer, Mamba2)
            and not self.raw
            and can_run(self.mixer, tokens, lps)
        ):
            return mix(self.norm, self.mixer, tokens, lps, layout)
        return super().mix(tokens, lps, layout)


class CompiledFeedForward(FeedForward):
    """A feed-forward as one kernel, if its convolution is 3x3."""

    def forward(self, x: Tensor, bank: Tensor) -> Tensor:
        if self.conv.weight.shape[-1] == 3 and can_run(self, x):
            return feed_forward(self, x, bank)
        return super().forward(x, bank)


class CompiledContentPath(ContentPath):
    """A content path as one kernel, if each token covers one LP or a square of LPs."""

    def onto(self, lps: Tensor, tokens: Tensor, bank: Tensor) -> Tensor:
        if self.by_place and self.down == 1 and can_run(self, tokens, lps):
            return add_content(self, tokens, lps, bank)
        return super().onto(lps, tokens, bank)


def can_run(module: nn.Module, *lattices: Tensor) -> bool:
    """Whether a kernel can compute the module's `forward`."""
    return (
        not torch.is_autocast_enabled("cpu")
        and all(x.device.type == "cpu" and x.dtype == torch.float32 for x in lattices)
        and all(p.dtype == torch.float32 for p in module.parameters())
        and default_backend(lattices[0].device) == "numba"
    )


def _learns(*inputs: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in inputs)


def mix(
    norm: nn.LayerNorm, mixer: Mamba2, tokens: Tensor, lps: Tensor, layout: SequenceLayout
) -> tuple[Tensor, Tensor]:
    """`tokens` and `lps`, each plus the mixer's output."""
    n_state = mixer.n_state
    weights = {f"norm.{name}": w for name, w in norm.named_parameters()}
    weights |= {f"mixer.{name}": w for name, w in mixer.named_parameters()}
    packed = pack_mixer(weights, n_state)
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
        layout: SequenceLayout,
        n_state: int,
        tokens: Tensor,
        lps: Tensor,
        *packed: Tensor,
    ) -> tuple[Tensor, Tensor]:
        tokens, lps = tokens.contiguous(), lps.contiguous()
        order = layout.order.view(layout.n_window, -1).numpy()
        n_sequence, n_step = len(tokens) * layout.n_window, order.shape[1]
        n_inner = MixerWeights(*packed).norm.numel()
        n_start = -(-n_step // CHUNK) * n_inner * n_state
        kept = _empty((n_sequence, n_step, n_inner) if learning else (0, 0, 0))
        starts = _empty((2, n_sequence, n_start) if learning else (0, 0, 0))
        out = _empty(tokens.shape), _empty(lps.shape)
        weights = MixerWeights(*_arrays(*packed))
        both, given = _lattices(tokens, lps), _lattices(*out)
        mix = import_module("ginr.kernels.mixer").mix
        mix(both, order, n_state, weights, MixerKept(*_arrays(kept, starts)), given)
        ctx.order, ctx.n_state = order, n_state
        ctx.save_for_backward(tokens, lps, kept, starts, *packed)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *coming: Tensor) -> tuple[Tensor | None, ...]:
        tokens, lps, kept, starts, *packed = ctx.saved_tensors
        given = _empty(tokens.shape), _empty(lps.shape)
        grads = [_empty((len(kept), *p.shape)) for p in packed]
        weights = MixerWeights(*packed)
        (back_in,) = _arrays(transposed(weights.weight_in))
        weights = weights._replace(weight_out=transposed(weights.weight_out))
        import_module("ginr.kernels.mixer_backward").mix_backward(
            _lattices(tokens, lps),
            ctx.order,
            ctx.n_state,
            MixerWeights(*_arrays(*weights)),
            back_in,
            MixerKept(*_arrays(kept, starts)),
            _lattices(*coming),
            _lattices(*given),
            MixerWeights(*_arrays(*grads)),
        )
        return None, None, None, *given, *(g.sum(0) for g in grads)


def feed_forward(module: FeedForward, x: Tensor, bank: Tensor) -> Tensor:
    """`module.forward` for x (B, h, w, D), if its convolution is 3x3."""
    packed = pack_feed_forward(scaled_channels(dict(module.named_parameters()), bank))
    out: Tensor = _FeedForward.apply(_learns(x, *packed), x, *packed)  # type: ignore[no-untyped-call]
    return out


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, learning: bool, x: Tensor, *packed: Tensor) -> Tensor:
        weights = FeedForwardWeights(*_arrays(*packed))
        kept = _empty((*x.shape[:3], len(weights.kernel_bias)) if learning else (0, 0, 0, 0))
        x, out = x.contiguous(), _empty(x.shape)
        source, keep, given = _arrays(x, kept, out)
        import_module("ginr.kernels.feedforward").feed_forward(source, weights, keep, given)
        ctx.save_for_backward(x, kept, *packed)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, *packed = ctx.saved_tensors
        weights, grad_x = FeedForwardWeights(*packed), _empty(x.shape)
        back = weights._replace(
            kernel=transposed(weights.kernel), weight=transposed(weights.weight)
        )
        grads = [_empty((len(x), *p.shape)) for p in packed]
        source, keep, coming, given = _arrays(x, kept, grad, grad_x)
        import_module("ginr.kernels.feedforward_backward").feed_forward_backward(
            source, FeedForwardWeights(*_arrays(*back)), keep, coming, given,
            FeedForwardWeights(*_arrays(*grads)),
        )  # fmt: skip
        return None, grad_x, *(g.sum(0) for g in grads)


def add_content(module: ContentPath, tokens: Tensor, lps: Tensor, bank: Tensor) -> Tensor:
    """`module.onto`, if each token covers a square of LPs."""
    packed = pack_content(content_map(dict(module.named_parameters()), bank), module.up**2)
    out: Tensor = _AddContent.apply(tokens, lps, *packed)  # type: ignore[no-untyped-call]
    return out


class _AddContent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, lps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out = _empty(lps.shape)
        weights = LinearWeights(*_arrays(weight, bias))
        source, start, given = _arrays(tokens, lps, out)
        import_module("ginr.kernels.linear").add_content(source, weights, start, given)
        ctx.save_for_backward(tokens, weight, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        tokens, weight, bias = ctx.saved_tensors
        given = _empty(tokens.shape)
        grads = [_empty((len(tokens), *p.shape)) for p in (weight, bias)]
        import_module("ginr.kernels.linear").add_content_backward(
            *_arrays(tokens, transposed(weight), grad, given), LinearWeights(*_arrays(*grads))
        )
        return given, grad, *(g.sum(0) for g in grads)


def map_rows(layer: Pointwise, x: Tensor) -> Tensor:
    """`layer.forward`: x (..., n_in) -> (..., n_out)."""
    assert layer.bias is not None
    packed = pack_linear(dict(layer.named_parameters()))
    out: Tensor = _MapRows.apply(x, layer.weight, *packed)  # type: ignore[no-untyped-call]
    return out


class _MapRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, panels: Tensor, bias: Tensor) -> Tensor:
        out = _empty((*x.shape[:-1], len(bias)))
        rows = [v.flatten(0, -2) for v in (x, out)]
        source, weights, bias_of, given = _arrays(rows[0], panels, bias, rows[1])
        import_module("ginr.kernels.linear").map_rows(
            source, LinearWeights(weights, bias_of), given
        )
        ctx.save_for_backward(x, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows, grads = x.flatten(0, -2), grad.flatten(0, -2)
        given = (grads @ weight[:, :, 0, 0]).view_as(x)
        return given, (grads.t() @ rows).view_as(weight), None, grads.sum(0)


def _empty(shape: Sequence[int]) -> Tensor:
    # NumPy requests huge pages, which saves a tenth of the encoder's time on Linux.
    return torch.from_numpy(np.empty(shape, np.float32))


def _lattices(tokens: Tensor, lps: Tensor) -> Lattices:
    """Lattices (B, h, w, D) with h and w flattened."""
    return Lattices(*_arrays(tokens.flatten(1, 2), lps.flatten(1, 2)))


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
