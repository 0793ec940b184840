"""What the learnable position tokens (LPs) of a checkpoint are like: their norms and how they differ.

Letters: N LPs, D width.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ginr.checkpoint import Checkpoint

HEALTHY_DIVERSITY = 0.5
"""At or below it the LPs point the same way and carry little more than one vector would."""


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

    @property
    def is_healthy(self) -> bool:
        """Whether the LPs are diverse enough to be worth their number."""
        return self.diversity > HEALTHY_DIVERSITY


def diversity(lps: Tensor) -> float:
    """1 - mean cosine similarity over all N x N pairs of lps (N, D), the diagonal included.

    In [0, 1]: 0 when all point the same way, 1 - 1/N when all are at right angles. A zero vector
    is similar to nothing, itself included.
    """
    return 1.0 - _similarity_sum(lps) / lps.shape[0] ** 2


def diversity_off_diagonal(lps: Tensor) -> float | None:
    """1 - mean cosine similarity over the pairs of different vectors of lps (N, D), in [0, 2]."""
    n = lps.shape[0]
    if n == 1:
        return None
    own = int((lps.norm(dim=-1) > 0).sum())
    return 1.0 - (_similarity_sum(lps) - own) / (n * (n - 1))


def lp_report(checkpoint: "Checkpoint") -> LpReport:
    """The report on a checkpoint's LPs, from its weights alone: no picture is needed."""
    lps = checkpoint.weights["lps"].float()  # (N, D)
    norms = lps.norm(dim=-1)
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
    )


def _similarity_sum(lps: Tensor) -> float:
    # The sum over all pairs of dot products is the squared length of the sum of the vectors.
    unit = torch.nn.functional.normalize(lps.double(), dim=-1)
    return float(unit.sum(dim=0).square().sum())
