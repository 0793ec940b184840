"""Degradations: bicubic alone by default, otherwise within bounds: pytest tests/training/test_degradation.py"""

import math

import numpy as np
import pytest

from ginr.array_types import Planes
from ginr.pictures.resize import bicubic_8bit
from ginr.training.degradation import (
    KERNELS,
    PRESETS,
    Degradation,
    blur_kernel,
    contact_sheet,
    damaged,
    degrade,
    gaussian_kernel,
    shrink_matrix,
    smoothed,
)

from .support import noise, stripes


def planes(side: int) -> Planes:
    return stripes(side, 9).transpose(2, 0, 1).astype(np.float32)


def test_clean_is_bicubic() -> None:
    lr = degrade(
        noise(30).transpose(2, 0, 1).astype(np.float32),
        (12, 12),
        np.random.default_rng(0),
        PRESETS["clean"],
    )
    difference = np.abs(bicubic_8bit(noise(30), 12, 12) - lr.transpose(1, 2, 0))
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("n", "side"), [(16, 16), (37, 16), (64, 16)])
def test_every_preset_gives_whole_levels_and_repeats_itself(name: str, n: int, side: int) -> None:
    for seed in range(24):
        one, two = (
            degrade(planes(n), (side, side), np.random.default_rng(seed), PRESETS[name])
            for _ in range(2)
        )
        assert np.array_equal(one, two)
        assert one.shape == (3, side, side) and one.dtype == np.float32
        assert one.min() >= 0 and one.max() <= 255 and np.array_equal(one, one.round())


@pytest.mark.parametrize("kernel", KERNELS)
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


@pytest.mark.parametrize("seed", range(30))
def test_every_blur_has_its_deviation_along_its_longer_axis(seed: int) -> None:
    random = np.random.default_rng(seed)
    kernel = blur_kernel(random, 4.0)
    radius = kernel.shape[0] // 2
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    spread = np.array([[(kernel * a * b).sum() for a in (y, x)] for b in (y, x)])
    assert kernel.sum() == pytest.approx(1) and kernel.min() >= 0
    assert np.linalg.eigvalsh(spread)[-1] == pytest.approx(16, rel=0.05)


def test_a_blur_leaves_flat_pictures_alone_and_softens_others() -> None:
    blur = Degradation(blur=1.0, sigma=(0.6, 0.7))
    flat = np.full((3, 32, 32), 99, np.float32)
    random = np.random.default_rng(0)
    assert np.array_equal(degrade(flat, (16, 16), random, blur), np.full((3, 16, 16), 99))
    sharp, soft = (degrade(planes(32), (16, 16), random, how) for how in (Degradation(), blur))
    assert soft.std() < 0.95 * sharp.std()


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_of_the_strength_asked_for(seed: int) -> None:
    noisy = Degradation(
        noise=1.0, deviation=(8.0, 8.0), photons=(math.log10(250), math.log10(250)), smear=0.0
    )
    flat = np.full((3, 96, 96), 255 / 4, np.float32).round()
    lr = degrade(flat, (96, 96), np.random.default_rng(seed), noisy)
    assert abs(lr.mean() - flat.mean()) < 0.5
    # Poisson: a quarter of white is 62.5 photons, sqrt(62.5) of them 8 levels.
    assert 7.5 < lr.std() < 8.6


def difference(how: Degradation, seed: int = 0) -> Planes:
    """What a degradation adds to a flat grey picture."""
    flat = np.full((3, 96, 96), 128, np.float32)
    return degrade(flat, (96, 96), np.random.default_rng(seed), how) - 128


def test_grey_grainy_and_smeared_noise() -> None:
    plain = {"noise": 1.0, "deviation": (8.0, 8.0), "photons": (2.7, 2.7)}
    grey = difference(Degradation(**plain, grey=1.0, grain=0.0))
    assert np.array_equal(grey[0], grey[1]) and np.array_equal(grey[0], grey[2])
    colour = difference(Degradation(**plain, grey=0.0, grain=0.0, smear=0.0))
    assert abs(np.corrcoef(colour[0].ravel(), colour[1].ravel())[0, 1]) < 0.05

    def alike(noise: Planes) -> float:  # neighbours
        return float(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1])

    assert abs(alike(grey[0])) < 0.05
    assert alike(difference(Degradation(**plain, grain=1.0, smear=0.0))[0]) > 0.1
    smeared = difference(Degradation(**plain, grey=0.0, grain=0.0, smear=1.0))
    assert alike(smeared[0] - smeared[1]) > 0.5 > abs(alike(smeared.mean(axis=0)))


