"""Grain: equal in NumPy and torch, random in every way that is looked at, the same in every tile.

Run: pytest tests/architecture/test_grain.py
"""

import dataclasses

import numpy as np
import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.architecture.grain import grain_at
from ginr.network.model import Ginr

PLACES = np.arange(500, 628), np.arange(90_000, 90_160)


def test_numpy_and_torch_agree_to_the_bit() -> None:
    ours = grain_at(*PLACES, 3)
    theirs = grain_at(*(torch.from_numpy(v) for v in PLACES), 3)
    assert ours.shape == (128, 160, 3) and ours.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs.numpy())


def test_a_place_has_its_grain_wherever_it_is_asked_from() -> None:
    part = grain_at(PLACES[0][10:20], PLACES[1][30:50], 3)
    np.testing.assert_array_equal(part, grain_at(*PLACES, 3)[10:20, 30:50])


def test_it_is_white_noise() -> None:
    found = grain_at(*PLACES, 3)
    assert -1 <= found.min() < -0.999 and 0.999 < found.max() < 1
    assert abs(found.mean()) < 0.01 and found.std() == pytest.approx(3**-0.5, rel=0.01)
    for a, b in (
        (found[1:], found[:-1]),
        (found[:, 1:], found[:, :-1]),
        (found[..., 0], found[..., 1]),
        (found[2:], found[:-2]),
        (found[1:, 1:], found[:-1, :-1]),
    ):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.02
    spectrum = np.abs(np.fft.fft2(found[..., 0])) / found[..., 0].size ** 0.5 / found.std()
    assert spectrum.max() < 4  # no wave stands out


def test_a_new_network_adds_none_and_a_tile_has_that_of_its_picture(
    tiny_config: GinrConfig,
) -> None:
    torch.manual_seed(0)
    model = Ginr(dataclasses.replace(tiny_config, n_grain=3)).eval()
    pixels, window = torch.rand(1, 3, 32, 32), tiny_config.window
    with torch.no_grad():
        here, there = (
            model.encode(pixels, origin=at, size=(90, 90)).features for at in ((0, 0), (0, window))
        )
        assert torch.equal(here, there)
        torch.nn.init.normal_(model.grain)
        moved = model.encode(pixels, grain_origin=(0, window)).features
        there = model.encode(pixels, origin=(0, window), size=(90, 90)).features
    assert torch.equal(moved, there)
    assert (there - here).abs().mean() > 0.05


def test_old_files_say_nothing_of_grain() -> None:
    config = GinrConfig()
    assert "n_grain" not in config.to_json() and GinrConfig.from_json(config.to_json()) == config
    grained = dataclasses.replace(config, n_grain=4)
    assert GinrConfig.from_json(grained.to_json()) == grained


@pytest.mark.parametrize(
    ("change", "words"),
    [({"n_grain": -1}, "from 0"), ({"n_grain": 2, "n_lp": 0, "content": "none"}, "needs LPs")],
)
def test_grain_that_cannot_be_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(GinrConfig(), **change)  # type: ignore[arg-type]
