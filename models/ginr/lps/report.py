"""The learnable position tokens (LPs) of a checkpoint in numbers: norms, similarity, places.

Letters: N vectors (LPs), D width.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import window_plan
from ginr.errors import GinrError
from ginr.lps.measures import diversity, diversity_off_diagonal, effective_rank, similarity

if TYPE_CHECKING:
    from ginr.checkpoints.checkpoint import Checkpoint

HEALTHY_DIVERSITY = 0.5
"""At or below it the LPs are nearly parallel and carry little more than one vector."""

HEALTHY_RANK = 0.25
"""Effective rank over its maximum, min(N, D): below it most of the width is unused."""

N_NEAREST = 5  # most similar pairs in a report

_CELLS = 1 << 22  # entries of the similarity matrix computed at a time


@dataclass(frozen=True)
class Pair:
    """Two LPs, by their index in the sequence, and their cosine similarity."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True)
class Explained:
    """Shares of the variance of the LPs that their places explain."""

    row: float  # by the row on the window's lattice of LPs alone
    column: float
    row_and_column: float  # by the sum of a vector for the row and one for the column
    by_chance: float  # mean of `row_and_column` for random LPs


@dataclass(frozen=True)
class LpReport:
    """The LPs of one checkpoint in numbers."""

    name: str
    n_lp: int
    """Vectors of the bank, C."""
    bank: str
    """`place`: one for each place in a token's square; `window`: one for each LP of a window."""
    width: int
    placement: str
    norm_min: float
    norm_mean: float
    norm_max: float
    diversity: float
    """1 minus the mean of the cosine-similarity matrix, including its diagonal of ones."""
    diversity_off_diagonal: float | None
    """The same without the diagonal; None for a single LP."""
    effective_rank: float
    """Dimensions that the LPs occupy, from 1 to min(N, D); 0 if all are zero."""
    explained: Explained | None
    """None unless the bank is by window and its LPs form a lattice of more than one row."""
    nearest: tuple[Pair, ...]
    """The most similar pairs, in falling order."""
    window: int
    """Side of the window, in LR pixels."""
    token_side: int
    """Tokens along it."""
    lp_side: int | None
    """LPs along it, if they form a square lattice."""
    places: tuple[tuple[float, float], ...]
    """Place of each LP in the window, y and x in LR pixels, the first pixel's centre at 0; of a bank
    by place, in the window's first token."""
    norms: tuple[float, ...]
    singular_values: tuple[float, ...]
    """Of the matrix of LPs (N, D), in falling order."""

    @property
    def is_healthy(self) -> bool:
        """Whether the LPs have enough diversity and effective rank; always true for a single LP."""
        if self.n_lp == 1:
            return True
        fullness = self.effective_rank / min(self.n_lp, self.width)
        return self.diversity > HEALTHY_DIVERSITY and fullness >= HEALTHY_RANK


def lp_report(checkpoint: "Checkpoint") -> LpReport:
    """The report on the LPs of a checkpoint, from its weights alone. Raises GinrError without LPs."""
    config = checkpoint.config
    if not config.n_lp:
        raise GinrError(
            f"{checkpoint.header.path}: has no LPs, it decodes tokens: name another checkpoint"
        )
    lps = checkpoint.weights["lps"].float()  # (C, D)
    norms = lps.norm(dim=-1)
    window = window_plan(config)
    places = lp_places(config) if config.bank == "window" else _places_in_a_token(config)
    return LpReport(
        name=checkpoint.name,
        n_lp=lps.shape[0],
        bank=config.bank,
        width=lps.shape[1],
        placement=config.placement,
        norm_min=float(norms.min()),
        norm_mean=float(norms.mean()),
        norm_max=float(norms.max()),
        diversity=diversity(lps),
        diversity_off_diagonal=diversity_off_diagonal(lps),
        effective_rank=effective_rank(lps),
        explained=explained_by_place(lps, config),
        nearest=nearest_pairs(lps, N_NEAREST),
        window=config.window,
        token_side=window.side,
        lp_side=window.lp_side,
        places=tuple((float(y), float(x)) for y, x in places),
        norms=tuple(norms.tolist()),
        singular_values=tuple(torch.linalg.svdvals(lps.double()).tolist()),
    )


def lp_places(config: GinrConfig) -> NDArray[np.float64]:
    """Places of the LPs of a window in LR pixels, y first: (N, 2) in the order of the sequence."""
    tokens = window_plan(config).anchors
    return (tokens + 0.5) * config.patch - 0.5


def _places_in_a_token(config: GinrConfig) -> NDArray[np.float64]:
    """Places of a token's square of LPs in LR pixels, (C, 2), in raster order."""
    n = window_plan(config).lps_per_token
    y, x = np.divmod(np.arange(n * n), n)
    return (np.stack([y, x], -1) + 0.5) * (config.patch / n) - 0.5


def nearest_pairs(lps: Tensor, n_pair: int) -> tuple[Pair, ...]:
    """The (at most) `n_pair` most similar pairs of different vectors of lps (N, D)."""
    found: list[Pair] = []
    n_row = max(1, _CELLS // lps.shape[0])
    for start in range(0, lps.shape[0], n_row):
        rows = similarity(lps[start : start + n_row], lps)  # (rows, N)
        rows = rows.masked_fill(torch.ones_like(rows).tril(start).bool(), -torch.inf)
        best = rows.flatten().topk(min(n_pair, rows.numel()))
        for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if value > -torch.inf:
                found.append(Pair(start + place // rows.shape[1], place % rows.shape[1], value))
    return tuple(sorted(found, key=lambda pair: -pair.similarity)[:n_pair])


def explained_by_place(lps: Tensor, config: GinrConfig) -> Explained | None:
    """Shares of the variance of lps (N, D) explained by place; None without a lattice of rows."""
    window = window_plan(config)
    if config.bank == "place" or window.lp_side is None or window.lp_side == 1:
        return None
    row, column = (
        torch.nn.functional.one_hot(torch.as_tensor(index)).double()  # (N, side)
        for index in np.divmod(window.lp_curves[0], window.lp_side)
    )
    centred = lps.double() - lps.double().mean(0)
    return Explained(
        row=_explained(centred, row),
        column=_explained(centred, column),
        row_and_column=_explained(centred, torch.cat([row, column], 1)),
        by_chance=2 * (window.lp_side - 1) / (lps.shape[0] - 1),
    )


def _explained(centred: Tensor, given: Tensor) -> float:
    """Share of the squares of centred (N, D) in the span of the columns of given (N, k)."""
    total = centred.square().sum()
    if not total > 0:
        return 0.0
    basis, values, _ = torch.linalg.svd(given, full_matrices=False)
    basis = basis[:, values > 1e-9 * values[0]]
    return float((basis.t() @ centred).square().sum() / total)
