"""Reorders lattices to sequences and back, as planned by `ginr.architecture.tokens`.

Letters: B batch, W windows, T = L + N steps, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import lattice_of_bank, picture_plan, step_places
from ginr.device import sent


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # cached for later calls, which may need gradients
def bank_index(config: GinrConfig, device: torch.device) -> Tensor:
    """The vector of the bank at each place of a window's lattice (n, n); (N,) without a lattice."""
    return sent(torch.from_numpy(lattice_of_bank(config)), device)


def spread(config: GinrConfig, rows: Tensor, lattice: tuple[int, int]) -> Tensor:
    """rows (C, F), one for each vector of the bank, at every LP of a picture: (1, h', w', F).

    `lattice` is h', w'; without a lattice of LPs W, N.
    """
    index = bank_index(config, rows.device)
    return repeated(rows.index_select(0, index.flatten()).unflatten(0, index.shape), lattice)


def repeated(rows: Tensor, lattice: Sequence[int]) -> Tensor:
    """rows (n, n, F) or (N, F) of a window in every window, (1, h', w', F) or (1, W, N, F)."""
    if rows.ndim == 2:
        return rows.expand(1, lattice[0], -1, -1)
    return rows.repeat(lattice[0] // len(rows), lattice[1] // len(rows), 1)[None]


@dataclass(frozen=True)
class SequenceLayout:
    """The permutation of all tokens and LPs of a picture into sequences, one per window.

    Tokens are a lattice (B, h, w, D); LPs are a lattice too, or (B, W, N, D).
    """

    n_window: int
    n_token: int
    token_shape: tuple[int, int]
    lp_shape: tuple[int, int]
    order: Tensor  # (W T,): indices into the tokens in raster order, followed by the LPs
    inverse: Tensor  # (W T,): the position in the sequences of every token, then of every LP
    positions: Tensor  # (T, 2): where each step of a sequence stands in its window, in tokens

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


@lru_cache(maxsize=16)  # up to 80 MB of GPU memory each, for large tiles
@torch.inference_mode(False)  # cached for later calls, which may need gradients
def sequence_layout(
    config: GinrConfig, height: int, width: int, transposed: bool, device: torch.device
) -> SequenceLayout:
    """The layout of a picture of height x width pixels, both multiples of the window."""
    plan = picture_plan(config, height, width, transposed)
    order = sent(torch.from_numpy(plan.order), device)
    inverse = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=device))
    n_token = plan.token_shape[0] * plan.token_shape[1]
    positions = sent(torch.from_numpy(step_places(config, transposed)).float(), device)
    return SequenceLayout(
        plan.n_window, n_token, plan.token_shape, plan.lp_shape, order, inverse, positions
    )


class _Permute(torch.autograd.Function):
    """Permutes rows; the gradient is a permutation too, where torch would accumulate."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return rows.index_select(1, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grad.index_select(1, inverse), None, None


def _permute(rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    if not (torch.is_grad_enabled() and rows.requires_grad):  # exporters know no own functions
        return rows.index_select(1, order)
    permuted: Tensor = _Permute.apply(rows, order, inverse)  # type: ignore[no-untyped-call]
    return permuted
