"""Degradations: bicubic alone by default, otherwise within bounds: pytest tests/training/test_degradation.py"""

import math

import numpy as np
import pytest

from ginr.pictures.resize import bicubic_8bit
from ginr.training.degradation import PRESETS, Degradation, degrade, gaussian_kernel, shrink_matrix

from .support import noise, stripes


def planes(side: int) -> np.ndarray:
    return stripes(side, 9).transpose(2, 0, 1).astype(np.float32)


def test_clean_is_bicubic() -> None:
    lr = degrade(
        noise(30).transpose(2, 0, 1).astype(np.float32),
        12,
        np.random.default_rng(0),
        PRESETS["clean"],
    )
    difference = np.abs(bicubic_8bit(noise(30), 12, 12) - lr.transpose(1, 2, 0))
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("n", "side"), [(16, 16), (37, 16), (64, 16)])
def test_every_preset_gives_whole_levels_and_repeats_itself(name: str, n: int, side: int) -> None:
    for seed in range(8):
        one, two = (
            degrade(planes(n), side, np.random.default_rng(seed), PRESETS[name]) for _ in range(2)
        )
        assert np.array_equal(one, two)
        assert one.shape == (3, side, side) and one.dtype == np.float32
        assert one.min() >= 0 and one.max() <= 255 and np.array_equal(one, one.round())


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear", "area"])
def test_shrinking_keeps_the_mean_and_the_place(kernel: str) -> None:
    matrix = shrink_matrix(kernel, 30, 12)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    ramp = matrix @ np.arange(30, dtype=np.float32)
    np.testing.assert_allclose(ramp[2:-2], ((np.arange(12) + 0.5) * 2.5 - 0.5)[2:-2], atol=0.06)
    assert np.array_equal(shrink_matrix(kernel, 12, 12), np.eye(12, dtype=np.float32))


def test_area_by_hand() -> None:
    expected = np.array([[2, 1, 0], [0, 1, 2]], np.float32) / 3
    np.testing.assert_allclose(shrink_matrix("area", 3, 2), expected, atol=1e-6)


def test_a_kernel_has_its_deviations_along_its_axes() -> None:
    kernel = gaussian_kernel(3.0, 1.0, math.pi / 6)
    radius = kernel.shape[0] // 2
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along, across = (x * math.cos(t) + y * math.sin(t) for t in (math.pi / 6, math.pi * 2 / 3))
    assert kernel.sum() == pytest.approx(1)
    assert (kernel * along**2).sum() == pytest.approx(9, rel=0.05)
    assert (kernel * across**2).sum() == pytest.approx(1, rel=0.05)


def test_a_blur_leaves_flat_pictures_alone_and_softens_others() -> None:
    blur = Degradation(blur=1.0, sigma=(0.6, 0.7))
    flat = np.full((3, 32, 32), 99, np.float32)
    random = np.random.default_rng(0)
    assert np.array_equal(degrade(flat, 16, random, blur), np.full((3, 16, 16), 99))
    sharp, soft = (degrade(planes(32), 16, random, how) for how in (Degradation(), blur))
    assert soft.std() < 0.95 * sharp.std()


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_of_the_strength_asked_for(seed: int) -> None:
    noisy = Degradation(noise=1.0, deviation=(8.0, 8.0), photons=(math.log10(250), math.log10(250)))
    flat = np.full((3, 96, 96), 255 / 4, np.float32).round()
    lr = degrade(flat, 96, np.random.default_rng(seed), noisy)
    assert abs(lr.mean() - flat.mean()) < 0.5
    # Poisson: a quarter of white is 62.5 photons, sqrt(62.5) of them 8 levels.
    assert 7.5 < lr.std() < 8.6
