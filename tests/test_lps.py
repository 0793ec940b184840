"""Diversity of position tokens against values worked by hand.

Run: pytest tests/test_lps.py
"""

import dataclasses
import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from ginr.lps import LpReport, diversity, diversity_off_diagonal, lp_report


@pytest.mark.parametrize(
    ("lps", "whole", "off"),
    [
        ([[1.0, 0.0], [5.0, 0.0]], 0.0, 0.0),  # parallel, lengths do not matter
        ([[1.0, 0.0], [0.0, 2.0]], 0.5, 1.0),  # at right angles: (1 + 1) / 4
        ([[1.0, 0.0], [-3.0, 0.0]], 1.0, 2.0),  # opposite: (1 + 1 - 1 - 1) / 4
        # 1 and 2 at 60 degrees, 3 at right angles to 1 and at 30 degrees to 2.
        (
            [[1.0, 0.0], [0.5, math.sqrt(0.75)], [0.0, 1.0]],
            1 - (3 + 2 * (0.5 + 0 + math.sqrt(0.75))) / 9,
            1 - (0.5 + 0 + math.sqrt(0.75)) / 3,
        ),
        ([[0.0, 0.0], [1.0, 0.0]], 0.75, 1.0),  # a zero vector is similar to nothing
    ],
)
def test_diversity_by_hand(lps: list[list[float]], whole: float, off: float) -> None:
    assert diversity(torch.tensor(lps)) == pytest.approx(whole, abs=1e-6)
    assert diversity_off_diagonal(torch.tensor(lps)) == pytest.approx(off, abs=1e-6)


def test_diversity_is_one_minus_the_mean_similarity_matrix() -> None:
    lps = torch.randn(40, 7, generator=torch.Generator().manual_seed(0)) + 0.3
    unit = lps / lps.norm(dim=-1, keepdim=True)
    matrix = unit @ unit.T
    off = matrix[~torch.eye(40, dtype=torch.bool)].mean()
    assert diversity(lps) == pytest.approx(1 - matrix.mean().item(), abs=1e-6)
    assert diversity_off_diagonal(lps) == pytest.approx(1 - off.item(), abs=1e-6)


def test_a_single_token_has_no_pairs() -> None:
    assert diversity(torch.ones(1, 3)) == pytest.approx(0.0)
    assert diversity_off_diagonal(torch.ones(1, 3)) is None


def test_the_report_on_a_checkpoint() -> None:
    checkpoint = SimpleNamespace(
        name="tiny",
        config=SimpleNamespace(placement="n_group"),
        weights={"lps": torch.tensor([[3.0, 4.0], [0.0, 1.0]])},
    )
    report = lp_report(cast(Any, checkpoint))
    assert dataclasses.asdict(report) == {
        "name": "tiny",
        "n_lp": 2,
        "width": 2,
        "placement": "n_group",
        "norm_min": pytest.approx(1.0),
        "norm_mean": pytest.approx(3.0),
        "norm_max": pytest.approx(5.0),
        "diversity": pytest.approx(1 - (2 + 2 * 0.8) / 4),
        "diversity_off_diagonal": pytest.approx(0.2),
    }
    assert not report.is_healthy


def test_one_half_is_not_healthy() -> None:
    values = {"n_lp": 2, "width": 2, "placement": "middle", "diversity_off_diagonal": 1.0}
    norms = {"norm_min": 1.0, "norm_mean": 1.0, "norm_max": 1.0}
    assert not LpReport(name="a", diversity=0.5, **values, **norms).is_healthy
    assert LpReport(name="a", diversity=0.51, **values, **norms).is_healthy
