"""Pictures from files and back: python -m pytest tests/test_picture.py"""

import errno
import io
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms, ImageOps

from ginr import picture_formats, picture_metadata, picture_tiff
from ginr.errors import PictureError
from ginr.picture import (
    READABLE,
    WRITABLE,
    Picture,
    check_target,
    codecs,
    losses,
    probe_picture,
    quantize,
    read_picture,
    write_picture,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:Description tiff:Orientation="6" dc:title="caf\xc3\xa9"/></x:xmpmeta><?xpacket end="w"?>'
)
PROFILE_OF_GREY = SRGB[:16] + b"GRAY" + SRGB[20:]


def random_samples(height, width, channels, depth=8, seed=0):
    kind = np.uint8 if depth == 8 else np.uint16
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**depth, (height, width, channels), dtype=kind)


def exif_block(orientation=1, order="<"):
    exif = Image.Exif()
    exif.endian = order
    exif[0x10F], exif[0x110], exif[0x132] = "Maker", "Model 5", "2024:05:06 07:08:09"
    exif[0x112] = orientation
    exif[0x8769] = {0x9003: "2024:05:06 07:08:09", 0xA002: 40, 0xA003: 30, 0x829A: 0.01}
    exif[0x8825] = {1: "N", 2: (50.0, 5.0, 0.5)}
    return exif.tobytes()[6:]


def parsed(exif):
    block = Image.Exif()
    block.load(exif)
    return block


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(samples, colour, depth, extra=b"", end=True):
    """A PNG of big-endian sample rows, with chunks before them; for what no encoder here writes."""
    height, width = samples.shape[:2]
    stored = samples.astype(">u2") if depth == 16 else samples
    rows = b"".join(b"\0" + row.tobytes() for row in stored)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    tail = png_chunk(b"IEND", b"") if end else b""
    return b"\x89PNG\r\n\x1a\n" + head + extra + png_chunk(b"IDAT", zlib.compress(rows)) + tail


def leftovers(folder):
    return [path for path in folder.iterdir() if path.name.startswith(".ginr")]


# ---- round trips ----


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
    assert (again.depth < depth) == any("16-bit" in phrase for phrase in lost)
    assert not any("alpha" in phrase for phrase in lost)  # it is opaque


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
def test_alpha_is_composited_on_white_where_it_cannot_be_held(tmp_path, depth):
    peak = 2**depth - 1
    samples = np.zeros((2, 2, 4), f"u{depth // 8}")
    samples[0, 0] = peak  # opaque white
    samples[0, 1, 3] = peak  # opaque black
    samples[1, 1, 3] = peak // 2 + 1  # half black
    path = tmp_path / "a.bmp"
    assert "alpha (composited on white)" in losses(Picture(samples), path)
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
        with pytest.raises(PictureError, match=f"quality {quality} cannot be used"):
            write_picture(picture, tmp_path / name, quality=quality)


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    write_picture(Picture(random_samples(16, 16, 3)), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}


# ---- what files hold ----


