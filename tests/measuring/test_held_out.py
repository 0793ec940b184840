"""Scores of a network during training: pytest tests/measuring/test_held_out.py"""

from pathlib import Path

import numpy as np
import pytest
import torch

from ginr.array_types import Image
from ginr.measuring.held_out import MOST_DB, Scores, comparison, validate
from ginr.network.model import Ginr
from ginr.pictures import read_picture
from ginr.pictures.resize import benchmark_pair


def noise(side: int) -> Image:
    return np.random.default_rng(0).integers(256, size=(side, side, 3), dtype=np.uint8)


@pytest.fixture
def silent(tiny_model: Ginr) -> Ginr:
    """A network whose field is zero everywhere, so that its result is bicubic."""
    with torch.no_grad():
        tiny_model.decoder.head.weight.zero_()
        tiny_model.decoder.head.bias.zero_()
    return tiny_model


def test_a_silent_network_gains_nothing_over_bicubic(silent: Ginr, sample_images: Path) -> None:
    names = ("before_after.png", "line_art.png")
    images = [read_picture(sample_images / name).samples for name in names]
    scores = validate(silent, images, (2.0, 3.7))
    assert scores.gain == pytest.approx({"x2": 0, "x3.7": 0}, abs=0.02)
    assert all(20 < psnr < 50 for psnr in scores.psnr.values())


def test_a_scale_is_measured_on_the_pictures_that_are_large_enough(silent: Ginr) -> None:
    scores = validate(silent, [noise(16), noise(40)], (4.0, 6.0, 30.0))
    assert scores.gain.keys() == {"x4", "x6"}
    alone = validate(silent, [noise(40)], (6.0,))
    assert alone.psnr["x6"] == scores.psnr["x6"]


def test_at_x1_there_is_nothing_to_gain_over_bicubic(silent: Ginr) -> None:
    scores = validate(silent, [noise(40)], (1.0, 2.0))
    assert scores.gain.keys() == {"x2"}
    assert scores.psnr["x1"] == MOST_DB  # a zero field on the picture itself


def test_flat_pictures_count_as_reproduced(silent: Ginr) -> None:
    flat = np.full((40, 40, 3), 77, np.uint8)
    assert validate(silent, [flat], (2.0,)).psnr == {"x2": MOST_DB}


def test_a_comparison_has_the_picture_on_its_right(silent: Ginr) -> None:
    image = noise(300)
    strip = comparison(silent, image, 3.7)
    hr, _ = benchmark_pair(image[22:278, 22:278], 3.7)
    height, width = hr.shape[:2]
    assert strip.shape == (height, 3 * width, 3)
    assert np.array_equal(strip[:, 2 * width :], hr)
    left, middle = (strip[:, k * width : (k + 1) * width].astype(int) for k in (0, 1))
    assert np.abs(left - middle).max() <= 2


def test_it_is_asked_before_each_picture_whether_to_stop(silent: Ginr) -> None:
    answers = [False, False, False, True]
    scores = validate(silent, [noise(40), noise(44)], (2.0, 3.0), lambda: answers.pop(0))
    assert scores == Scores({}, {}) and not answers
