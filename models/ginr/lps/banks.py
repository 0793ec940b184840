"""The banks of LPs of one network, compared."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ginr.lps.measures import diversity, effective_rank


@dataclass(frozen=True)
class BankReport:
    """One bank in numbers, and how far it is from each of the network's."""

    name: str
    norm_mean: float
    diversity: float
    """1 minus the mean cosine similarity of all pairs of its vectors."""
    effective_rank: float
    cosine: Mapping[str, float]
    """By bank, the mean cosine similarity of its vectors to those at the same place; 1 to itself."""
    distance: Mapping[str, float]
    """By bank, the root mean square of the differences as a multiple of the other bank's; 0 to itself."""


def bank_reports(banks: Mapping[str, Tensor]) -> tuple[BankReport, ...]:
    """A report on each of the banks (C, D)."""
    return tuple(
        BankReport(
            name=name,
            norm_mean=float(lps.norm(dim=-1).mean()),
            diversity=diversity(lps),
            effective_rank=effective_rank(lps),
            cosine={k: _cosine(lps, other) for k, other in banks.items()},
            distance={k: _distance(lps, other) for k, other in banks.items()},
        )
        for name, lps in banks.items()
    )


def _cosine(lps: Tensor, others: Tensor) -> float:
    return float(torch.cosine_similarity(lps.double(), others.double(), dim=-1).mean())


def _distance(lps: Tensor, others: Tensor) -> float:
    """0 for two banks of zeros, infinite for one of zeros and another."""
    apart = (lps.double() - others.double()).norm()
    return float(apart / others.double().norm()) if apart > 0 else 0.0
