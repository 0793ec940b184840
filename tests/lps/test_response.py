"""What LPs reach and see, against perturbing the network: pytest tests/lps/test_response.py"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.lps.measures import diversity
from ginr.lps.reach import ReachSum
from ginr.lps.report import lp_places
from ginr.lps.response import CHANGES, _gradients, encoded_places, picture_report
from ginr.network.model import Ginr
from ginr.pictures import Picture, read_picture


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight LPs are removed and two looked through."""
    monkeypatch.setattr("ginr.lps.response.N_REMOVED", 8)
    monkeypatch.setattr("ginr.lps.response.N_LOOKED", 2)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = height, width, channels
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def test_squares_are_summed_by_distance() -> None:
    sums = ReachSum((0, 0, 2, 2), per_pixel=1, extent=1)
    square = np.zeros((5, 5))
    square[1, 1], square[1, 2], square[4, 1] = 4, 2, 2  # at distances 0, 1 and 3
    sums.add(square, np.array([1.0, 1.0]))
    reach = sums.reach(n_lp=7)
    assert reach.n_lp == 7
    assert (reach.radius(0.5), reach.radius(0.7), reach.radius(1.0)) == (0, 1, 3)
    assert reach.share[-1] == pytest.approx(1) and reach.own_window == 0.5
    assert reach.around.tolist() == [[0, 0, 0], [0, 1, 0.5], [0, 0, 0]]


def test_nothing_to_sum_is_no_trouble() -> None:
    reach = ReachSum((0, 0, 2, 2), per_pixel=4, extent=1).reach(n_lp=0)
    assert reach.radius(0.9) == 0 and reach.own_window == 0


@pytest.mark.parametrize("size", [(16, 24), (13, 21), (3, 5)])
@pytest.mark.parametrize("placement", ["n_group", "middle"])
def test_every_encoded_lp_has_its_place(
    make_model: Callable[[GinrConfig], Ginr],
    tiny_config: GinrConfig,
    size: tuple[int, int],
    placement: str,
) -> None:
    config = tiny_config
    if placement == "middle":
        config = replace(tiny_config, placement="middle", n_lp=5, decoder="attention")
    features = make_model(config).encode(torch.rand(1, 3, *size)).features
    places = encoded_places(config, *size)
    assert len(places) == features.flatten(0, -2).shape[0]
    if placement == "middle":
        assert places[:5].tolist() == lp_places(config).tolist()
        assert np.array_equal(places[-5:] % 8, places[:5])
    else:
        assert places[:2].tolist() == [[0, 0], [0, 1]] and places[-1].tolist() == [
            size[0] - 1,
            size[1] - 1,
        ]


def test_what_an_lp_changes_lies_around_its_place(tiny_checkpoint: Path) -> None:
    report = picture_report(load_checkpoint(tiny_checkpoint), Picture(noise(40, 44)), "noise")
    assert report.box == (0, 0, 40, 44) and report.n_encoded == 40 * 44
    assert report.effect.n_lp == 8 and report.sight.n_lp == 2
    # A code is blended with its neighbours, a pixel away: nothing lies farther than the diagonal.
    assert report.effect.radii[-1] <= 1.5 and 0.5 < report.effect.own_window < 1
    assert report.effect.around[16, 16] == pytest.approx(1, abs=0.3)
    assert report.sight.radius(0.9) > report.effect.radius(0.9)
    low, mean, high = report.window_diversity
    assert 0 <= low <= mean <= high < 1 and 0 < report.within_windows <= 1


def test_what_an_lp_does_not_see_does_not_change_it(tiny_model: Ginr) -> None:
    near = noise(8, 64)
    index = 4 * 64 + 4
    (_, first), (_, second) = _gradients(tiny_model, near, np.array([index]))
    assert first.shape == near.shape[:2] and not np.allclose(first, second)
    unseen = torch.as_tensor(first + second == 0)
    pixels = torch.from_numpy(near.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    before = tiny_model.encode(pixels).features.flatten(0, 2)[index]
    after = tiny_model.encode(torch.where(unseen, 0.0, pixels)).features.flatten(0, 2)[index]
    assert unseen.any()
    torch.testing.assert_close(after, before)


def test_the_report_is_of_the_middle_and_of_8_bit_colour(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ginr.measuring.held_out.SIDE", 32)
    checkpoint, heard = load_checkpoint(tiny_checkpoint), []
    grey = Picture(noise(50, 20, 1).astype(np.uint16) * 257)
    report = picture_report(checkpoint, grey, "grey", lambda *done: heard.append(done))
    assert report.box == (9, 0, 41, 20) and report.part.shape == (32, 20, 3)
    assert np.array_equal(report.part[..., 1], grey.samples[9:41, :, 0] // 257)
    assert heard[-1] == (12, 12) and len(heard) == 12
    with torch.inference_mode():
        pixels = torch.from_numpy(report.part.transpose(2, 0, 1).astype(np.float32) / 255)[None]
        features = checkpoint.build().encode(pixels).features.flatten(0, 2)
    assert report.diversity == pytest.approx(diversity(features))


def test_every_change_is_measured(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    picture = Picture(noise(32, 32))
    report = picture_report(checkpoint, picture, "noise")
    assert tuple(report.changed_db) == CHANGES
    assert all(report.changed_db.values())
    same = checkpoint.weights | {"lps": torch.ones(64, 16)}  # type: ignore[operator]
    alike = picture_report(replace(checkpoint, weights=same), picture, "noise")
    assert alike.changed_db["equal_lps"] == alike.changed_db["shuffled_lps"] == 0
    assert not picture_report(checkpoint, Picture(noise(3, 3)), "dot").changed_db


@pytest.mark.parametrize("name", ["small", "base"])
def test_shipped_networks_live_by_their_lps(name: str, sample_images: Path) -> None:
    picture = read_picture(sample_images / "photo_spices.png")
    changed = picture_report(load_checkpoint(name), picture, "spices").changed_db
    assert changed["equal_lps"] < -1 and changed["shuffled_lps"] < -1
    assert changed["no_scan"] < changed["no_memory"] < 0
