"""`ginr upscale --restore`: which network a picture is given, and what is said about it.

Run: pytest tests/cli/test_restore.py
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ginr

from .support import Run, pixels_of


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
        options = "--restore", strength, "--detail", "0", "--overwrite"
        run("upscale", damaged, "-o", "out.png", *options)
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


def test_detail_comes_with_damage_and_photographs_alone(
    run: Run, damaged: Path, sound: Path
) -> None:
    flat = Image.new("RGB", (96, 96), "white")
    for k in range(0, 96, 12):
        flat.paste((20, 30, 60), (k, 8, k + 2, 88))
    flat.save("drawn.png")
    night, day, drawn = run("upscale", damaged, sound, "drawn.png", "-o", "out", "--json").records
    assert run.code == 0 and 0.3 <= night["restoration"]["detail"] <= 0.6
    assert day["restoration"]["detail"] == drawn["restoration"]["detail"] == 0
    assert f", detail {night['restoration']['detail']:g}\n" in run.err
    night, day, drawn = run(
        "upscale", damaged, sound, "drawn.png", "-o", "more", "--detail", "0.8", "--json"
    ).records
    assert night["restoration"]["detail"] == day["restoration"]["detail"] == 0.8
    assert drawn["restoration"]["detail"] == 0 and drawn["checkpoint"] == "ginr-small"
    assert day["restoration"]["strength"] == 0


def test_detail_goes_from_photo_to_crisp(run: Run, damaged: Path) -> None:
    for name, options in {
        "0.png": ["--detail", "0"],
        "photo.png": ["-c", "photo"],
        "half.png": ["--detail", "0.5"],
        "1.png": ["--detail", "1"],
        "crisp.png": ["-c", "crisp"],
    }.items():
        run("upscale", damaged, name, "--restore", "1", *options)
        assert run.code == 0
    assert (pixels_of("0.png") == pixels_of("photo.png")).all()
    assert (pixels_of("1.png") == pixels_of("crisp.png")).all()
    ends = [np.abs(pixels_of("half.png") - pixels_of(f"{k}.png")).mean() for k in (0, 1)]
    assert min(ends) > 0.2 and max(ends) < np.abs(pixels_of("0.png") - pixels_of("1.png")).mean()


def test_detail_is_the_same_in_tiles_in_torch_and_again(run: Run, damaged: Path) -> None:
    every = ["upscale", damaged, "--detail", "1", "--scale", "3"]
    run(*every, "whole.png")
    run(*every, "again.png")
    run(*every, "tiles.png", "--tile", "48")
    run(*every, "torch.png", "--ensemble")
    assert run.code == 0
    assert (pixels_of("whole.png") == pixels_of("again.png")).all()
    assert np.abs(pixels_of("whole.png") - pixels_of("tiles.png")).max() <= 2


def test_an_output_of_other_detail_does_not_count_as_done(
    run: Run, damaged: Path, sound: Path
) -> None:
    run("upscale", damaged, sound, "-o", "out")
    run("upscale", damaged, sound, "-o", "out", "--detail", "1")
    assert run.code == 1 and run.err.count("made with --detail auto, not 1") == 2


@pytest.mark.parametrize("amount", ["2", "-0.1", "nan", "much", "off"])
def test_an_amount_of_detail_out_of_range_is_refused(run: Run, sound: Path, amount: str) -> None:
    run("upscale", sound, "out.png", f"--detail={amount}")
    assert run.code == 2
    assert run.err == f"ginr: --detail {amount}: use auto, or a number from 0 to 1\n"


@pytest.mark.parametrize(("option", "value"), [("--checkpoint", "photo"), ("--bank", "main")])
def test_detail_is_for_the_automatic_choice(run: Run, sound: Path, option: str, value: str) -> None:
    run("upscale", sound, "out.png", "--detail", "0.5", option, value)
    assert run.code == 2
    assert run.err == f"ginr: --detail 0.5 mixes photo and crisp: leave {option} out\n"


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ((), {}),
        (("--restore", "0.3"), {"restore": 0.3}),
        (("--restore", "0"), {"restore": 0}),
        (("--detail", "0.8"), {"detail": 0.8}),
        (("--restore", "0", "--detail", "1"), {"restore": 0, "detail": 1}),
        (("--detail", "0", "-c", "photo"), {"model": "photo"}),
    ],
)
def test_python_makes_the_same(
    run: Run, damaged: Path, sound: Path, options: tuple[str, ...], how: dict[str, Any]
) -> None:
    run("upscale", damaged, sound, "-o", "out", "--verbose", *options)
    assert run.code == 0
    for path in (damaged, sound):
        said: list[str] = []
        made = ginr.upscale(path, notice=said.append, **how)
        assert (made.samples == pixels_of(Path("out", path.name))).all()
        assert all(f"{path}: {words}\n" in run.err for words in said)
        assert len(said) == (0 if how == {"restore": 0} else 1)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"restore": 2}, "restore=2: give None, or a number from 0 to 1"),
        ({"detail": float("nan")}, "detail=nan: give None, or a number from 0 to 1"),
        ({"detail": 0.5, "model": "photo"}, "detail=0.5 mixes photo and crisp: give no model"),
        ({"restore": 0.5, "model": "base"}, "restore=0.5 needs a network that restores"),
    ],
)
def test_python_refuses_what_cannot_be(sound: Path, how: dict[str, Any], words: str) -> None:
    with pytest.raises(ginr.GinrError, match=words):
        ginr.upscale(sound, **how)


def test_frames_are_given_detail_only_if_asked_for(run: Run, damaged: Path) -> None:
    with Image.open(damaged) as image:
        image.save("a.webp", save_all=True, append_images=[image.rotate(180)], lossless=True)
    (record,) = run("upscale", "a.webp", "b.webp", "--json").records
    assert record["frames"] == 2 and record["restoration"]["strength"] > 0.3
    assert record["restoration"]["detail"] == 0
    (record,) = run("upscale", "a.webp", "c.webp", "--detail", "0.5", "--json").records
    assert record["restoration"]["detail"] == 0.5