def test_palettes_are_expanded(tmp_path):
    indices = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 3, "L")
    image = Image.new("P", (4, 3))
    image.putdata(list(indices.tobytes()))
    image.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    for name in ("a.png", "a.gif", "a.bmp", "a.tif"):
        image.save(tmp_path / name)
        picture = read_picture(tmp_path / name)
        assert picture.channels == probe_picture(tmp_path / name).channels == 3, name
        assert picture.samples[0].tolist() == [[255, 0, 0], [0, 255, 0], [10, 20, 30], [255, 0, 0]]
    for name, transparency in (("one.png", 1), ("many.png", bytes([255, 0, 128])), ("one.gif", 1)):
        image.save(tmp_path / name, transparency=transparency)
        picture = read_picture(tmp_path / name)
        assert picture.channels == probe_picture(tmp_path / name).channels == 4, name
        last = 128 if name == "many.png" else 255
        assert picture.samples[0, :, 3].tolist() == [255, 0, last, 255]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit_becomes_grey(tmp_path, suffix):
    bits = np.random.default_rng(1).random((5, 11)) > 0.5
    Image.fromarray(bits).save(tmp_path / f"a{suffix}")
    picture = read_picture(tmp_path / f"a{suffix}")
    if picture.channels == 3:  # a two-colour BMP palette
        assert suffix == ".bmp"
    np.testing.assert_array_equal(picture.samples[..., 0], bits * np.uint8(255))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bit_grey_png_spans_the_whole_range(tmp_path, depth):
    level = np.full((1, 8 // depth * 2), 2**depth - 1, np.uint8)
    data = png_file(np.full((1, 2), 255, np.uint8), 0, depth)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", level.size, 1, depth, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(data[:8] + head + data[33:])
    picture = read_picture(tmp_path / "a.png")
    assert picture.samples.shape == (1, level.size, 1) and (picture.samples == 255).all()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_a_transparent_colour_in_png_becomes_alpha(tmp_path, colour, channels, depth):
    samples = random_samples(6, 7, channels, depth)
    key = samples[2, 3]
    chunk = png_chunk(b"tRNS", key.astype(">u2").tobytes())
    (tmp_path / "a.png").write_bytes(png_file(samples, colour, depth, chunk))
    picture = read_picture(tmp_path / "a.png")
    assert picture.channels == probe_picture(tmp_path / "a.png").channels == channels + 1
    np.testing.assert_array_equal(picture.samples[..., :-1], samples)
    expected = np.where((samples == key).all(-1), 0, 2**depth - 1)
    np.testing.assert_array_equal(picture.samples[..., -1], expected)


def test_cmyk_is_converted_and_said(tmp_path):
    image = Image.new("CMYK", (8, 6), (0, 255, 255, 0))
    for name in ("a.jpg", "a.tif"):
        image.save(tmp_path / name)
        picture = read_picture(tmp_path / name)
        assert picture.channels == probe_picture(tmp_path / name).channels == 3
        assert picture.samples[0, 0, 0] > 200 > 60 > picture.samples[0, 0, 1]
        assert "CMYK" in " ".join(picture.notes)


@pytest.mark.parametrize("profile", [None, "cmyk"])
@pytest.mark.parametrize("depth", [8, 16])
def test_cmyk_goes_through_its_profile_where_it_has_one(tmp_path, depth, profile):
    red = np.full((8, 6, 3), (250, 20, 30), np.uint8)
    image = pyvips.Image.new_from_array(red).icc_transform(
        "cmyk", input_profile="srgb", depth=depth
    )
    assert image.format == ("uchar" if depth == 8 else "ushort") and image.bands == 4
    image.tiffsave(str(tmp_path / "a.tif"), keep="icc" if profile else "none")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.depth == depth and picture.channels == 3
    (note,) = picture.notes
    assert ("through its ICC profile" in note) == (profile is not None)
    if profile is not None:
        assert picture.icc is not None and picture.icc[16:20] == b"RGB "
        np.testing.assert_allclose(picture.samples / (2**depth - 1), red / 255, atol=0.12)


def test_an_unnamed_extra_channel_is_no_alpha(tmp_path):
    samples = random_samples(6, 7, 2)
    path = tmp_path / "a.tif"
    write_picture(Picture(samples), path)
    data = path.read_bytes()
    entry = struct.pack("<HHII", 338, 3, 1, 2)
    path.write_bytes(data.replace(entry, struct.pack("<HHII", 338, 3, 1, 0)))
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.samples, samples[..., :1])
    assert picture.notes == ("1 extra channel(s) left out",)


def test_interlaced_16_bit_png(tmp_path):
    samples = random_samples(30, 31, 3, 16)
    path = tmp_path / "a.png"
    pyvips.Image.new_from_array(samples).pngsave(str(path), interlace=True)
    np.testing.assert_array_equal(read_picture(path).samples, samples)


def test_deep_avif_is_read_as_8_bit_and_that_is_said(tmp_path):
    path = tmp_path / "a.avif"
    image = pyvips.Image.new_from_array(np.full((16, 16, 3), 40_000, np.uint16))
    image.heifsave(str(path), compression="av1", bitdepth=10)
    picture = read_picture(path)
    assert picture.notes == ("its 10-bit samples are read as 8 bit",)
    assert picture.samples.mean() == pytest.approx(40_000 / 257, abs=1)


def test_other_blocks_that_are_left_behind_are_said(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    block = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0"
    marker = b"\xff\xed" + struct.pack(">H", 2 + len(block)) + block
    (tmp_path / "a.jpg").write_bytes(data[:2] + marker + data[2:])
    assert read_picture(tmp_path / "a.jpg").notes == ("its IPTC block is not carried",)
    linear = png_chunk(b"gAMA", struct.pack(">I", 100_000))
    (tmp_path / "a.png").write_bytes(png_file(random_samples(2, 2, 3), 2, 8, linear))
    assert "gamma" in " ".join(read_picture(tmp_path / "a.png").notes)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"tile": True}, {"compression": "lzw"}, {"bigtiff": True}])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tiff_of_other_writers(tmp_path, channels, options, order):
    samples = random_samples(40, 33, channels, 16)
    path = tmp_path / "a.tif"
    if order == "<":
        pyvips.Image.new_from_array(samples).tiffsave(str(path), **options)
    else:
        write_picture(Picture(samples, exif=exif_block(order=">")), path)
        assert path.read_bytes()[:2] == b"MM"
    np.testing.assert_array_equal(read_picture(path).samples, samples)
    assert probe_picture(path).channels == channels


