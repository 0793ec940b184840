"""The compiled correction against the plain one: pytest tests/kernels/test_correction.py"""

import numpy as np
import pytest

from ginr.architecture.limits import find_limits
from ginr.array_types import Floats
from ginr.kernels import compile
from ginr.kernels.consistency import REACH, Shrinking, by_pixel, corrected
from ginr.kernels.correction import BAND, correct

SIZES = [
    *((1, 1), (1, 40), (40, 1), (4, 20), (20, 4)),  # without an inside
    *((5, 5), (30, 15), (5, 16), (6, 17), (200, 16), (5, 200)),
    *((BAND + 4, 31), (BAND + 5, 32), (3 * BAND + 3, 33), (37, 101)),
]


def inputs(
    size: tuple[int, int], per_side: int, n_batch: int = 2
) -> tuple[Floats, Floats, Floats, Shrinking]:
    random = np.random.default_rng(size).random
    base = random((n_batch, 3, *size), np.float32)
    base[:, :, 8:, 8:20] = 0.25  # a flat area, which has limits
    features = random((n_batch, *(per_side * side for side in size), 8), np.float32) - 0.5
    blur = random((2, 4 * REACH - 1), np.float32) / 7
    kernel = random(((2 * REACH + 1) ** 2 * 3, per_side**2 * 8), np.float32) / 50
    shrinking = Shrinking((blur[0], blur[1]), kernel, random((3, 1, 1), np.float32) / 9)
    return base, find_limits(base), features, shrinking


@pytest.mark.parametrize("per_side", [1, 2])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_equals_the_plain_correction(size: tuple[int, int], per_side: int) -> None:
    base, limits, features, shrinking = inputs(size, per_side)
    expected = corrected(base, limits, by_pixel(features, per_side), shrinking)
    if min(size) > 2 * REACH:
        assert np.abs(expected - base).max() > 0.1
    ours = correct(base, limits, features, shrinking, per_side)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("n_batch", [1, 2])
def test_a_crop_is_corrected_as_its_copy(n_batch: int) -> None:
    size = 21, 29
    base, limits, features, shrinking = inputs(size, 1, n_batch)
    larger = np.full((n_batch, 32, 48, 8), np.nan, np.float32)
    crop = larger[:, : size[0], : size[1]]
    crop[:] = features
    columns = np.asfortranarray(features)  # no row of it is contiguous
    expected = correct(base, limits, features, shrinking, 1)
    for same in (crop, columns, larger[:, 1:, 1:][:, : size[0], : size[1]]):
        same[:] = features
        assert np.array_equal(correct(base, limits, same, shrinking, 1), expected)


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    base, limits, features, shrinking = inputs((45, 70), 2)
    results = []
    for n in (1, 2, 3, 8):
        monkeypatch.setattr(compile, "thread_count", lambda n=n: n)
        results.append(correct(base, limits, features, shrinking, 2))
    assert all(np.array_equal(results[0], result) for result in results[1:])


def test_nan_reaches_no_further_than_both_convolutions() -> None:
    base, limits, features, shrinking = inputs((30, 40), 1, 1)
    expected = correct(base, limits, features, shrinking, 1)
    features[:, 12, 20] = np.nan
    changed = correct(base, limits, features, shrinking, 1) != expected
    around = REACH + 2 * REACH - 1  # of K, then of A
    changed[:, :, 12 - around : 13 + around, 20 - around : 21 + around] = False
    assert not changed.any()
