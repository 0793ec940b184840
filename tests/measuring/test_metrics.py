"""PSNR against values computed by hand, SSIM against those and scikit-image.

Run: pytest tests/measuring/test_metrics.py
"""

import math

import numpy as np
import pytest

from ginr.measuring.metrics import luma, psnr_rgb, psnr_y, ssim_y


def flat(red: int, green: int, blue: int, size: int = 4) -> np.ndarray:
    return np.full((size, size, 3), (red, green, blue), np.uint8)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((0, 0, 0), 16.0),
        ((255, 255, 255), 235.0),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
    ],
)
def test_luma_of_the_corners(rgb: tuple[int, int, int], expected: float) -> None:
    np.testing.assert_allclose(luma(flat(*rgb)), expected, atol=1e-12)


def test_grey_samples_are_luma_already() -> None:
    grey = np.array([[[0], [7]], [[200], [255]]], np.uint8)
    np.testing.assert_array_equal(luma(grey), [[0, 7], [200, 255]])


def test_a_known_difference() -> None:
    black, grey = flat(0, 0, 0), flat(10, 10, 10)
    assert psnr_rgb(black, grey, 0) == pytest.approx(20 * math.log10(25.5))
    assert psnr_y(black, grey, 0) == pytest.approx(20 * math.log10(25.5 * 255 / 219))
    # The order does not matter, and 8-bit subtraction must not wrap around.
    assert psnr_rgb(grey, black, 0) == psnr_rgb(black, grey, 0)
    # One sample in 48 is off by 48: mean square 48.
    one = black.copy()
    one[1, 2, 0] = 48
    assert psnr_rgb(black, one, 0) == pytest.approx(10 * math.log10(255**2 / 48))


def test_the_border_is_left_out() -> None:
    black, framed = flat(0, 0, 0), flat(255, 255, 255)
    framed[1:3, 1:3] = 0
    assert psnr_y(black, framed, 1) == math.inf
    assert psnr_y(black, framed, 0) < 10


@pytest.mark.parametrize(
    ("a", "b", "border", "words"),
    [
        (flat(0, 0, 0, 4), flat(0, 0, 0, 5), 0, "images, got"),
        (flat(0, 0, 0)[..., :2], flat(0, 0, 0)[..., :2], 0, "images, got"),
        (flat(0, 0, 0)[..., 0], flat(0, 0, 0)[..., 0], 0, "images, got"),
        (flat(0, 0, 0).astype(float), flat(0, 0, 0), 0, "float64"),
        (flat(0, 0, 0), flat(0, 0, 0), 2, "leaves nothing of 4x4"),
        (flat(0, 0, 0), flat(0, 0, 0), -1, "border of -1"),
    ],
)
def test_wrong_inputs(a: np.ndarray, b: np.ndarray, border: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        psnr_y(a, b, border)


def test_ssim_of_flat_pictures() -> None:
    # No variance: only (2 x y + C1) / (x^2 + y^2 + C1) is left, C1 = (0.01 * 255)^2 = 6.5025.
    dark, light = np.full((2, 12, 13, 1), 100, np.uint8)
    light += 50
    assert ssim_y(dark, light, 0) == pytest.approx(30006.5025 / 32506.5025, abs=1e-9)
    assert ssim_y(dark, dark, 0) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", [(11, 11, 3), (11, 40, 1), (37, 24, 3), (64, 51, 1)])
@pytest.mark.parametrize("border", [0, 3])
def test_ssim_is_that_of_scikit_image(shape: tuple[int, int, int], border: int) -> None:
    from skimage.metrics import structural_similarity

    height, width, channels = shape
    framed = (height + 2 * border, width + 2 * border, channels)
    a = np.random.randint(0, 256, framed).astype(np.uint8)
    b = np.clip(a + np.random.normal(0, 30, framed), 0, 255).astype(np.uint8)
    inner = slice(border, border + height), slice(border, border + width)
    expected = structural_similarity(
        luma(a)[inner],
        luma(b)[inner],
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert 0 < expected < 0.99
    assert ssim_y(a, b, border) == pytest.approx(expected, abs=1e-9)


def test_ssim_needs_a_window() -> None:
    small = flat(0, 0, 0, 12)
    with pytest.raises(ValueError, match="SSIM needs 11 pixels a side, got 10x10"):
        ssim_y(small, small, 1)
    with pytest.raises(ValueError, match="images, got"):
        ssim_y(small, small[..., :2], 0)
