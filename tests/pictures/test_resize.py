"""The bicubic resize against hand-computed numbers and a slow reference.

Run: pytest tests/pictures/test_resize.py
"""

import math

import numpy as np
import pytest

from ginr.errors import SizeError
from ginr.pictures.resize import benchmark_pair, bicubic_8bit, resize, resize_matrix


def plain_row(row: list[float], n_out: int, scale: float) -> list[float]:
    """One row, sample by sample, in MATLAB's own one-based terms."""

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    stretch = min(scale, 1.0)
    n_in, result = len(row), []
    for x in range(1, n_out + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - 2 / stretch)
        total = weight_sum = 0.0
        for index in range(left, left + math.ceil(4 / stretch) + 2):
            weight = stretch * kernel(stretch * (u - index))
            mirrored = [*range(1, n_in + 1), *range(n_in, 0, -1)][(index - 1) % (2 * n_in)]
            total += weight * row[mirrored - 1]
            weight_sum += weight
        result.append(total / weight_sum)
    return result


@pytest.mark.parametrize(
    ("n_in", "n_out"),
    [(12, 6), (13, 5), (9, 1), (5, 10), (7, 26), (1, 4), (2, 3), (3, 90), (40, 3)],
)
def test_rows_equal_the_plain_reference(n_in: int, n_out: int) -> None:
    row = np.random.default_rng(n_in).uniform(0, 255, n_in)
    expected = plain_row(row.tolist(), n_out, n_out / n_in)
    np.testing.assert_allclose(resize_matrix(n_in, n_out) @ row, expected, atol=1e-10)
    np.testing.assert_allclose(resize(row[None, :], 1, n_out)[0], expected, atol=1e-10)


def test_doubling_by_hand() -> None:
    # Between samples at 3/4 and 1/4 the kernel is (-0.0234375, 0.2265625, 0.8671875, -0.0703125).
    row = np.array([0.0, 0.0, 0.0, 128.0, 0.0, 0.0, 0.0])
    doubled = resize_matrix(7, 14) @ row
    hand = [0, 0, -3, -9, 29, 111, 111, 29, -9, -3, 0, 0]
    np.testing.assert_allclose(doubled[1:13], hand, atol=1e-12)


def test_halving_by_hand() -> None:
    # Half-width kernel at distances 1/4, 3/4, 5/4, 7/4: (111, 29, -9, -3) / 256 on either side.
    row = np.zeros(16)
    row[7] = 256.0
    hand = [0, 0, -9, 111, 29, -3, 0, 0]
    np.testing.assert_allclose(resize_matrix(16, 8) @ row, hand, atol=1e-12)


def test_edges_are_mirrored() -> None:
    # First output sample at -1/4: taps -2, -1, 0, 1 fold to 1, 0, 0, 1.
    first = resize_matrix(4, 8)[0]
    np.testing.assert_allclose(first[:2], [(111 + 29) / 128, (-9 - 3) / 128], atol=1e-12)
    assert not first[2:].any()


@pytest.mark.parametrize(("height", "width"), [(3, 4), (9, 31), (22, 7), (1, 1), (300, 2)])
def test_constants_stay_and_mirrors_commute(height: int, width: int) -> None:
    flat = np.full((9, 7, 3), 200, np.uint8)
    assert (bicubic_8bit(flat, height, width) == 200).all()
    image = np.random.default_rng(0).uniform(0, 1, (9, 7, 3))
    turned = resize(image[::-1, ::-1], height, width)[::-1, ::-1]
    np.testing.assert_allclose(turned, resize(image, height, width), atol=1e-12)


def test_axes_are_separate_and_channels_independent() -> None:
    image = np.random.default_rng(1).uniform(0, 1, (8, 11, 3))
    whole = resize(image, 5, 33)
    assert whole.shape == (5, 33, 3)
    expected = resize_matrix(8, 5) @ image[..., 1] @ resize_matrix(11, 33).T
    np.testing.assert_allclose(whole[..., 1], expected, atol=1e-12)
    np.testing.assert_array_equal(whole[..., 2], resize(image[..., 2], 5, 33))


def test_the_same_size_is_the_identity() -> None:
    image = np.random.default_rng(2).integers(0, 256, (6, 5, 3), np.uint8)
    np.testing.assert_array_equal(bicubic_8bit(image, 6, 5), image)
    np.testing.assert_array_equal(resize_matrix(9, 9), np.eye(9))


def test_eight_bits_round_half_up_and_clip() -> None:
    ramp = np.array([[0, 1]], np.uint8)
    assert bicubic_8bit(ramp, 1, 1)[0, 0] == 1  # the mean, 0.5
    step = np.array([[0, 0, 0, 255, 255, 255]], np.uint8)
    assert resize(step, 1, 12).min() < 0 and resize(step, 1, 12).max() > 255
    assert bicubic_8bit(step, 1, 12).tolist()[0][:4] == [0, 0, 0, 0]
    assert bicubic_8bit(step, 1, 12).tolist()[0][-4:] == [255] * 4


@pytest.mark.parametrize(
    ("size", "scale", "low", "crop"),
    [
        ((10, 13), 3, (3, 4), (9, 12)),
        ((10, 13), 1, (10, 13), (10, 13)),
        ((111, 37), 3.7, (30, 10), (111, 37)),  # 111 / 3.7 falls just below 30
        ((100, 55), 3.7, (27, 14), (100, 52)),  # 27 * 3.7 = 99.9, 14 * 3.7 = 51.8
        ((7, 5), 2.5, (2, 2), (5, 5)),
        ((480, 320), 30, (16, 10), (480, 300)),
    ],
)
def test_the_benchmark_recipe(
    size: tuple[int, int], scale: float, low: tuple[int, int], crop: tuple[int, int]
) -> None:
    hr = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    cut, lr = benchmark_pair(hr, scale)
    assert cut.shape[:2] == crop and lr.shape[:2] == low
    np.testing.assert_array_equal(cut, hr[: crop[0], : crop[1]])


def test_impossible_sizes_are_refused_with_the_number() -> None:
    hr = np.zeros((5, 9, 3), np.uint8)
    for scale in (0.5, 0.0, -2.0, math.nan, math.inf):
        with pytest.raises(SizeError, match=str(scale)):
            benchmark_pair(hr, scale)
    with pytest.raises(SizeError, match="9x5 pixels are too few to shrink by 6"):
        benchmark_pair(hr, 6)
    with pytest.raises(SizeError, match="cannot resize 5 samples to 0"):
        resize(hr, 0, 9)


def test_cached_operators_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        resize_matrix(4, 2)[0, 0] = 1.0
