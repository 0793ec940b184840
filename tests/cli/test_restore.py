"""`ginr upscale --restore`: which network a picture is given, and what is said about it.

Run: pytest tests/cli/test_restore.py
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .support import Run


@pytest.fixture
def damaged(sample_images: Path) -> Path:
    """A photograph with visible noise."""
    with Image.open(sample_images / "photo_osprey.png") as image:
        pixels = np.asarray(image.convert("RGB"))[:96, :128]
    noise = np.random.default_rng(0).normal(0, 10, (96, 128, 1))
    path = Path("night.png")
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def sound(sample_images: Path) -> Path:
    path = Path("sound.png")
    with Image.open(sample_images / "photo_osprey.png") as image:
        image.crop((0, 0, 128, 96)).save(path)
    return path


def pixels_of(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_damaged_pictures_are_restored_and_sound_ones_are_not(
    run: Run, damaged: Path, sound: Path
) -> None:
    night, day = run("upscale", damaged, sound, "-o", "out", "--json").records
    assert run.code == 0
    assert (night["checkpoint"], day["checkpoint"]) == ("ginr-photo", "ginr-small")
    assert night["restoration"]["strength"] == night["restoration"]["needed"] > 0.3
    assert night["restoration"]["noise"] > 4 and day["restoration"]["strength"] == 0
    assert "night.png: noise of" in run.err and "restored with strength" in run.err
    assert "sound.png: undamaged: enlarged as it is" in run.err


def test_off_is_what_small_makes(run: Run, damaged: Path) -> None:
    (record,) = run("upscale", damaged, "off.png", "--restore", "off", "--json").records
    assert record["checkpoint"] == "ginr-small" and record["restoration"] is None
    run("upscale", damaged, "small.png", "--checkpoint", "small")
    run("upscale", damaged, "zero.png", "--restore", "0")
    assert (pixels_of("off.png") == pixels_of("small.png")).all()
    assert (pixels_of("off.png") == pixels_of("zero.png")).all()


def test_more_strength_leaves_less_noise(run: Run, damaged: Path) -> None:
    left = []
    for strength in ("0", "0.3", "0.6", "1"):
        run("upscale", damaged, "-o", "out.png", "--restore", strength, "--overwrite")
        assert run.code == 0
        left.append(np.abs(np.diff(pixels_of("out.png"), axis=1)).mean())
    assert left == sorted(left, reverse=True) and left[-1] < 0.7 * left[0]


def test_a_restorer_is_named_like_any_checkpoint(run: Run, sound: Path) -> None:
    (record,) = run("upscale", sound, "out.png", "-c", "photo", "--json").records
    assert record["checkpoint"] == "ginr-photo" and record["restoration"]["strength"] == 0
    (record,) = run("upscale", sound, "1.png", "--restore", "0.5", "--json").records
    assert record["checkpoint"] == "ginr-photo" and record["restoration"]["strength"] == 0.5


@pytest.mark.parametrize("strength", ["2", "-0.1", "nan", "much", ""])
def test_a_strength_out_of_range_is_refused(run: Run, sound: Path, strength: str) -> None:
    run("upscale", sound, "out.png", f"--restore={strength}")
    assert run.code == 2
    assert run.err == f"ginr: --restore {strength}: use auto, off, or a number from 0 to 1\n"


def test_a_network_that_cannot_restore_is_refused(run: Run, sound: Path) -> None:
    run("upscale", sound, "out.png", "--restore", "0.5", "--checkpoint", "base")
    assert run.code == 2 and run.err.endswith(
        "--restore 0.5: base was not trained to restore: leave --checkpoint out, or use photo\n"
    )
    assert not Path("out.png").exists()
    run("upscale", sound, "out.png", "--checkpoint", "small")  # auto: nothing to restore with
    assert run.code == 0 and "restored" not in run.err


def test_the_quality_of_a_jpeg_is_reported(run: Run, sound: Path) -> None:
    Image.open(sound).convert("RGB").save("low.jpg", quality=40)
    (record,) = run("upscale", "low.jpg", "out.png", "--json").records
    assert record["restoration"]["jpeg_quality"] == 40
    assert record["restoration"]["strength"] > 0.7
    assert "low.jpg: JPEG of quality 40" in run.err