@pytest.mark.parametrize("depth", [8, 16])
def test_premultiplied_tiff_is_made_straight(tmp_path, depth):
    peak = 2**depth - 1
    samples = np.full(
        (4, 4, 4), peak // 2, f"u{depth // 8}"
    )  # white at half opacity, premultiplied
    path = tmp_path / "a.tif"
    write_picture(Picture(samples), path)
    data = path.read_bytes()
    entry = struct.pack("<HHII", 338, 3, 1, 2)
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, struct.pack("<HHII", 338, 3, 1, 1)))
    again = read_picture(path).samples
    assert (again[..., :3] >= peak - 1).all() and (again[..., 3] == peak // 2).all()


def test_tiff_with_white_as_zero(tmp_path):
    for depth in (8, 16):
        samples = random_samples(4, 5, 1, depth)
        path = tmp_path / "a.tif"
        write_picture(Picture(samples), path, overwrite=True)
        data = path.read_bytes()
        entry = struct.pack("<HHII", 262, 3, 1, 1)
        assert data.count(entry) == 1
        path.write_bytes(data.replace(entry, struct.pack("<HHII", 262, 3, 1, 0)))
        np.testing.assert_array_equal(read_picture(path).samples, (2**depth - 1) - samples)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("float", "32-bit floating point"), ("int", "32-bit signed"), ("uint", "32-bit integer")],
)
def test_exotic_tiff_is_refused_with_words(tmp_path, kind, words):
    path = tmp_path / "a.tif"
    pyvips.Image.black(4, 4, bands=3).cast(kind).tiffsave(str(path))
    for read in (read_picture, probe_picture):
        with pytest.raises(PictureError, match=f"a.tif holds {words}.* samples: convert it"):
            read(path)


