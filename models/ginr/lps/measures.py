"""Similarity of vectors: diversity, effective rank, cosine similarity."""

import torch
from torch import Tensor


def diversity(lps: Tensor) -> float:
    """1 - mean cosine similarity over all N x N pairs of lps (N, D), the diagonal included.

    In [0, 1]: 0 if all are parallel, 1 - 1/N if all are orthogonal. A zero vector has similarity 0
    to all, itself included.
    """
    return max(0.0, 1.0 - _similarity_sum(lps) / lps.shape[0] ** 2)  # never a rounded -0


def diversity_off_diagonal(lps: Tensor) -> float | None:
    """1 - mean cosine similarity over pairs of different vectors of lps (N, D), in [0, 2]."""
    n = lps.shape[0]
    if n == 1:
        return None
    own = int((lps.norm(dim=-1) > 0).sum())
    return 1.0 - (_similarity_sum(lps) - own) / (n * (n - 1))


def effective_rank(lps: Tensor) -> float:
    """exp of the entropy of the singular values of lps (N, D), scaled to a sum of 1.

    Roy and Vetterli, "The effective rank: a measure of effective dimensionality" (EUSIPCO 2007).
    From 1 (all collinear) to min(N, D); 0 if all are zero.
    """
    values = torch.linalg.svdvals(lps.double())
    if not values[0] > 0:
        return 0.0
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())


def similarity(lps: Tensor, others: Tensor | None = None) -> Tensor:
    """Cosine similarity of lps (N, D) to each other, (N, N), or to `others` (M, D), (N, M)."""
    unit = _unit(lps)
    return unit @ (unit if others is None else _unit(others)).t()


def _similarity_sum(lps: Tensor) -> float:
    # The sum of the dot products of all pairs is the squared norm of the sum of the vectors.
    return float(_unit(lps).sum(dim=0).square().sum())


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors.double(), dim=-1)
