"""The plans of `ginr.architecture.tokens` as indices on a device: lattices to sequences and back, with gradients.

Letters: B batch, W windows, T = L + N steps, D width.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import picture_plan, window_plan
from ginr.device import sent


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # kept for later calls, which may be training
def lp_order(config: GinrConfig, device: torch.device) -> Tensor:
    """Which LP of the sequence stands at each place of a window's lattice of LPs, row by row: (N,)."""
    return sent(torch.from_numpy(window_plan(config).lp_curves[0].argsort()), device)


@dataclass(frozen=True)
class SequenceLayout:
    """The windows of one picture as one index: how (rows of tokens, rows of LPs) become sequences.

    Tokens are kept as a lattice (B, h, w, D), LPs as a lattice too (or as windows x N without
    one); a block reads them as B W sequences of length T and writes the answers back in place.
    """

    n_window: int
    n_token: int
    token_shape: tuple[int, int]
    lp_shape: tuple[int, int]
    order: Tensor
    """(W T,) indices into the rows of tokens, then of LPs."""
    inverse: Tensor
    """(W T,) the place of every row in the sequences."""

    def interleave(self, tokens: Tensor, lps: Tensor) -> Tensor:
        """tokens (B, h, w, D) and lps (B, h', w', D) as sequences (B W, T, D)."""
        rows = torch.cat([tokens.flatten(1, 2), lps.flatten(1, 2)], dim=1)
        rows = _permute(rows, self.order, self.inverse)
        sequence: Tensor = rows.unflatten(1, (self.n_window, -1))
        return sequence.flatten(0, 1)

    def split(self, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Sequences (B W, T, D) as tokens (B, h, w, D) and lps (B, h', w', D)."""
        rows = sequence.unflatten(0, (-1, self.n_window)).flatten(1, 2)
        rows = _permute(rows, self.inverse, self.order)
        tokens, lps = rows[:, : self.n_token], rows[:, self.n_token :]
        return tokens.unflatten(1, self.token_shape), lps.unflatten(1, self.lp_shape)


@lru_cache(maxsize=16)  # of large tiles each takes some 80 MB of a GPU
@torch.inference_mode(False)  # kept for later calls, which may be training
def sequence_layout(
    config: GinrConfig, height: int, width: int, transposed: bool, device: torch.device
) -> SequenceLayout:
    """The layout of a picture of height x width pixels, whole windows."""
    plan = picture_plan(config, height, width, transposed)
    order = sent(torch.from_numpy(plan.order), device)
    inverse = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=device))
    n_token = plan.token_shape[0] * plan.token_shape[1]
    return SequenceLayout(plan.n_window, n_token, plan.token_shape, plan.lp_shape, order, inverse)


class _Permute(torch.autograd.Function):
    """Rows in another order; the gradient is the inverse order, a copy where torch would add."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return rows.index_select(1, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grad.index_select(1, inverse), None, None


def _permute(rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    permuted: Tensor = _Permute.apply(rows, order, inverse)  # type: ignore[no-untyped-call]
    return permuted
