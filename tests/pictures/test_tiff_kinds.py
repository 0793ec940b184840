"""TIFF files as people have them: pytest tests/pictures/test_tiff_kinds.py"""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from ginr.errors import PictureError
from ginr.pictures import (
    Picture,
    ReadRules,
    probe_picture,
    read_picture,
    write_bands,
    write_picture,
)  # fmt: skip

from .support import random_samples

SAMPLES = np.stack(np.meshgrid(np.arange(0, 256, 4), np.arange(0, 240, 5)), -1).astype(np.uint8)
SAMPLES = np.dstack([SAMPLES, SAMPLES[..., :1] // 2])  # (48, 64, 3)


def save(path, samples, **options):
    tifffile.imwrite(path, samples, metadata=None, **options)
    return path


def hand_made(path, entries, data, order="<"):
    """A TIFF of entries {tag: (type, values)}; 273 is filled in."""
    start = 8 + 2 + 12 * len(entries) + 4
    table, more = b"", b""
    length = sum(4 * len(v) if k > 3 else 2 * len(v) for k, v in entries.values() if len(v) > 1)
    for tag, (kind, values) in sorted(entries.items()):
        values = [start + length] if tag == 273 else values
        raw = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        field = raw.ljust(4, b"\0")
        if len(raw) > 4:
            field, more = struct.pack(order + "I", start + len(more)), more + raw
        count = len(values) // (2 if kind == 5 else 1)
        table += struct.pack(order + "HHI", tag, kind, count) + field
    more = more.ljust(length, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    path.write_bytes(head + table + bytes(4) + more + data)
    return path


def layout(bits, photometric, n_samples, data, width=64, height=48):
    sizes = {256: (3, [width]), 257: (3, [height]), 278: (3, [height]), 277: (3, [n_samples])}
    kinds = {258: (3, [bits] * n_samples), 259: (3, [1]), 262: (3, [photometric])}
    return sizes | kinds | {273: (4, [0]), 279: (4, [len(data)])}


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"tile": (16, 16)}])
@pytest.mark.parametrize("order", ["<", ">"])
def test_ycbcr_is_converted(tmp_path, options, order):
    planes = np.asarray(Image.fromarray(SAMPLES).convert("YCbCr"))
    path = save(tmp_path / "a.tif", planes, photometric="ycbcr", byteorder=order, **options)
    expected = np.asarray(Image.fromarray(planes, "YCbCr").convert("RGB")).astype(int)
    np.testing.assert_allclose(read_picture(path).samples.astype(int), expected, atol=1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_ycbcr_with_fewer_colour_samples_is_converted(tmp_path, order):
    planes = np.asarray(Image.fromarray(SAMPLES).convert("YCbCr")).astype(int)
    data = bytearray()
    for y in range(0, 48, 2):
        for x in range(0, 64, 2):
            box = planes[y : y + 2, x : x + 2]
            data += bytes([*box[..., 0].ravel(), *box[..., 1:].mean((0, 1)).astype(int)])
    white = [0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1]
    entries = layout(8, 6, 3, data) | {530: (3, [2, 2]), 532: (5, white)}
    samples = read_picture(hand_made(tmp_path / "a.tif", entries, bytes(data), order)).samples
    assert np.abs(samples.astype(int) - SAMPLES).mean() < 3


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("is_grey", [True, False])
def test_palettes_of_any_size_and_colour(tmp_path, bits, is_grey):
    n = 2**bits
    indices = np.add.outer(np.arange(48), np.arange(64)) % n
    packed = np.packbits((indices[..., None] >> np.arange(bits)[::-1]) & 1).tobytes()
    ramp = [i * 65535 // (n - 1) for i in range(n)]
    table = ramp * 3 if is_grey else ramp + ramp[::-1] + [0] * n
    entries = layout(bits, 3, 1, packed) | {320: (3, table)}
    path = hand_made(tmp_path / "a.tif", entries, packed)
    picture = read_picture(path)
    assert picture.channels == probe_picture(path).channels == 3
    colours = (np.array(table).reshape(3, n) >> 8).T.astype(np.uint8)
    np.testing.assert_array_equal(picture.samples, colours[indices])


def test_a_reduced_copy_before_the_picture_is_passed_over(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(SAMPLES[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(SAMPLES, photometric="rgb", metadata=None)
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.samples, SAMPLES)
    assert picture.notes == () and probe_picture(tmp_path / "a.tif").pages == ((48, 64),)


def test_raw_files_and_previews_are_refused_in_their_words(tmp_path):
    def written(name, tags, photometric):
        with tifffile.TiffWriter(tmp_path / name) as writer:
            writer.write(SAMPLES[::4, ::4], photometric="rgb", subifds=1, extratags=tags)
            extra = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)]
            raw = SAMPLES[..., 0] if photometric == "cfa" else SAMPLES
            writer.write(raw, photometric=photometric, extratags=extra * (raw.ndim == 2))
        return tmp_path / name

    for name, tags, photometric, words in (
        ("a.dng", [(50706, 1, 4, b"\1\4\0\0", True)], "rgb", "is a raw file of a camera: develop"),
        ("a.nef", [], "cfa", "is a raw file of a camera: develop"),
        ("a.tif", [], "rgb", "has only a preview as a page"),
    ):
        with pytest.raises(PictureError, match=f"{name} {words}"):
            read_picture(written(name, tags, photometric))
    (tmp_path / "a.cr2").write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(100))
    with pytest.raises(PictureError, match=r"raw file of a camera \(CR2\)"):
        read_picture(tmp_path / "a.cr2")


def test_compressions_that_only_pillow_or_tifffile_know(tmp_path):
    Image.fromarray(SAMPLES).save(tmp_path / "a.tif", compression="zstd")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").samples, SAMPLES)
    for separate in (False, True):
        samples = np.moveaxis(SAMPLES, -1, 0) if separate else SAMPLES
        config = "separate" if separate else "contig"
        path = save(
            tmp_path / "b.tif", samples, photometric="rgb", planarconfig=config, compression="lzma"
        )
        np.testing.assert_array_equal(read_picture(path).samples, SAMPLES)


def test_an_unknown_compression_is_named(tmp_path, monkeypatch):
    path = save(tmp_path / "a.tif", SAMPLES, photometric="rgb")
    data, entry = path.read_bytes(), struct.pack("<HHIH", 259, 3, 1, 1)
    assert data.count(entry) == 1
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda page: 1 / 0)  # without imagecodecs
    for number, name in ((34887, "LERC"), (34712, "JPEG2000"), (50002, "JPEGXL"), (999, "unknown")):
        path.write_bytes(data.replace(entry, entry[:-2] + struct.pack("<H", number)))
        with pytest.raises(PictureError, match=f"{name}.* compression, which is not supported"):
            read_picture(path)


