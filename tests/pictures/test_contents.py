"""Palettes, depths, colours, frames: pytest tests/pictures/test_contents.py"""

import struct

import numpy as np
import pytest
import pyvips
from PIL import Image
from skimage.color import lab2rgb

from ginr.errors import PictureError
from ginr.pictures import Picture, probe_picture, read_picture, write_picture

from .support import exif_block, png_chunk, png_file, random_samples


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


def test_cmyk_is_converted_and_noted(tmp_path):
    image = Image.new("CMYK", (8, 6), (0, 255, 255, 0))
    for name in ("a.jpg", "a.tif"):
        image.save(tmp_path / name)
        picture = read_picture(tmp_path / name)
        assert picture.channels == probe_picture(tmp_path / name).channels == 3
        assert picture.samples[0, 0, 0] > 200 > 60 > picture.samples[0, 0, 1]
        assert "CMYK" in " ".join(picture.notes)


def test_cmyk_that_libvips_cannot_read_goes_through_its_profile_too(tmp_path):
    image = Image.new("CMYK", (8, 6), (10, 200, 150, 20))
    profile = bytes(pyvips.Operation.call("profile_load", "cmyk"))
    image.save(tmp_path / "a.tif", icc_profile=profile)
    image.save(tmp_path / "b.tif", icc_profile=profile, compression="lzma")
    plain, packed = (read_picture(tmp_path / name) for name in ("a.tif", "b.tif"))
    np.testing.assert_array_equal(packed.samples, plain.samples)
    assert packed.icc == plain.icc and packed.notes == plain.notes


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
    assert ("by its ICC profile" in note) == (profile is not None)
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
    assert picture.notes == ("1 extra channel(s) dropped",)


def test_interlaced_16_bit_png(tmp_path):
    samples = random_samples(30, 31, 3, 16)
    path = tmp_path / "a.png"
    pyvips.Image.new_from_array(samples).pngsave(str(path), interlace=True)
    np.testing.assert_array_equal(read_picture(path).samples, samples)


def test_deep_avif_is_read_as_8_bit_and_noted(tmp_path):
    path = tmp_path / "a.avif"
    image = pyvips.Image.new_from_array(np.full((16, 16, 3), 40_000, np.uint16))
    image.heifsave(str(path), compression="av1", bitdepth=10)
    picture = read_picture(path)
    assert picture.notes == ("10-bit samples are read as 8-bit",)
    assert picture.samples.mean() == pytest.approx(40_000 / 257, abs=1)


def test_other_dropped_blocks_are_noted(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    block = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0"
    marker = b"\xff\xed" + struct.pack(">H", 2 + len(block)) + block
    (tmp_path / "a.jpg").write_bytes(data[:2] + marker + data[2:])
    assert read_picture(tmp_path / "a.jpg").notes == ("IPTC block dropped",)
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
def test_exotic_tiff_is_refused(tmp_path, kind, words):
    path = tmp_path / "a.tif"
    pyvips.Image.black(4, 4, bands=3).cast(kind).tiffsave(str(path))
    for read in (read_picture, probe_picture):
        with pytest.raises(PictureError, match=f"a.tif has {words}.* samples: convert it"):
            read(path)


def test_lab_tiff_is_converted_to_srgb_and_noted(tmp_path):
    Image.new("LAB", (6, 8), (112, 192, 160)).save(tmp_path / "a.tif")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.notes == ("CIELab is converted to sRGB",)
    expected = lab2rgb(np.array([[[112 / 2.55, 192 - 128, 160 - 128]]]))[0, 0] * 255
    np.testing.assert_allclose(picture.samples[0, 0], expected, atol=3)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif", ".avif", ".mpo"])
def test_only_the_first_frame_is_read_and_noted(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    picture = read_picture(path)
    assert picture.notes == ("only the first of 3 frames is read",)
    assert picture.samples[0, 0, 0] > 240 and picture.samples[0, 0, 1] < 15
    assert probe_picture(path).width == 8
