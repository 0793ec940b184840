"""Write and read pictures: pytest tests/pictures/test_round_trips.py"""

import numpy as np
import pytest
from PIL import Image

from ginr.errors import PictureError
from ginr.pictures import WRITABLE, Picture, losses, probe_picture, read_picture, write_picture

from .support import random_samples


@pytest.mark.parametrize("shape", [(1, 1), (13, 17), (3, 5000)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
def test_lossless_formats_return_what_was_written(tmp_path, suffix, depth, channels, shape):
    picture = Picture(random_samples(*shape, channels, depth))
    path = tmp_path / f"a{suffix}"
    assert losses(picture, path) == []
    write_picture(picture, path)
    again = read_picture(path)
    np.testing.assert_array_equal(again.samples, picture.samples)
    assert again.depth == depth and again.notes == ()
    header = probe_picture(path)
    assert (header.height, header.width, header.channels, header.depth) == (*shape, channels, depth)


@pytest.mark.parametrize(
    ("suffix", "channels"), [(".bmp", 1), (".bmp", 3), (".webp", 3), (".webp", 4)]
)
def test_other_lossless_formats_return_what_was_written(tmp_path, suffix, channels):
    picture = Picture(random_samples(13, 17, channels))
    write_picture(picture, tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_picture(tmp_path / f"a{suffix}").samples, picture.samples)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_every_format_keeps_size_and_nearly_the_samples(tmp_path, suffix, channels, depth):
    ramp = np.linspace(0, 1, 40)[None, :, None] * np.linspace(0.5, 1, 24)[:, None, None]
    peak = 2**depth - 1
    samples = np.repeat(np.rint(ramp * peak), channels, 2).astype(f"u{depth // 8}")
    if channels in (2, 4):
        samples[..., -1] = peak
    picture = Picture(samples)
    path = tmp_path / f"a{suffix}"
    lost = losses(picture, path)
    write_picture(picture, path)
    again = read_picture(path)
    header = probe_picture(path)
    assert (again.height, again.width) == (header.height, header.width) == (24, 40)
    assert (again.channels, again.depth) == (header.channels, header.depth)
    expected = np.mean(ramp[..., 0], dtype=np.float64)
    assert again.pixels(0, 0, 24, 40)[0].mean() == pytest.approx(expected, abs=0.01)
    assert (again.depth < depth) == any("8 bits" in phrase for phrase in lost)
    assert not any("transparency" in phrase for phrase in lost)  # it is opaque


def test_a_large_picture_spans_many_strips_and_bands(tmp_path):
    picture = Picture(random_samples(1500, 1100, 3))
    for name in ("a.png", "a.tif"):
        write_picture(picture, tmp_path / name)
        np.testing.assert_array_equal(read_picture(tmp_path / name).samples, picture.samples)


def test_sixteen_bits_are_rounded_to_the_nearest_eight(tmp_path):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    write_picture(Picture(levels), tmp_path / "a.bmp")
    expected = np.floor(levels / 257 + 0.5)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.bmp").samples, expected)


def test_a_dark_16_bit_picture_stays_16_bit(tmp_path):
    picture = Picture(random_samples(5, 6, 3, 16) % 200)
    for name in ("a.png", "a.tif"):
        write_picture(picture, tmp_path / name)
        again = read_picture(tmp_path / name)
        assert again.depth == 16
        np.testing.assert_array_equal(again.samples, picture.samples)


@pytest.mark.parametrize("depth", [8, 16])
def test_alpha_is_placed_on_white_where_the_format_has_none(tmp_path, depth):
    peak = 2**depth - 1
    samples = np.zeros((2, 2, 4), f"u{depth // 8}")
    samples[0, 0] = peak  # opaque white
    samples[0, 1, 3] = peak  # opaque black
    samples[1, 1, 3] = peak // 2 + 1  # half black
    path = tmp_path / "a.bmp"
    assert "BMP has no transparency: placed on white" in losses(Picture(samples), path)
    write_picture(Picture(samples), path)
    np.testing.assert_array_equal(read_picture(path).samples[..., 0], [[255, 0], [255, 127]])


def test_quality_makes_files_smaller_and_lossless_formats_refuse_it(tmp_path):
    picture = Picture(random_samples(64, 64, 3))
    for suffix in (".jpg", ".webp", ".avif"):
        sizes = []
        for quality in (30, None):
            path = tmp_path / f"{quality}{suffix}"
            write_picture(picture, path, quality=quality)
            sizes.append(path.stat().st_size)
        assert sizes[0] < sizes[1] / 2
    for name, quality in (("a.png", 90), ("a.jpg", 0), ("a.jpg", 101)):
        with pytest.raises(
            PictureError, match=f"quality {quality} (does not apply|is out of range)"
        ):
            write_picture(picture, tmp_path / name, quality=quality)


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    write_picture(Picture(random_samples(16, 16, 3)), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}