def test_few_bits_of_colour_and_uncommon_depths_are_refused(tmp_path):
    data = bytes(48 * 32 * 3)
    path = hand_made(tmp_path / "a.tif", layout(4, 2, 3, data), data)
    with pytest.raises(PictureError, match="4-bit RGB samples, which is not supported"):
        read_picture(path)
    many = layout(8, 1, 1, data) | {277: (3, [60_000])}
    with pytest.raises(PictureError, match="has 60000 channels, over 64"):
        read_picture(hand_made(path, many, data))


def test_grey_of_12_bits_spans_the_range_of_16(tmp_path):
    levels = np.arange(48 * 64).reshape(48, 64) % 4096
    pairs = levels.reshape(-1, 2)
    packed = np.stack(
        [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1]], 1
    )
    data = packed.astype(np.uint8).tobytes()
    samples = read_picture(hand_made(tmp_path / "a.tif", layout(12, 1, 1, data), data)).samples
    np.testing.assert_array_equal(samples[..., 0], (levels * 65535 + 2047) // 4095)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_fourth_channel_without_a_meaning_is_alpha(tmp_path, depth):
    samples = random_samples(48, 64, 4, depth)
    data = samples.tobytes()
    path = hand_made(tmp_path / "a.tif", layout(depth, 2, 4, data), data)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.samples, samples)
    assert picture.notes == () and probe_picture(path).channels == 4


