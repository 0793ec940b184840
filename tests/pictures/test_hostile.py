"""Files made to harm end in a picture or one line, soon: pytest tests/pictures/test_hostile.py"""

import random
import struct
import time
import zlib

import numpy as np
import psutil
import pytest
import pyvips
from PIL import Image

from ginr.errors import GinrError, PictureError
from ginr.pictures import (
    WRITABLE,
    Picture,
    ReadRules,
    probe_picture,
    read_picture,
    rules,
    write_picture,
)  # fmt: skip
from ginr.pictures.directories import pack_directory, tiff_header

from .support import SRGB, XMP, exif_block, png_chunk, png_file, random_samples


def refused(path, words, **options):
    """Both readers refuse it, within a second and 200 MB."""
    for read in (probe_picture, read_picture):
        start, before = time.process_time(), psutil.Process().memory_info().rss
        with pytest.raises(PictureError, match=words) as caught:
            read(path, ReadRules(**options))
        assert str(caught.value).isprintable()
        assert time.process_time() - start < 1
        assert psutil.Process().memory_info().rss - before < 200e6


def header(width, height):
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def test_the_first_header_of_a_png_is_checked_and_decoded(tmp_path):
    samples = random_samples(4, 4, 1)
    small = png_file(samples, 0, 8)
    large = small[:8] + header(60_000, 60_000) + small[8:]
    (tmp_path / "a.png").write_bytes(large)
    refused(tmp_path / "a.png", "claims 60000x60000 pixels.*add --allow-large")
    (tmp_path / "b.png").write_bytes(small[:33] + header(60_000, 60_000) + small[33:])
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png").samples, samples)


def tiff(path, entries, data=b""):
    path.write_bytes(tiff_header("<", 8) + pack_directory(entries, 8, "<") + data)
    return path


def numbers(*values, kind=4):
    return kind, len(values), struct.pack(f"<{len(values)}{'I' if kind == 4 else 'f'}", *values)


def test_the_first_of_two_equal_tags_counts(tmp_path):
    pyvips.Image.new_from_array(random_samples(40, 40, 1)).tiffsave(str(tmp_path / "a.tif"))
    data = (tmp_path / "a.tif").read_bytes()
    first = struct.unpack("<I", data[4:8])[0]
    n_entries = struct.unpack("<H", data[first : first + 2])[0]
    table = data[first + 2 : first + 2 + 12 * n_entries]
    place = next(at for at in range(0, len(table), 12) if table[at : at + 2] == b"\0\1")
    twice = table[: place + 12] + struct.pack("<HHIHH", 256, 3, 1, 4, 0) + table[place + 12 :]
    packed = struct.pack("<H", n_entries + 1) + twice + bytes(4)
    (tmp_path / "a.tif").write_bytes(data[:4] + struct.pack("<I", len(data)) + data[8:] + packed)
    assert read_picture(tmp_path / "a.tif").samples.shape == (40, 40, 1)


def test_directories_are_bounded(tmp_path):
    size = {256: numbers(4), 257: numbers(4)}
    entries = size | {tag: numbers(1) for tag in range(1000, 6000)}
    refused(tiff(tmp_path / "a.tif", entries), "a directory has 5002 entries")
    blob = bytes(400_000)
    packed = pack_directory(size | {n: (7, len(blob), b"12345") for n in range(1000, 4000)}, 8, "<")
    (tmp_path / "b.tif").write_bytes(tiff_header("<", 8) + packed + blob)
    refused(tmp_path / "b.tif", "the values of a directory overlap or exceed 64 MB")
    refused(
        tiff(tmp_path / "c.tif", size | {256: numbers(float("inf"), kind=11)}), "is not a number"
    )


def test_directories_that_overlap_are_bounded(tmp_path):
    n_entries = 4000
    data = bytearray(tiff_header("<", 8) + bytes(12 * n_entries * 4))
    for offset in range(8, 8 + 12 * n_entries, 12):  # each begins in an entry of the one before
        struct.pack_into("<H", data, offset, n_entries)
        struct.pack_into("<I", data, offset + 2 + 12 * n_entries, offset + 12)
    (tmp_path / "a.tif").write_bytes(data)
    refused(tmp_path / "a.tif", "too many entries: add --allow-large|is damaged")


def test_pages_are_bounded(tmp_path):
    chain, offset = b"", 8
    for _ in range(20_000):
        entries = {256: numbers(4), 257: numbers(4)}
        page = pack_directory(entries, offset, "<")
        offset += len(page)
        chain += page[:-4] + struct.pack("<I", offset)
    (tmp_path / "a.tif").write_bytes(tiff_header("<", 8) + chain)
    refused(tmp_path / "a.tif", "has over 16384 pages or too many entries: add --allow-large")