def test_sharpening_leaves_halos_and_flat_pictures_alone() -> None:
    sharpened = Degradation(sharpen=1.0)
    assert not difference(sharpened).any()
    edge = np.full((3, 64, 64), 60, np.float32)
    edge[..., 32:] = 180
    lr = degrade(edge, (64, 64), np.random.default_rng(0), sharpened)
    assert lr.min() < 58 and lr.max() > 182
    assert np.array_equal(lr[..., :24], edge[..., :24])


def test_compression_is_of_the_quality_asked_for() -> None:
    texture = smoothed(np.random.default_rng(0).random((1, 64, 64), np.float32), 1.0)
    grey = (texture * 255).round().repeat(3, axis=0)

    def off(quality: float) -> float:
        how = Degradation(compress=1.0, quality=(quality, quality))
        return float(np.abs(degrade(grey, (64, 64), np.random.default_rng(3), how) - grey).mean())

    assert off(95) < off(60) < off(30)


def test_a_second_round_is_more_damage() -> None:
    once, twice = (
        Degradation(compress=1.0, quality=(40.0, 40.0), webp=0.0, again=again)
        for again in (0.0, 1.0)
    )

    def off(how: Degradation) -> float:
        clean = degrade(planes(96), (32, 32), np.random.default_rng(0), PRESETS["clean"])
        seeds = range(12)
        draws = [degrade(planes(96), (32, 32), np.random.default_rng(s), how) for s in seeds]
        return float(np.mean([np.abs(draw - clean).mean() for draw in draws]))

    assert off(twice) > 1.05 * off(once)


def test_a_whole_picture_of_any_shape_is_degraded() -> None:
    hr = np.random.default_rng(0).integers(256, size=(3, 90, 141)).astype(np.float32)
    for seed in range(20):
        lr = degrade(hr, (30, 47), np.random.default_rng(seed), PRESETS["photo"])
        assert lr.shape == (3, 30, 47) and np.array_equal(lr, lr.round())


@pytest.mark.parametrize("n_channel", [1, 3])
def test_a_picture_is_damaged_the_same_by_its_name(n_channel: int) -> None:
    hr = stripes(60, 9)[..., :n_channel]
    lr = damaged(hr, 20, 25, "film", "a")
    assert lr.shape == (20, 25, n_channel) and lr.dtype == np.uint8
    assert np.array_equal(lr, damaged(hr, 20, 25, "film", "a"))
    assert not np.array_equal(lr, damaged(hr, 20, 25, "film", "b"))


def test_a_share_is_left_clean() -> None:
    clean = degrade(planes(40), (16, 16), np.random.default_rng(0), PRESETS["clean"])
    draws = [
        degrade(planes(40), (16, 16), np.random.default_rng(s), PRESETS["photo"])
        for s in range(400)
    ]
    assert 0.13 < np.mean([np.array_equal(draw, clean) for draw in draws]) < 0.23


def test_smoothing_keeps_the_mean_and_the_size() -> None:
    picture = np.random.default_rng(0).random((2, 7, 9), np.float32)
    out = smoothed(picture, 1.3)
    assert out.shape == picture.shape and out.std() < picture.std()
    np.testing.assert_allclose(smoothed(np.ones((1, 5, 5), np.float32), 2.0), 1, rtol=1e-6)


@pytest.mark.parametrize("name", PRESETS)
def test_a_contact_sheet_shows_bicubic_first(name: str) -> None:
    images = [noise(200), stripes(120, 9)]
    sheet = contact_sheet(images, name, 0, side=48)
    assert sheet.shape == (2 * 2 * 48, 8 * 2 * 48, 3)
    assert np.array_equal(sheet, contact_sheet(images, name, 0, side=48))
    first = stripes(120, 9)[12:108, 12:108]
    expected = bicubic_8bit(first, 48, 48).repeat(2, 0).repeat(2, 1)
    assert np.abs(sheet[96:, :96].astype(int) - expected).max() <= 1
