"""How alike vectors are: diversity, effective rank, cosine similarity."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    pass


def diversity(lps: Tensor) -> float:
    """1 - mean cosine similarity over all N x N pairs of lps (N, D), the diagonal included.

    In [0, 1]: 0 when all point the same way, 1 - 1/N when all are at right angles. A zero vector
    is similar to nothing, itself included.
    """
    return max(0.0, 1.0 - _similarity_sum(lps) / lps.shape[0] ** 2)  # never a rounded -0


def diversity_off_diagonal(lps: Tensor) -> float | None:
    """1 - mean cosine similarity over the pairs of different vectors of lps (N, D), in [0, 2]."""
    n = lps.shape[0]
    if n == 1:
        return None
    own = int((lps.norm(dim=-1) > 0).sum())
    return 1.0 - (_similarity_sum(lps) - own) / (n * (n - 1))


def effective_rank(lps: Tensor) -> float:
    """exp of the entropy of the singular values of lps (N, D), their sum scaled to 1.

    Roy and Vetterli, "The effective rank: a measure of effective dimensionality" (EUSIPCO 2007).
    From 1 (all on one line) to min(N, D); 0 if all are zero.
    """
    values = torch.linalg.svdvals(lps.double())
    if not values[0] > 0:
        return 0.0
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())


def similarity(lps: Tensor, others: Tensor | None = None) -> Tensor:
    """Cosine similarity of lps (N, D) to each other, (N, N), or to `others` (M, D), (N, M)."""
    unit = torch.nn.functional.normalize(lps.double(), dim=-1)
    if others is None:
        return unit @ unit.t()
    return unit @ torch.nn.functional.normalize(others.double(), dim=-1).t()


def _similarity_sum(lps: Tensor) -> float:
    # The sum over all pairs of dot products is the squared length of the sum of the vectors.
    unit = torch.nn.functional.normalize(lps.double(), dim=-1)
    return float(unit.sum(dim=0).square().sum())
