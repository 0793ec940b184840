"""Written animations: exact frames, colours, delays, loops: pytest tests/animations/test_writing.py"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from ginr.animations import Frame, animation_losses, open_animation, write_animation
from ginr.animations.gif_frames import with_colours
from ginr.errors import PictureError
from ginr.pictures import Picture, ReadRules, read_picture
from ginr.pictures.samples import Samples

from .support import BLUE, HEIGHT, NONE, RED, WIDTH, flat, moving, read, seconds

LIKE = Picture(flat(RED))


def write(path: Path, samples: list[Samples], delays: list[Fraction], plays: int = 0) -> list[str]:
    frames = (Frame(*both) for both in zip(samples, delays, strict=True))
    height, width = samples[0].shape[:2]
    return write_animation(frames, LIKE, plays, path, height=height, width=width)


def shown_by_pillow(path: Path) -> list[Samples]:
    with Image.open(path) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            found.append(np.asarray(image.convert("RGBA")))
        return found


@pytest.mark.parametrize("name", ["a.png", "a.apng", "a.webp"])
def test_frames_come_back_exactly(tmp_path: Path, name: str) -> None:
    samples = [*moving(), moving()[3], moving()[0]]
    delays = [Fraction(1, n) for n in (5, 10, 20, 25, 50, 2)]
    assert write(tmp_path / name, samples, delays, 3) == []
    frames, _ = read(tmp_path / name)
    assert [frame.delay for frame in frames] == delays
    assert open_animation(tmp_path / name, ReadRules()).plays == 3
    for frame, pillow, sample in zip(
        frames, shown_by_pillow(tmp_path / name), samples, strict=True
    ):
        visible = sample[..., 3:] > 0 if name == "a.webp" else np.True_
        np.testing.assert_array_equal(frame.samples * visible, sample * visible)
        np.testing.assert_array_equal(pillow * visible, sample * visible)


def test_16_bits_stay_in_apng_only(tmp_path: Path) -> None:
    samples = moving(3, 65_535)
    delays = [Fraction(1, 7)] * 3
    assert write(tmp_path / "a.png", samples, delays) == []
    frames, _ = read(tmp_path / "a.png")
    assert [frame.delay for frame in frames] == delays
    for frame, sample in zip(frames, samples, strict=True):
        np.testing.assert_array_equal(frame.samples, sample)
    write(tmp_path / "a.webp", samples, delays)
    assert read(tmp_path / "a.webp")[0][0].samples.dtype == np.uint8
    like = Picture(samples[0])
    assert animation_losses(like, Path("a.gif")) == ["GIF has 8 bits per sample: rounded from 16"]


def test_few_colours_are_exact_in_gif(tmp_path: Path) -> None:
    hole = flat(RED)
    hole[2:4, 3:6] = NONE
    spot = hole.copy()
    spot[5, 5] = BLUE
    samples = [flat(RED), hole, spot, spot, flat(BLUE), hole]
    assert write(tmp_path / "a.gif", samples, [Fraction(1, 10)] * 6, 1) == []
    frames, _ = read(tmp_path / "a.gif")
    for frame, pillow, sample in zip(frames, shown_by_pillow(tmp_path / "a.gif"), samples, strict=True):  # fmt: skip
        np.testing.assert_array_equal(frame.samples, sample)
        visible = sample[..., 3:] > 0
        np.testing.assert_array_equal(pillow * visible, sample * visible)


def test_partial_alpha_is_rounded_and_said(tmp_path: Path) -> None:
    samples = [flat((255, 0, 0, 127)), flat((0, 0, 255, 128))]
    lost = write(tmp_path / "a.gif", samples, [Fraction(1, 10)] * 2)
    assert lost == ["GIF has no partial transparency: rounded"]
    frames, _ = read(tmp_path / "a.gif")
    np.testing.assert_array_equal(frames[0].samples, flat(NONE))
    np.testing.assert_array_equal(frames[1].samples, flat(BLUE))


def test_many_colours_are_close_and_what_stands_still_does_not_flicker(tmp_path: Path) -> None:
    y, x = np.mgrid[0:64, 0:64]
    first = np.stack([4 * y, 4 * x, 2 * (x + y), np.full_like(x, 255)], -1).astype(np.uint8)
    second = first.copy()
    second[:16] = first[16:32]
    lost = write(tmp_path / "a.gif", [first, second], [Fraction(1, 10)] * 2)
    assert lost == ["GIF has 255 colours per frame: others are dithered"]
    a, b = (frame.samples.astype(int) for frame in read(tmp_path / "a.gif")[0])
    np.testing.assert_array_equal(a[16:], b[16:])
    assert np.abs(a - first).mean() < 5 and np.abs(b[:16] - second[:16]).mean() < 4


def test_colours_are_chosen_from_what_is_drawn() -> None:
    rgb = np.zeros((4, 100, 3), np.uint8)
    rgb[0] = np.arange(300).reshape(100, 3) % 251
    rgb[1:] = np.random.default_rng(0).integers(0, 256, (3, 100, 3))
    drawn = np.zeros((4, 100), bool)
    drawn[0] = True
    indices, colours, is_exact = with_colours(rgb, drawn)
    table = np.frombuffer(colours, np.uint8).reshape(256, 3)
    np.testing.assert_array_equal(table[indices[0]], rgb[0])
    assert is_exact and (indices[1:] == 255).all()


@pytest.mark.parametrize("rate", [10, 24, 30, 48, 50])
def test_gif_lasts_as_long(tmp_path: Path, rate: int) -> None:
    n = 60
    samples = [flat((k, k, k, 255)) for k in range(n)]
    assert write(tmp_path / "a.gif", samples, [Fraction(1, rate)] * n) == []
    frames, _ = read(tmp_path / "a.gif")
    assert len(frames) == n and abs(seconds(frames) - Fraction(n, rate)) <= Fraction(1, 200)
    assert min(frame.delay for frame in frames) >= Fraction(2, 100)


def test_frames_too_fast_for_gif_are_left_out_and_it_lasts_as_long(tmp_path: Path) -> None:
    samples = [flat((k, k, k, 255)) for k in range(60)]
    (words,) = write(tmp_path / "a.gif", samples, [Fraction(1, 60)] * 60)
    frames, _ = read(tmp_path / "a.gif")
    assert words == f"GIF shows at most 50 frames per second: {60 - len(frames)} left out"
    assert abs(seconds(frames) - 1) <= Fraction(1, 100) and len(frames) > 35
    assert min(frame.delay for frame in frames) == Fraction(2, 100)


def test_delays_of_a_gif_stay(tmp_path: Path) -> None:
    delays = [Fraction(n, 100) for n in (0, 1, 2, 700, 1, 65_535)]
    write(tmp_path / "a.gif", [flat((k, 0, 0, 255)) for k in range(6)], delays)
    assert [frame.delay for frame in read(tmp_path / "a.gif")[0]] == delays


def test_delays_too_long_are_said(tmp_path: Path) -> None:
    samples = [flat(RED), flat(BLUE)]
    words = write(tmp_path / "a.gif", samples, [Fraction(1000), Fraction(1)])
    assert words == ["GIF cannot show a frame for that long: 1 shortened"]


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_metadata_is_kept(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[0x10F] = "Maker"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    like = Picture(flat(RED), icc=srgb, exif=exif.tobytes()[6:], xmp=xmp)
    frames = (Frame(sample, Fraction(1, 10)) for sample in moving(2))
    write_animation(frames, like, 0, tmp_path / name, height=HEIGHT, width=WIDTH)
    again = read_picture(tmp_path / name)
    assert (again.icc, again.xmp) == (srgb, xmp) and again.exif
    assert animation_losses(like, tmp_path / name) == []
    assert animation_losses(like, Path("a.gif")) == [
        "ICC profile dropped: GIF is written without", "EXIF dropped: GIF is written without",
    ]  # fmt: skip


def test_a_gif_keeps_xmp_of_any_length(tmp_path: Path) -> None:
    path, picture = tmp_path / "a.gif", flat(RED)
    for n in (0, 300, 20_000):
        xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/' x:name='%s'/>" % ("\u00fc" * n).encode()
        like, frames = Picture(picture, xmp=xmp), [Frame(picture, Fraction(1))] * 2
        write_animation(frames, like, 0, path, height=HEIGHT, width=WIDTH, overwrite=True)
        assert read_picture(path).xmp == xmp and len(read(path)[0]) == 2
        assert len(shown_by_pillow(path)) == 2


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_a_failure_leaves_no_file(tmp_path: Path, name: str) -> None:
    def frames() -> Iterator[Frame]:
        yield Frame(flat(RED), Fraction(1))
        raise PictureError("no more")

    with pytest.raises(PictureError, match="no more"):
        write_animation(frames(), LIKE, 0, tmp_path / name, height=HEIGHT, width=WIDTH)
    assert list(tmp_path.iterdir()) == []