def test_cmyk_gives_the_same_colours_from_tiff_and_jpeg(tmp_path):
    cmyk = Image.new("CMYK", (32, 32), (30, 180, 90, 20))
    cmyk.save(tmp_path / "a.jpg", quality=100, subsampling=0)
    cmyk.save(tmp_path / "a.tif")
    jpeg, tiff = (read_picture(tmp_path / name) for name in ("a.jpg", "a.tif"))
    np.testing.assert_allclose(jpeg.samples.astype(int), tiff.samples.astype(int), atol=2)
    assert jpeg.notes == tiff.notes and len(jpeg.notes) == 1


GEO = [
    (33550, 12, 3, (10.0, 10.0, 0.0), True),
    (33922, 12, 6, (4.0, 8.0, 0.0, 600000.0, 5000000.0, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 1024, 0, 1, 1), True),
    (42113, 2, 2, "0", True),
]


def test_the_scale_of_a_map_follows_the_picture(tmp_path):
    path = save(tmp_path / "a.tif", SAMPLES, photometric="rgb", extratags=GEO)
    picture = read_picture(path)
    larger = SAMPLES.repeat(2, 0).repeat(4, 1)  # (96, 256, 3)
    write_bands(iter([larger]), picture, 96, 256, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as again:
        tags = again.pages[0].tags
        assert tags[33550].value == (2.5, 5.0, 0.0)
        assert tags[33922].value == (16.0, 16.0, 0.0, 600000.0, 5000000.0, 0.0)
        assert tags[34735].value == (1, 1, 0, 1, 1024, 0, 1, 1) and tags[42113].value == "0"


def test_descriptions_that_state_sizes_are_dropped(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", SAMPLES, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", SAMPLES[..., 0], imagej=True, resolution=(5.0, 4.0))
    tifffile.imwrite(tmp_path / "c.ome.tif", SAMPLES, photometric="rgb", ome=True)
    for name, label in (("a.tif", "tifffile"), ("b.tif", "ImageJ"), ("c.ome.tif", "OME")):
        picture = read_picture(tmp_path / name)
        assert picture.notes == (f"{label} description dropped: it states other sizes",)
        larger = Picture(picture.samples.repeat(2, 0).repeat(2, 1).copy())
        write_bands(iter([larger.samples]), picture, 96, 128, tmp_path / f"x{name}")
        assert tifffile.imread(tmp_path / f"x{name}").shape[:2] == (96, 128)
    with tifffile.TiffFile(tmp_path / "xb.tif") as again:  # pixels per unit, without a unit
        tags = again.pages[0].tags
        x, y = (tags[tag].value[0] / tags[tag].value[1] for tag in (282, 283))
        assert (x, y) == pytest.approx((10, 8)) and tags[296].value == 1


def test_damage_and_incompleteness_are_told_apart(tmp_path):
    path, samples = tmp_path / "a.tif", random_samples(48, 64, 3)
    data = samples.tobytes()
    hand_made(path, layout(8, 2, 3, data), data[:5000])
    with pytest.raises(
        PictureError, match=r"is incomplete .its samples end early.*allow-truncated"
    ):
        read_picture(path)
    picture = read_picture(path, ReadRules(allow_truncated=True))
    assert picture.notes == ("incomplete: the missing pixels are black",)
    write_picture(Picture(samples), path, overwrite=True)
    whole = bytearray(path.read_bytes())
    whole[5000] ^= 255
    path.write_bytes(whole)
    with pytest.raises(PictureError, match=r"is damaged .*: download or copy it again$"):
        read_picture(path)


def test_settings_of_pillow_are_restored(tmp_path):
    save(tmp_path / "a.tif", SAMPLES, photometric="rgb")
    read_picture(tmp_path / "a.tif")
    assert TiffImagePlugin.READ_LIBTIFF is False