def test_lab_tiff_is_refused_with_words(tmp_path):
    Image.new("LAB", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(PictureError, match="convert it to RGB"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif", ".avif", ".mpo"])
def test_only_the_first_frame_is_read_and_that_is_said(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    picture = read_picture(path)
    assert picture.notes == ("only the first of its 3 frames is read",)
    assert picture.samples[0, 0, 0] > 240 and picture.samples[0, 0, 1] < 15
    assert probe_picture(path).width == 8


# ---- orientation ----


def write_turned(path, image, orientation):
    """Saves an image whose file says that it must be turned."""
    exif = Image.Exif()
    exif[0x112] = orientation
    exif[0x10F] = "Maker"
    lossless = {"lossless": True, "exact": True} if path.suffix == ".webp" else {}
    if path.suffix in (".jpg", ".avif"):
        lossless = {"quality": 100, "subsampling": "4:4:4"}
    image.save(path, exif=exif, **lossless)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_orientation_is_applied_once(tmp_path, suffix, orientation):
    blocks = np.random.default_rng(2).integers(0, 2, (3, 2, 3), dtype=np.uint8) * 255
    image = Image.fromarray(np.kron(blocks, np.ones((16, 16, 1), np.uint8)))
    path = tmp_path / f"a{suffix}"
    write_turned(path, image, orientation)
    expected_image = image.copy()
    expected_image.getexif()[0x112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(expected_image)).astype(int)
    picture = read_picture(path)
    assert picture.samples.shape == expected.shape
    assert np.abs(picture.samples - expected).mean() < 12
    header = probe_picture(path)
    assert (header.height, header.width) == expected.shape[:2]
    assert picture.exif is not None
    assert parsed(picture.exif).get(0x112, 1) == 1
    for out in ("b.png", "b.jpg", "b.tif", "b.webp", "b.avif"):
        write_picture(picture, tmp_path / out)
        again = read_picture(tmp_path / out)
        assert again.samples.shape == expected.shape
        assert np.abs(again.samples - expected).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_orientation_of_16_bit_files(tmp_path, suffix, orientation):
    samples = random_samples(5, 7, 3, 16)
    path = tmp_path / f"a{suffix}"
    write_picture(Picture(samples, exif=exif_block(orientation)), path)
    image = Image.fromarray((samples >> 8).astype(np.uint8))
    image.getexif()[0x112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.samples >> 8, expected)
    assert (probe_picture(path).height, probe_picture(path).width) == expected.shape[:2]


def test_a_turned_picture_has_its_xmp_orientation_reset_too(tmp_path):
    path = tmp_path / "a.png"
    write_picture(Picture(random_samples(4, 6, 3), exif=exif_block(6), xmp=XMP), path)
    picture = read_picture(path)
    assert picture.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')


def test_an_orientation_in_xmp_alone_turns_nothing(tmp_path):
    samples = random_samples(4, 6, 3)
    for name in ("a.png", "a.tif"):
        write_picture(Picture(samples, xmp=XMP), tmp_path / name)
        picture = read_picture(tmp_path / name)
        np.testing.assert_array_equal(picture.samples, samples)
        assert picture.xmp == XMP


# ---- metadata ----


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_metadata_is_carried(tmp_path, suffix, depth, order):
    path = tmp_path / f"a{suffix}"
    samples = random_samples(30, 40, 3, depth)
    picture = Picture(samples, SRGB, exif_block(order=order), XMP, (300.0, 150.0))
    lost = losses(picture, path)
    assert ("resolution (dpi)" in lost) == (suffix in (".webp", ".avif"))
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


def test_bmp_says_what_it_leaves_out(tmp_path):
    picture = Picture(random_samples(4, 4, 4, 16), SRGB, exif_block(), XMP, text=(("a", "b"),))
    assert losses(picture, tmp_path / "a.bmp") == [
        "alpha (composited on white)",
        "16-bit samples (rounded to 8 bit)",
        "ICC profile",
        "EXIF",
        "XMP",
        "1 PNG text chunk(s)",
    ]
    write_picture(picture, tmp_path / "a.bmp")


def test_blocks_too_large_for_jpeg_are_lost_and_said(tmp_path):
    picture = Picture(random_samples(4, 4, 3), xmp=XMP + b" " * 70_000)
    (phrase,) = losses(picture, tmp_path / "a.jpg")
    assert phrase.startswith("XMP (") and "JPEG holds 64 KB" in phrase
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
        "ICC profile (a grey profile, and WEBP stores RGB)"
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
    clean = picture_metadata.upright_exif(bytes(with_thumbnail))
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
def test_a_damaged_exif_block_is_left_out_and_said(tmp_path, damage):
    samples = random_samples(4, 5, 3)
    path = tmp_path / "a.png"
    path.write_bytes(png_file(samples, 2, 8, png_chunk(b"eXIf", damage)))
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.samples, samples)
    assert picture.exif is None
    assert picture.notes == (("its EXIF block is damaged and left out",) if damage else ())


def test_a_resolution_within_exif_is_no_loss(tmp_path):
    exif = Image.Exif()
    exif[0x11A], exif[0x11B], exif[0x128] = 300.0, 300.0, 2
    samples = random_samples(4, 4, 3)
    with_dpi = Picture(samples, exif=exif.tobytes()[6:], dpi=(300.0, 300.0))
    assert losses(with_dpi, tmp_path / "a.webp") == []
    damaged = Picture(samples, exif=b"garbage!", dpi=(300.0, 300.0))
    assert losses(damaged, tmp_path / "a.webp") == ["resolution (dpi)"]


def test_png_text_is_carried(tmp_path):
    text = (("parameters", "a café, steps: 20"), ("Title", "漢字"))
    path = tmp_path / "a.png"
    write_picture(Picture(random_samples(4, 4, 3), text=text), path)
    assert read_picture(path).text == text
    with Image.open(path) as image:
        assert image.text == dict(text)


def test_an_incredible_resolution_is_left_out_and_said(tmp_path):
    wild = png_chunk(b"pHYs", struct.pack(">IIB", 2**32 - 1, 1, 1))
    (tmp_path / "a.png").write_bytes(png_file(random_samples(4, 4, 1), 0, 8, wild))
    picture = read_picture(tmp_path / "a.png")
    assert picture.dpi is None and "not credible" in " ".join(picture.notes)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_damaged_16_bit_samples_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_picture(Picture(random_samples(50, 50, 3, 16)), path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(PictureError, match="damaged or cut short"):
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
    with pytest.raises(PictureError, match="unpacks to over 64 MB"):
        probe_picture(tmp_path / "b.png")


# ---- alpha and numbers ----


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_then_quantize_returns_the_samples(channels, depth):
    samples = random_samples(40, 50, channels, depth)
    has_alpha = channels in (2, 4)
    picture = Picture(samples)
    planes = picture.pixels(3, 5, 33, 45)
    assert planes.shape == (channels, 30, 40) and planes.dtype == np.float32
    assert planes.flags.c_contiguous and planes.min() >= 0 and planes.max() <= 1
    expected = samples[3:33, 5:45].copy()
    if has_alpha:
        expected[expected[..., -1] == 0] = 0
    np.testing.assert_array_equal(quantize(planes, depth, has_alpha), expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_every_colour_survives_every_alpha(depth):
    peak = 2**depth - 1
    colours = np.linspace(0, peak, 256).round().astype(f"u{depth // 8}")
    alphas = np.append(colours[1:], 1).astype(colours.dtype)
    samples = np.stack(np.meshgrid(colours, alphas), -1)
    planes = Picture(samples).pixels(0, 0, *samples.shape[:2])
    np.testing.assert_array_equal(quantize(planes, depth, True), samples)


@pytest.mark.parametrize("depth", [8, 16])
def test_opaque_stays_opaque_and_its_colours_untouched(depth):
    samples = random_samples(20, 20, 4, depth)
    samples[..., 3] = 2**depth - 1
    planes = Picture(samples).pixels(0, 0, 20, 20)
    assert (planes[3] == 1).all()
    np.testing.assert_array_equal(planes[:3], Picture(samples[..., :3].copy()).pixels(0, 0, 20, 20))
    planes[3] *= np.float32(1 - 0.4 / 2**depth)  # a little network noise
    np.testing.assert_array_equal(quantize(planes, depth, True), samples)


def test_transparent_colour_makes_no_halo():
    samples = np.zeros((1, 2, 4), np.uint8)
    samples[0, 0] = (200, 100, 50, 255)
    samples[0, 1] = (0, 255, 0, 0)  # green that nobody sees
    planes = Picture(samples).pixels(0, 0, 1, 2)
    middle = planes.mean(2, keepdims=True)
    assert quantize(middle, 8, True).tolist() == [[[200, 100, 50, 128]]]


def test_quantize_rounds_half_up_and_clips():
    planes = np.array([[[-1, 0, 0.5 / 255, 1.5 / 255, 1, 2]]], np.float32)
    assert quantize(planes, 8, False).ravel().tolist() == [0, 0, 1, 2, 255, 255]
    assert quantize(planes, 16, False).ravel().tolist()[-2:] == [65535, 65535]


def test_quantize_leaves_its_input_alone():
    planes = Picture(random_samples(5, 5, 4)).pixels(0, 0, 5, 5)
    before = planes.copy()
    quantize(planes, 8, True)
    np.testing.assert_array_equal(planes, before)


@pytest.mark.parametrize("dpi", [(0.0, 72.0), (72.0, 70_000.0), (float("nan"), 72.0)])
def test_a_resolution_nobody_can_hold_is_refused(dpi):
    with pytest.raises(PictureError, match="dpi must be 1 to 65535"):
        Picture(random_samples(2, 2, 1), dpi=dpi)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((2, 2, 3), np.float32), "uint8 or uint16, not float32"),
        (np.zeros((2, 2), np.uint8), r"not \(2, 2\)"),
        (np.zeros((2, 2, 5), np.uint8), r"not \(2, 2, 5\)"),
        (np.zeros((0, 2, 3), np.uint8), r"not \(0, 2, 3\)"),
        (np.zeros((2, 4, 3), np.uint8)[:, ::2], "contiguous"),
    ],
)
def test_a_picture_refuses_other_samples(samples, words):
    with pytest.raises(PictureError, match=words):
        Picture(samples)


# ---- errors ----


def assert_refused(path, words):
    for read in (read_picture, probe_picture):
        with pytest.raises(PictureError, match=words) as caught:
            read(path)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_what_cannot_be_read_is_said(tmp_path):
    assert_refused(tmp_path / "none.png", "does not exist")
    assert_refused(tmp_path, "is a folder")
    (tmp_path / "empty.png").touch()
    assert_refused(tmp_path / "empty.png", r"is empty \(0 bytes\)")
    (tmp_path / "text.png").write_text("not a picture at all")
    assert_refused(tmp_path / "text.png", "is not a picture")
    (tmp_path / "below").mkdir()
    (tmp_path / "file").touch()
    assert_refused(tmp_path / "file" / "a.png", "cannot be|damaged|not a folder|does not exist")
    os.mkfifo(tmp_path / "pipe.png")
    assert_refused(tmp_path / "pipe.png", "not a regular file")


def test_a_file_that_may_not_be_read_is_said(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_picture(Picture(random_samples(2, 2, 3)), path)

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert_refused(path, "may not be read")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", sorted(READABLE))
def test_truncated_files_are_refused(tmp_path, suffix, depth):
    path = tmp_path / f"a{suffix}"
    picture = Picture(random_samples(60, 80, 3, depth))
    if suffix == ".gif":
        Image.fromarray(random_samples(60, 80, 1)[..., 0]).save(path)
    else:
        write_picture(picture, path)
    data = path.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    for size in (3, 20, len(data) // 3, len(data) * 2 // 3, len(data) * 9 // 10):
        cut.write_bytes(data[:size])
        with pytest.raises(PictureError) as caught:
            read_picture(cut)
        assert "\n" not in str(caught.value) and cut.name in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".bmp", ".avif", ".gif"])
def test_damaged_files_never_escape_as_other_errors(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    picture = Picture(random_samples(12, 12, 3), SRGB, exif_block(), XMP, (72.0, 72.0))
    if suffix == ".gif":
        Image.fromarray(picture.samples).quantize(8).save(path)
    else:
        write_picture(picture, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    n_refused = 0
    for _ in range(30):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 900), 3):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            read_picture(path)
        except PictureError as error:
            n_refused += 1
            assert "\n" not in str(error)
    assert n_refused


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    small = png_file(np.zeros((1, 1), np.uint8), 0, 8)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 25_001, 8, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(small[:8] + head + small[33:])
    assert_refused(tmp_path / "bomb.png", r"claims 40000 x 25001 pixels, more than the 1 gigapixel")


def test_pillows_own_limit_is_lifted_for_us_and_kept_for_others(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for name in ("a.jpg", "a.gif", "a.bmp"):
        Image.new("L", (50, 50)).save(tmp_path / name)
        assert read_picture(tmp_path / name).width == 50
    assert Image.MAX_IMAGE_PIXELS == 10


def test_threads_read_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    paths = [tmp_path / f"{n}.jpg" for n in range(12)]
    for path in paths:
        Image.new("L", (200, 200)).save(path)
    with ThreadPoolExecutor(4) as pool:
        assert [picture.width for picture in pool.map(read_picture, paths)] == [200] * 12
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize(
    "name", ["naïve 漢字.png", "a[1].png", "a[page=2].tif", "[x].tif", "né.jpg"]
)
def test_any_name_will_do(tmp_path, name):
    picture = Picture(random_samples(4, 4, 3, 16))
    write_picture(picture, tmp_path / name)
    assert read_picture(tmp_path / name).width == 4


def test_a_name_that_cannot_be_shown_makes_one_line(tmp_path):
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / os.fsdecode(b"a\n\xff.png"))
    str(caught.value).encode()
    assert r"a\n\udcff.png" in str(caught.value)


def test_a_file_that_changes_is_read_anew(tmp_path):
    path = tmp_path / "a.png"
    for seed in (1, 2):
        picture = Picture(random_samples(9, 9, 3, 16, seed))
        write_picture(picture, path, overwrite=True)
        np.testing.assert_array_equal(read_picture(path).samples, picture.samples)


# ---- targets ----


@pytest.mark.parametrize(
    ("name", "height", "width", "words"),
    [
        ("a.jpg", 65_501, 1, "holds 65500 pixels a side"),
        ("a.webp", 1, 16_384, "holds 16383 pixels a side: use .png"),
        ("a.avif", 32_769, 1, "holds 32768 pixels a side"),
        ("a.avif", 20_000, 20_000, "holds 268 megapixels"),
        ("a.png", 1_000_001, 1, "holds 1000000 pixels a side: choose a smaller"),
        ("a.bmp", 40_000, 40_000, "4.5 GiB, and BMP holds 4 GiB: use .png"),
        ("a.xyz", 1, 1, "'.xyz', which is no output format: use .avif, .bmp"),
        ("a.gif", 1, 1, "'.gif', which is no output format"),
        ("a", 1, 1, "no suffix, which is no output format"),
        ("none/a.png", 1, 1, "no folder .*none: create it first"),
        ("folder.png", 1, 1, "is a folder"),
        ("there.png", 1, 1, "exists already"),
        ("there.png/a.png", 1, 1, "no folder|cannot be a file"),
        ("n" * 300 + ".png", 1, 1, "cannot be a file"),
    ],
)
def test_impossible_targets_are_refused_before_the_work(tmp_path, name, height, width, words):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "there.png").write_bytes(b"kept")
    with pytest.raises(PictureError, match=words) as caught:
        check_target(tmp_path / name, height, width, overwrite=False)
    assert "\n" not in str(caught.value)
    if height == 1 and width == 1:
        with pytest.raises(PictureError, match=words):
            write_picture(Picture(random_samples(1, 1, 3)), tmp_path / name)
    assert (tmp_path / "there.png").read_bytes() == b"kept" and not leftovers(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "side"), [(".jpg", 65_500), (".webp", 16_383), (".avif", 32_768)]
)
def test_the_largest_allowed_side_works(tmp_path, suffix, side):
    path = tmp_path / f"a{suffix}"
    check_target(path, 1, side, overwrite=False)
    write_picture(Picture(np.zeros((1, side, 1), np.uint8)), path)
    assert read_picture(path).width == side


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_tiff_that_may_pass_4_gib_is_a_bigtiff(tmp_path, monkeypatch, depth, channels, order):
    check_target(tmp_path / "a.tif", 40_000, 40_000, channels=channels, depth=depth)
    monkeypatch.setattr(picture_tiff, "CLASSIC_BYTES", 0)
    exif = exif_block(order=order)
    picture = Picture(random_samples(700, 900, channels, depth), SRGB, exif, XMP, (300.0, 150.0))
    write_picture(picture, tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes()[:4] == (b"II+\0" if order == "<" else b"MM\0+")
    again = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(again.samples, picture.samples)
    assert (again.icc, again.xmp, again.dpi) == (SRGB, XMP, (300.0, 150.0))
    assert parsed(again.exif)[0x10F] == "Maker"
    assert parsed(again.exif).get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert parsed(again.exif).get_ifd(0x8825)[2] == (50.0, 5.0, 0.5)
    image = pyvips.Image.new_from_file(str(tmp_path / "a.tif"), fail_on="warning")
    np.testing.assert_array_equal(image.numpy().reshape(picture.samples.shape), picture.samples)
    if depth == 8 and order == "<":  # Pillow takes a big-endian one for classic
        with Image.open(tmp_path / "a.tif") as image:
            assert image.getexif()[0x10F] == "Maker" and image.info["dpi"] == (300, 150)


def test_overwriting_is_asked_for_and_keeps_permissions_and_links(tmp_path):
    path, link = tmp_path / "a.png", tmp_path / "link.png"
    picture = Picture(random_samples(3, 3, 3))
    write_picture(picture, path)
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    path.chmod(0o640)
    link.symlink_to(path)
    with pytest.raises(PictureError, match="exists already"):
        write_picture(picture, link)
    check_target(link, 3, 3, overwrite=True)
    brighter = Picture(picture.samples // 2)
    write_picture(brighter, link, overwrite=True)
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(read_picture(path).samples, brighter.samples)


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_read_only_targets_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"kept")
    monkeypatch.setattr(os, "access", lambda place, _mode: place != path)
    with pytest.raises(PictureError, match="is read-only"):
        write_picture(Picture(random_samples(3, 3, 3)), path, overwrite=True)
    monkeypatch.setattr(os, "access", lambda place, _mode: place != tmp_path)
    with pytest.raises(PictureError, match="may not be written to"):
        check_target(tmp_path / "b.png", 3, 3, overwrite=False)
    assert path.read_bytes() == b"kept"


class FailingFile(io.RawIOBase):
    """A file that raises after some bytes."""

    def __init__(self, file, failure):
        self.file, self.failure, self.left = file, failure, 2000

    def writable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.file.tell()

    def seek(self, *where):
        return self.file.seek(*where)

    def close(self):
        self.file.close()
        super().close()

    def write(self, data):
        self.left -= len(data)
        if self.left < 0:
            raise self.failure
        return self.file.write(data)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("suffix", sorted(WRITABLE))
@pytest.mark.parametrize(
    ("failure", "expected", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), PictureError, "the disk is full"),
        (
            OSError(errno.EIO, "Input/output error"),
            PictureError,
            r"cannot be written \(Input/output",
        ),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_failed_write_leaves_nothing_behind(
    tmp_path, monkeypatch, suffix, failure, expected, words, overwrite
):
    path = tmp_path / f"a{suffix}"
    if overwrite:
        path.write_bytes(b"kept")
    opened = Path.open

    def failing(self, mode="r", *rest, **more):
        file = opened(self, mode, *rest, **more)
        return FailingFile(file, failure) if mode == "xb" else file

    monkeypatch.setattr(Path, "open", failing)
    picture = Picture(random_samples(100, 100, 3))
    with pytest.raises(expected, match=words):
        write_picture(picture, path, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ([path.name] if overwrite else [])
    assert not overwrite or path.read_bytes() == b"kept"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_a_really_full_disk(tmp_path, monkeypatch, suffix):
    opened = Path.open

    def on_full_disk(self, mode="r", *rest, **more):
        return open("/dev/full", "wb") if mode == "xb" else opened(self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", on_full_disk)
    with pytest.raises(PictureError, match="the disk is full"):
        write_picture(Picture(random_samples(9, 9, 3)), tmp_path / f"a{suffix}")


# ---- the module ----


def test_importing_loads_no_heavy_library():
    code = (
        "import sys, ginr.picture\n"
        "print([m for m in ('torch', 'PIL.Image', 'pyvips') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_codecs_name_every_format():
    table = codecs()
    assert set(table) == {"PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF", "GIF"}
    assert "8 and 16 bit" in table["PNG"] and "libvips" in table["TIFF"]
    assert WRITABLE | {".gif"} == READABLE
