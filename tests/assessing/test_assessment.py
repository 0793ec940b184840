"""What is seen of a picture's damage: nothing in sound pictures, more the more there is.

Run: pytest tests/assessing/test_assessment.py
"""

from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageFilter

from ginr.array_types import Image
from ginr.assessing.assessment import MOST, TRAITS, TYPICAL, Assessment, assess
from ginr.assessing.statistics import N_STATISTIC, SIDE, statistics
from ginr.pictures import Picture, read_picture
from ginr.training.degradation import PRESETS, degrade

PHOTOS = ("photo_colosseum.png", "photo_osprey.png", "photo_spices.png")
DRAWINGS = ("line_art.png", "pixel_art.png", "text_ui.png")


@pytest.fixture(params=PHOTOS)
def photo(request: pytest.FixtureRequest, sample_images: Path) -> Image:
    samples = read_picture(sample_images / request.param).samples
    return samples[:288, :288, :3]  # type: ignore[return-value]


def seen(image: Image) -> Assessment:
    return assess(Picture(np.ascontiguousarray(image)))


def as_jpeg(image: Image, quality: int) -> Image:
    file = BytesIO()
    PillowImage.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(PillowImage.open(file).convert("RGB"))


def noisy(image: Image, deviation: float) -> Image:
    noise = np.random.default_rng(0).normal(0, deviation, (*image.shape[:2], 1))
    return (image + noise + 0.5).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", PHOTOS + DRAWINGS)
def test_a_sound_picture_needs_nothing(sample_images: Path, name: str) -> None:
    found = assess(read_picture(sample_images / name))
    assert found.strength == 0 and str(found) == "undamaged"
    assert found.is_drawn == (name in DRAWINGS)


def test_compression_rises_as_quality_falls(photo: Image) -> None:
    found = [seen(as_jpeg(photo, quality)) for quality in (90, 75, 60, 40, 25)]
    assert all(a.compression < b.compression for a, b in pairwise(found))
    assert all(one.strength > 0 and "compressed before" in str(one) for one in found[2:])
    assert max(one.noise for one in found) < 1.5


def test_noise_is_measured(photo: Image) -> None:
    for deviation in (8, 14):
        found = seen(noisy(photo, deviation))
        assert 0.3 * deviation < found.noise < 1.4 * deviation  # least where the photograph is busy
        assert f"noise of {found.noise:.0f} levels" in str(found) and found.strength > 0.15


def test_one_level_of_noise_is_singular(photo: Image) -> None:
    one = replace(seen(photo), noise=1.45, strength=0.1)
    assert "noise of 1 level" in str(one) and "levels" not in str(one)


def test_blur_is_measured(photo: Image) -> None:
    sharp = PillowImage.fromarray(photo)
    found = [seen(np.asarray(sharp.filter(ImageFilter.GaussianBlur(s)))) for s in (0.7, 0.9, 1.2)]
    assert found[0].blur < found[1].blur < found[2].blur
    assert 0.7 < found[2].blur < 1.5 and "blurred by" in str(found[2])


def test_strength_rises_with_the_damage(photo: Image) -> None:
    by_noise = [seen(noisy(photo, deviation)).strength for deviation in (0, 4, 8, 11, 15)]
    assert by_noise == sorted(by_noise) and by_noise[0] == 0 < by_noise[2] < by_noise[3]
    assert by_noise[4] > 0.8


@pytest.mark.parametrize("preset", ["phone", "film"])
def test_what_a_camera_does_is_damage(photo: Image, preset: str) -> None:
    hr, random = photo.transpose(2, 0, 1).astype(np.float32), np.random.default_rng(1)
    found = [seen(_lr(hr, random, preset)).strength for _ in range(8)]
    assert sum(strength > 0 for strength in found) >= 7 and np.mean(found) > 0.2
    assert seen(_lr(hr, random, "clean")).strength == 0


def _lr(hr: np.ndarray, random: np.random.Generator, preset: str) -> Image:
    return degrade(hr, (144, 144), random, PRESETS[preset]).transpose(1, 2, 0).astype(np.uint8)


def test_the_quality_of_the_file_goes_before_what_the_pixels_say(photo: Image) -> None:
    sound = np.ascontiguousarray(photo)
    by_quality = [assess(Picture(sound, jpeg_quality=q)).strength for q in (30, 50, 70, 90, 96)]
    assert by_quality == sorted(by_quality, reverse=True)
    assert by_quality[0] == 1 and by_quality[-1] == 0
    assert str(assess(Picture(sound, jpeg_quality=50))) == "JPEG of quality 50"


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 300, 1), (96, 96, 2), (97, 130, 4)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_any_picture_can_be_looked_at(shape: tuple[int, int, int], depth: type) -> None:
    samples = np.random.default_rng(0).integers(0, np.iinfo(depth).max, shape, dtype=depth)
    found = assess(Picture(samples))
    assert 0 <= found.strength <= 1
    assert found.traits.shape == (len(TRAITS),) and np.isfinite(found.traits).all()
    flat = assess(Picture(np.full(shape, 77, depth)))
    assert flat.strength == 0 and np.isfinite(flat.traits).all()


def test_traits_go_from_nothing_through_what_was_seen_to_typical_damage(photo: Image) -> None:
    found = seen(noisy(photo, 10))
    assert 0 < found.strength < 1
    assert not found.traits_for(0).any()
    told = found.traits_for(found.strength)
    assert (np.abs(told) <= np.abs(found.traits) + 1e-6).all()
    np.testing.assert_allclose(found.traits_for(found.strength / 2), told / 2, atol=1e-6)
    further = found.traits_for(1)
    assert ((further - told) * np.sign(TYPICAL) >= -1e-6).all()
    assert np.abs(further).max() <= MOST
    assert seen(photo).traits_for(1).any()  # asked for though it needs nothing


def test_statistics_are_finite_and_the_same_each_time() -> None:
    tile = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    first = statistics(tile)
    assert first.shape == (N_STATISTIC,) and np.isfinite(first).all()
    np.testing.assert_array_equal(statistics(tile.copy()), first)
    assert np.isfinite(statistics(np.zeros_like(tile))).all()
