"""Samples to planes for the network and back: pytest tests/pictures/test_samples.py"""

import numpy as np
import pytest

from ginr.errors import PictureError
from ginr.pictures import Picture, quantize

from .support import random_samples


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_then_quantize_returns_the_samples(channels, depth):
    samples = random_samples(40, 50, channels, depth)
    has_alpha = channels in (2, 4)
    picture = Picture(samples)
    planes = picture.pixels(3, 5, 33, 45)
    assert planes.shape == (channels, 30, 40) and planes.dtype == np.float32
    assert planes.flags.c_contiguous and planes.min() >= 0 and planes.max() <= 1
    expected = samples[3:33, 5:45].copy()
    if has_alpha:
        expected[expected[..., -1] == 0] = 0
    np.testing.assert_array_equal(quantize(planes, depth, has_alpha), expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_every_colour_survives_every_alpha(depth):
    peak = 2**depth - 1
    colours = np.linspace(0, peak, 256).round().astype(f"u{depth // 8}")
    alphas = np.append(colours[1:], 1).astype(colours.dtype)
    samples = np.stack(np.meshgrid(colours, alphas), -1)
    planes = Picture(samples).pixels(0, 0, *samples.shape[:2])
    np.testing.assert_array_equal(quantize(planes, depth, True), samples)


@pytest.mark.parametrize("depth", [8, 16])
def test_opaque_stays_opaque_and_its_colours_untouched(depth):
    samples = random_samples(20, 20, 4, depth)
    samples[..., 3] = 2**depth - 1
    planes = Picture(samples).pixels(0, 0, 20, 20)
    assert (planes[3] == 1).all()
    np.testing.assert_array_equal(planes[:3], Picture(samples[..., :3].copy()).pixels(0, 0, 20, 20))
    planes[3] *= np.float32(1 - 0.4 / 2**depth)  # a little network noise
    np.testing.assert_array_equal(quantize(planes, depth, True), samples)


def test_transparent_colour_makes_no_halo():
    samples = np.zeros((1, 2, 4), np.uint8)
    samples[0, 0] = (200, 100, 50, 255)
    samples[0, 1] = (0, 255, 0, 0)  # green that nobody sees
    planes = Picture(samples).pixels(0, 0, 1, 2)
    middle = planes.mean(2, keepdims=True)
    assert quantize(middle, 8, True).tolist() == [[[200, 100, 50, 128]]]


def test_quantize_rounds_half_up_and_clips():
    planes = np.array([[[-1, 0, 0.5 / 255, 1.5 / 255, 1, 2]]], np.float32)
    assert quantize(planes, 8, False).ravel().tolist() == [0, 0, 1, 2, 255, 255]
    assert quantize(planes, 16, False).ravel().tolist()[-2:] == [65535, 65535]


def test_quantize_leaves_its_input_alone():
    planes = Picture(random_samples(5, 5, 4)).pixels(0, 0, 5, 5)
    before = planes.copy()
    quantize(planes, 8, True)
    np.testing.assert_array_equal(planes, before)


@pytest.mark.parametrize("dpi", [(0.0, 72.0), (72.0, 70_000.0), (float("nan"), 72.0)])
def test_an_implausible_resolution_is_refused(dpi):
    with pytest.raises(PictureError, match="dpi must be 1 to 65535"):
        Picture(random_samples(2, 2, 1), dpi=dpi)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((2, 2, 3), np.float32), "uint8 or uint16, not float32"),
        (np.zeros((2, 2), np.uint8), r"not \(2, 2\)"),
        (np.zeros((2, 2, 5), np.uint8), r"not \(2, 2, 5\)"),
        (np.zeros((0, 2, 3), np.uint8), r"not \(0, 2, 3\)"),
        (np.zeros((2, 4, 3), np.uint8)[:, ::2], "contiguous"),
    ],
)
def test_a_picture_refuses_other_samples(samples, words):
    with pytest.raises(PictureError, match=words):
        Picture(samples)