def test_sizes_that_a_small_file_cannot_mean_are_refused(tmp_path):
    lossless = struct.pack("<I", 16382 | 16382 << 14)
    data = b"WEBPVP8L" + struct.pack("<I", 14) + b"\x2f" + lossless + bytes(9)
    (tmp_path / "a.webp").write_bytes(b"RIFF" + struct.pack("<I", len(data)) + data)
    refused(tmp_path / "a.webp", "claims 16383x16383 pixels in 34 bytes: add --allow-large")
    head = struct.pack("<IiiHHIIiiII", 40, 11_242, 11_242, 1, 8, 1, 8, 0, 0, 2, 0) + bytes(8)
    data = b"BM" + struct.pack("<IHHI", 70, 0, 0, 62) + head + b"\0\2\xff\xff\0\2\xff\xff"
    (tmp_path / "a.bmp").write_bytes(data)
    refused(tmp_path / "a.bmp", "claims 11242x11242 pixels in 70 bytes")


def test_a_limit_on_time_holds_for_both_decoders(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "MAX_SECONDS", -1.0)
    samples = np.zeros((3000, 3000, 3), np.uint8)
    Image.fromarray(samples).save(tmp_path / "a.gif")
    pyvips.Image.new_from_array(samples).pngsave(str(tmp_path / "a.png"))
    for name in ("a.gif", "a.png"):
        with pytest.raises(PictureError, match="takes over -1 s to read: add --allow-large"):
            read_picture(tmp_path / name)
        assert read_picture(tmp_path / name, ReadRules(allow_large=True)).width == 3000


def test_control_characters_of_a_file_are_escaped(tmp_path):
    data = png_file(random_samples(2, 2, 1), 0, 8)
    (tmp_path / "a.png").write_bytes(data[:33] + png_chunk(b"a\x1b[m", b"")[:-1])
    with pytest.raises(PictureError, match="is incomplete") as caught:
        read_picture(tmp_path / "a.png")
    assert str(caught.value).isprintable()


def odd_blocks(chance):
    """An EXIF block, an XMP packet and a profile, each with some bytes changed."""
    blocks = []
    for block in (exif_block(order=chance.choice("<>")), XMP, SRGB):
        changed = bytearray(block)
        for _ in range(chance.randrange(6)):
            place = chance.randrange(len(changed))
            changed[place : place + 1] = chance.choice(
                (b"\xff", b"\0", b"\x7f", bytes([chance.randrange(256)]), b"", b"\1\2")
            )
        blocks.append(bytes(changed))
    # Tags of a TIFF's storage, as hostile and as careless programs leave them.
    if chance.random() < 0.3:
        tag = chance.choice((266, 322, 323, 273, 279, 317, 339, 338, 330, 258))
        entries = {tag: (3, 1, b"\2\0"), 271: (2, 4, b"abc\0"), 34665: (4, 1, b"\xff\xff\0\0")}
        blocks[0] = tiff_header("<", 8) + pack_directory(entries, 8, "<")
    return blocks


def assert_others_read(path):
    with Image.open(path) as image:
        image.load()
        block = image.getexif()
        for tag in (0x8769, 0x8825):
            block.get_ifd(tag)
    if path.suffix in (".png", ".jpg", ".webp", ".tif", ".avif"):
        pyvips.Image.new_from_file(str(path), fail_on="error").numpy()


@pytest.mark.filterwarnings("ignore")  # Pillow's, on values it does not know
@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_written_is_read_again(tmp_path, seed):
    chance = random.Random(seed)
    exif, xmp, icc = odd_blocks(chance)
    samples = random_samples(20, 24, 3, seed=seed)
    chunks = png_chunk(b"eXIf", exif) + png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc))
    chunks += png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    (tmp_path / "a.png").write_bytes(png_file(samples, 2, 8, chunks))
    Image.fromarray(samples).save(tmp_path / "a.webp", exif=exif, xmp=xmp, icc_profile=icc)
    for source in ("a.png", "a.webp"):
        picture = read_picture(tmp_path / source)
        for suffix in sorted(WRITABLE - {".jpeg", ".jpe", ".jfif", ".tiff"}):
            path = tmp_path / f"b{suffix}"
            write_picture(picture, path, overwrite=True)
            again = read_picture(path)
            assert again.samples.shape[:2] == picture.samples.shape[:2]
            assert not any("damaged" in note for note in again.notes), again.notes
            assert_others_read(path)


def mutated(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 30))):
        place = chance.randrange(min(len(data), chance.choice((64, 400, len(data)))))
        if chance.random() < 0.7:
            data[place] = chance.randrange(256)
        elif chance.random() < 0.5:
            del data[place : place + chance.randrange(1, 20)]
        else:
            data[place : place + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


@pytest.mark.parametrize(
    "suffix", sorted(WRITABLE - {".jpeg", ".jpe", ".jfif", ".tiff"} | {".gif"})
)
def test_mutated_files_end_in_a_picture_or_an_error(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    picture = Picture(random_samples(24, 20, 3), SRGB, exif_block(), XMP, (72.0, 72.0))
    if suffix == ".gif":
        Image.fromarray(picture.samples).quantize(8).save(path)
    else:
        write_picture(picture, path)
    whole, chance = path.read_bytes(), random.Random(suffix)
    for _ in range(120):
        path.write_bytes(mutated(whole, chance))
        try:
            read_picture(path, ReadRules(allow_truncated=chance.random() < 0.3))
        except GinrError as error:
            assert str(error).isprintable()
