"""Profiles, EXIF, XMP, resolution and text are kept: pytest tests/pictures/test_metadata.py"""

import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image

from ginr.errors import PictureError
from ginr.pictures import (
    WRITABLE,
    Picture,
    ReadRules,
    losses,
    probe_picture,
    read_picture,
    write_picture,
)  # fmt: skip
from ginr.pictures import exif as picture_exif
from ginr.pictures import formats as picture_formats

from .support import (
    PROFILE_OF_GREY,
    SRGB,
    XMP,
    exif_block,
    parsed,
    png_chunk,
    png_file,
    random_samples,
)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_metadata_is_kept(tmp_path, suffix, depth, order):
    path = tmp_path / f"a{suffix}"
    samples = random_samples(30, 40, 3, depth)
    picture = Picture(samples, SRGB, exif_block(order=order), XMP, (300.0, 150.0))
    lost = losses(picture, path)
    assert any("resolution (dpi)" in phrase for phrase in lost) == (suffix in (".webp", ".avif"))
    write_picture(picture, path)
    again = read_picture(path)
    assert again.icc == SRGB
    assert again.xmp == XMP
    exif = parsed(again.exif)
    assert exif[0x10F] == "Maker" and exif[0x132] == "2024:05:06 07:08:09"
    assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert exif.get_ifd(0x8825)[2] == (50.0, 5.0, 0.5)
    if suffix not in (".webp", ".avif"):
        assert again.dpi == pytest.approx((300, 150), rel=1e-3)
    if suffix in (".png", ".jpg", ".webp"):
        assert again.exif == picture.exif
    with Image.open(path) as image:  # another reader finds them too
        assert image.info["icc_profile"] == SRGB
        assert image.getexif()[0x110] == "Model 5"
        assert image.getexif().get_ifd(0x8769)[0x829A] == pytest.approx(0.01)
        assert image.info["xmp"] == XMP


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_libvips_reads_what_is_written(tmp_path, suffix):
    samples = random_samples(30, 40, 4, 16)
    path = tmp_path / f"a{suffix}"
    write_picture(Picture(samples, SRGB, exif_block(), XMP, (300.0, 300.0)), path)
    image = pyvips.Image.new_from_file(str(path), fail_on="warning")
    np.testing.assert_array_equal(image.numpy(), samples)
    assert image.get("icc-profile-data") == SRGB
    assert image.get("xmp-data") == XMP
    assert image.xres * 25.4 == pytest.approx(300, rel=1e-3)


def test_losses_of_bmp(tmp_path):
    picture = Picture(random_samples(4, 4, 4, 16), SRGB, exif_block(), XMP, text=(("a", "b"),))
    assert losses(picture, tmp_path / "a.bmp") == [
        "BMP has no transparency: placed on white",
        "BMP has 8 bits per sample: rounded from 16",
        "ICC profile dropped: BMP has no metadata",
        "EXIF dropped: BMP has no metadata",
        "XMP dropped: BMP has no metadata",
        "1 PNG text chunk(s) dropped",
    ]
    write_picture(picture, tmp_path / "a.bmp")


