"""What the learnable position tokens (LPs) of a checkpoint are like: norms, likeness, places.

The measures take any set of vectors, so that `ginr.lps.response` asks them of encoded LPs as well.

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
from ginr.lps.measures import diversity, diversity_off_diagonal, effective_rank, similarity

if TYPE_CHECKING:
    from ginr.checkpoints.checkpoint import Checkpoint

HEALTHY_DIVERSITY = 0.5
"""At or below it the LPs point the same way and carry little more than one vector would."""

HEALTHY_RANK = 0.25
"""Effective rank over the largest possible, min(N, D): below it most of the width lies idle."""

N_NEAREST = 5
"""Pairs of LPs that a report names."""

_CELLS = 1 << 22  # of the similarity matrix at a time


@dataclass(frozen=True)
class Pair:
    """Two LPs, by their number in the sequence, and their cosine similarity."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True)
class Explained:
    """How much of what sets the LPs apart is where they stand, as shares of their variance."""

    row: float
    """By their row on the lattice of the window's LPs alone."""
    column: float
    row_and_column: float
    """By a vector for the row plus one for the column."""
    by_chance: float
    """What `row_and_column` would be on the mean for LPs that know nothing of either."""


@dataclass(frozen=True)
class LpReport:
    """The LPs of one checkpoint in numbers."""

    name: str
    n_lp: int
    width: int
    placement: str
    norm_min: float
    norm_mean: float
    norm_max: float
    diversity: float
    """1 minus the mean of the whole cosine-similarity matrix, its diagonal of ones included."""
    diversity_off_diagonal: float | None
    """The same without the diagonal; None for a single LP."""
    effective_rank: float
    """Dimensions the LPs fill, from 1 to min(N, D); 0 if all are zero."""
    explained: Explained | None
    """By place; None where the LPs form no lattice of more than one row."""
    nearest: tuple[Pair, ...]
    """The most similar pairs, the most similar first."""
    window: int
    """Side of the window, in LR pixels."""
    token_side: int
    """Tokens along it."""
    lp_side: int | None
    """LPs along it if they form a square lattice."""
    places: tuple[tuple[float, float], ...]
    """Where each LP stands in the window, y and x in LR pixels, the first pixel's centre at 0."""
    norms: tuple[float, ...]
    singular_values: tuple[float, ...]
    """Of the matrix of LPs (N, D), falling."""

    @property
    def is_healthy(self) -> bool:
        """Whether the LPs are diverse enough, and in enough directions, to be worth their number.

        A single one always is.
        """
        if self.n_lp == 1:
            return True
        fullness = self.effective_rank / min(self.n_lp, self.width)
        return self.diversity > HEALTHY_DIVERSITY and fullness >= HEALTHY_RANK


def lp_report(checkpoint: "Checkpoint") -> LpReport:
    """The report on a checkpoint's LPs, from its weights alone: no picture is needed."""
    lps = checkpoint.weights["lps"].float()  # (N, D)
    norms = lps.norm(dim=-1)
    window, places = window_plan(checkpoint.config), lp_places(checkpoint.config)
    return LpReport(
        name=checkpoint.name,
        n_lp=lps.shape[0],
        width=lps.shape[1],
        placement=checkpoint.config.placement,
        norm_min=float(norms.min()),
        norm_mean=float(norms.mean()),
        norm_max=float(norms.max()),
        diversity=diversity(lps),
        diversity_off_diagonal=diversity_off_diagonal(lps),
        effective_rank=effective_rank(lps),
        explained=explained_by_place(lps, checkpoint.config),
        nearest=nearest_pairs(lps, N_NEAREST),
        window=checkpoint.config.window,
        token_side=window.side,
        lp_side=window.lp_side,
        places=tuple((float(y), float(x)) for y, x in places),
        norms=tuple(norms.tolist()),
        singular_values=tuple(torch.linalg.svdvals(lps.double()).tolist()),
    )


def lp_places(config: GinrConfig) -> NDArray[np.float64]:
    """Where the LPs of a window stand, in LR pixels, y first: (N, 2) in the order of the sequence."""
    tokens = window_plan(config).anchors
    return (tokens + 0.5) * config.patch - 0.5


def nearest_pairs(lps: Tensor, n_pair: int) -> tuple[Pair, ...]:
    """The `n_pair` most similar pairs of different vectors of lps (N, D), fewer if there are fewer."""
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
    """How much of the variance of lps (N, D) their rows and columns explain, where they have such."""
    window = window_plan(config)
    if window.lp_side is None or window.lp_side == 1:
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
    """The share of the squares of centred (N, D) within the span of the columns of given (N, k)."""
    total = centred.square().sum()
    if not total > 0:
        return 0.0
    basis, values, _ = torch.linalg.svd(given, full_matrices=False)
    basis = basis[:, values > 1e-9 * values[0]]
    return float((basis.t() @ centred).square().sum() / total)
