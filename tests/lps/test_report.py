"""What is measured of position tokens against values worked by hand.

Run: pytest tests/lps/test_report.py
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import window_plan
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.lps.measures import diversity, diversity_off_diagonal, effective_rank, similarity
from ginr.lps.report import Explained, Pair, explained_by_place, lp_places, lp_report, nearest_pairs


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


@pytest.mark.parametrize(
    ("lps", "rank"),
    [
        ([[1.0, 0.0], [5.0, 0.0]], 1.0),
        ([[2.0, 0.0], [0.0, 2.0]], 2.0),
        ([[0.0, 0.0], [0.0, 0.0]], 0.0),
        # Singular values 3 and 1: shares 3/4 and 1/4.
        ([[3.0, 0.0], [0.0, -1.0]], math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))),
    ],
)
def test_effective_rank_by_hand(lps: list[list[float]], rank: float) -> None:
    assert effective_rank(torch.tensor(lps)) == pytest.approx(rank)


def test_the_nearest_pairs_are_those_of_a_plain_search(monkeypatch: pytest.MonkeyPatch) -> None:
    lps = torch.randn(30, 4)
    plain = sorted(
        (
            Pair(i, j, float(similarity(lps[i : i + 1], lps[j : j + 1])))
            for i in range(30)
            for j in range(i + 1, 30)
        ),
        key=lambda pair: -pair.similarity,
    )
    for cells in (1, 100, 1 << 20):  # rows at a time
        monkeypatch.setattr("ginr.lps.report._CELLS", cells)
        found = nearest_pairs(lps, 6)
        assert [(pair.first, pair.second) for pair in found] == [
            (pair.first, pair.second) for pair in plain[:6]
        ]
        assert found[0].similarity == pytest.approx(plain[0].similarity)
    assert len(nearest_pairs(lps[:3], 6)) == 3 and nearest_pairs(lps[:1], 6) == ()


def test_a_code_of_row_and_column_is_explained_by_them(tiny_config: GinrConfig) -> None:
    side = window_plan(tiny_config).lp_side
    assert side == 8
    y, x = np.divmod(window_plan(tiny_config).lp_curves[0], side)
    rows, columns = torch.randn(side, 16), torch.randn(side, 16)
    told = explained_by_place(rows[y] + columns[x], tiny_config)
    assert told is not None and told.row_and_column == pytest.approx(1)
    assert told.row + told.column == pytest.approx(1) and 0.2 < told.row < 0.8
    by_row = explained_by_place(rows[y], tiny_config)
    assert by_row is not None and by_row.row == pytest.approx(1)
    assert by_row.column == pytest.approx(0)
    chances = [explained_by_place(torch.randn(64, 16), tiny_config) for _ in range(20)]
    shares = [told.row_and_column for told in chances if told is not None]
    assert np.mean(shares) == pytest.approx(by_row.by_chance, abs=0.02)
    assert explained_by_place(torch.zeros(64, 16), tiny_config) == Explained(0, 0, 0, 14 / 63)


def test_places_are_in_pixels_of_the_window(tiny_config: GinrConfig) -> None:
    places = lp_places(tiny_config)  # an LP per pixel, in four windows of 4x4 pixels one by one
    assert sorted(map(tuple, places.tolist())) == [(y, x) for y in range(8) for x in range(8)]
    assert places[:16].max() <= 3
    one = replace(tiny_config, n_lp=1, placement="middle", decoder="attention")
    assert lp_places(one).tolist() == [[2.5, 4.5]] or lp_places(one).shape == (1, 2)


def test_the_report_on_a_checkpoint(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    lps = torch.zeros(64, 16)
    lps[:, :2] = torch.tensor([3.0, 4.0])
    lps[1, :2] = torch.tensor([0.0, 1.0])
    report = lp_report(replace(checkpoint, weights={"lps": lps}))
    assert (report.name, report.n_lp, report.width) == ("tiny", 64, 16)
    assert (report.placement, report.window) == ("n_group", 8)
    assert (report.token_side, report.lp_side) == (4, 8)
    norms = report.norm_min, report.norm_mean, report.norm_max
    assert norms == pytest.approx((1, (63 * 5 + 1) / 64, 5))
    assert report.norms[:3] == (5, 1, 5) and len(report.places) == 64
    assert report.diversity == pytest.approx(1 - (63**2 + 1 + 2 * 63 * 0.8) / 64**2)
    assert report.diversity_off_diagonal == pytest.approx(1 - (63 * 62 + 2 * 63 * 0.8) / (64 * 63))
    assert len(report.singular_values) == 16 and report.singular_values[2] == pytest.approx(0)
    assert report.nearest[0].similarity == pytest.approx(1)
    assert not report.is_healthy


def test_one_half_is_not_healthy(tiny_checkpoint: Path) -> None:
    report = lp_report(load_checkpoint(tiny_checkpoint))
    assert report.is_healthy
    assert not replace(report, diversity=0.5).is_healthy
    assert replace(report, diversity=0.51).is_healthy


def test_neither_is_a_quarter_of_the_dimensions(tiny_checkpoint: Path) -> None:
    report = lp_report(load_checkpoint(tiny_checkpoint))
    assert replace(report, effective_rank=4.0).is_healthy  # of 16
    assert not replace(report, effective_rank=3.9).is_healthy
    assert replace(report, n_lp=1, diversity=0.0).is_healthy


def test_a_bank_by_place_is_that_of_a_token(tiny_checkpoint: Path, tiny_config: GinrConfig) -> None:
    given = load_checkpoint(tiny_checkpoint)
    config = replace(tiny_config, bank="place")
    weights = {"lps": torch.eye(4, 16)}
    report = lp_report(replace(given, header=replace(given.header, config=config), weights=weights))
    assert (report.n_lp, report.bank, report.explained) == (4, "place", None)
    assert report.places == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert report.diversity == pytest.approx(0.75) and report.diversity_off_diagonal == 1
    assert report.effective_rank == pytest.approx(4) and report.is_healthy