def test_blocks_too_large_for_jpeg_are_dropped_and_reported(tmp_path):
    picture = Picture(random_samples(4, 4, 3), xmp=XMP + b" " * 70_000)
    (phrase,) = losses(picture, tmp_path / "a.jpg")
    assert phrase.startswith("XMP dropped: ") and "JPEG holds 64 KB" in phrase
    write_picture(picture, tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").xmp is None
    write_picture(picture, tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").xmp == picture.xmp


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_jpeg_block_limit_is_what_the_encoder_takes(tmp_path, over):
    exif = exif_block()
    exif += bytes(picture_formats._JPEG_BLOCK + over - len(exif))
    picture = Picture(random_samples(4, 4, 3), exif=exif, xmp=b" " * len(exif))
    assert len(losses(picture, tmp_path / "a.jpg")) == (2 if over > 0 else 0)
    write_picture(picture, tmp_path / "a.jpg")
    assert (read_picture(tmp_path / "a.jpg").exif is None) == (over > 0)


def test_a_grey_profile_does_not_go_where_grey_becomes_rgb(tmp_path):
    picture = Picture(random_samples(4, 4, 1), icc=PROFILE_OF_GREY)
    assert losses(picture, tmp_path / "a.png") == []
    assert losses(picture, tmp_path / "a.webp") == [
        "ICC profile dropped: WEBP stores RGB, and this is a grey profile"
    ]
    write_picture(picture, tmp_path / "a.webp")
    assert read_picture(tmp_path / "a.webp").icc is None


def test_the_size_in_exif_follows_the_picture(tmp_path):
    samples = random_samples(60, 80, 3)
    for name in ("a.jpg", "a.tif", "a.png"):
        write_picture(Picture(samples, exif=exif_block()), tmp_path / name)
        nested = parsed(read_picture(tmp_path / name).exif).get_ifd(0x8769)
        assert (nested[0xA002], nested[0xA003]) == (80, 60)


def test_a_stale_thumbnail_is_dropped():
    with_thumbnail = bytearray(exif_block(3))
    n_entries = struct.unpack_from("<H", with_thumbnail, 8)[0]
    struct.pack_into("<I", with_thumbnail, 10 + 12 * n_entries, len(with_thumbnail))
    start = len(with_thumbnail) + 2 + 24 + 4
    directory = struct.pack("<HHHIIHHII", 2, 0x201, 4, 1, start, 0x202, 4, 1, 500)
    with_thumbnail += directory[:] + bytes(4)
    with_thumbnail += b"\xff\xd8" + bytes(498)
    assert len(with_thumbnail) == start + 500
    clean = picture_exif.upright_exif(bytes(with_thumbnail))
    assert len(clean) == start
    assert parsed(clean).get_ifd(1) == {} and parsed(clean)[0x112] == 1


def test_a_damaged_exif_block_is_not_written(tmp_path):
    picture = Picture(random_samples(4, 5, 3), exif=b"garbage!")
    for suffix in WRITABLE - {".bmp"}:
        with pytest.raises(PictureError, match="EXIF block is damaged"):
            write_picture(picture, tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", [b"", b"II", b"garbage!", b"II*\0\xff\xff\0\0", exif_block(6)[:40]]
)
def test_a_damaged_exif_block_is_dropped_and_noted(tmp_path, damage):
    samples = random_samples(4, 5, 3)
    path = tmp_path / "a.png"
    path.write_bytes(png_file(samples, 2, 8, png_chunk(b"eXIf", damage)))
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.samples, samples)
    assert picture.exif is None
    assert picture.notes == (("damaged EXIF block dropped",) if damage else ())


def test_a_resolution_in_exif_is_not_lost(tmp_path):
    exif = Image.Exif()
    exif[0x11A], exif[0x11B], exif[0x128] = 300.0, 300.0, 2
    samples = random_samples(4, 4, 3)
    with_dpi = Picture(samples, exif=exif.tobytes()[6:], dpi=(300.0, 300.0))
    assert losses(with_dpi, tmp_path / "a.webp") == []
    damaged = Picture(samples, exif=b"garbage!", dpi=(300.0, 300.0))
    assert losses(damaged, tmp_path / "a.webp") == ["resolution (dpi) dropped: WEBP has none"]


def test_png_text_is_kept(tmp_path):
    text = (("parameters", "a café, steps: 20"), ("Title", "漢字"))
    path = tmp_path / "a.png"
    write_picture(Picture(random_samples(4, 4, 3), text=text), path)
    assert read_picture(path).text == text
    with Image.open(path) as image:
        assert image.text == dict(text)


def test_an_implausible_resolution_is_dropped_and_noted(tmp_path):
    wild = png_chunk(b"pHYs", struct.pack(">IIB", 2**32 - 1, 1, 1))
    (tmp_path / "a.png").write_bytes(png_file(random_samples(4, 4, 1), 0, 8, wild))
    picture = read_picture(tmp_path / "a.png")
    assert picture.dpi is None and "implausible" in " ".join(picture.notes)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_damaged_16_bit_samples_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_picture(Picture(random_samples(50, 50, 3, 16)), path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(PictureError, match="is damaged"):
        read_picture(path)


def test_metadata_after_the_samples_counts(tmp_path):
    samples = random_samples(4, 6, 3, 16)
    data = png_file(samples, 2, 16, end=False) + png_chunk(b"eXIf", exif_block(6))
    path = tmp_path / "a.png"
    path.write_bytes(data + png_chunk(b"IEND", b""))
    assert (probe_picture(path).height, probe_picture(path).width) == (6, 4)
    assert read_picture(path).samples.shape == (6, 4, 3)


def test_packed_png_text_and_a_bomb_in_it(tmp_path):
    samples = random_samples(4, 4, 1)
    packed = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"words"))
    packed += png_chunk(b"iTXt", b"Title\0\1\0\0\0" + zlib.compress("größer".encode()))
    (tmp_path / "a.png").write_bytes(png_file(samples, 0, 8, packed))
    assert read_picture(tmp_path / "a.png").text == (("Comment", "words"), ("Title", "größer"))
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 27)))
    (tmp_path / "b.png").write_bytes(png_file(samples, 0, 8, bomb))
    picture = read_picture(tmp_path / "b.png")
    np.testing.assert_array_equal(picture.samples, samples)
    assert picture.text == () and "unpacks to over 32 MB" in picture.notes[0]
    with pytest.raises(PictureError, match="unpacks to over 32 MB"):
        probe_picture(tmp_path / "b.png", ReadRules(strict=True))
