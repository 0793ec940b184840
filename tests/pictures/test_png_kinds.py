"""PNG files as people have them: pytest tests/pictures/test_png_kinds.py"""

import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from ginr.errors import PictureError
from ginr.pictures import Picture, ReadRules, losses, probe_picture, read_picture, write_picture
from ginr.pictures.colour import icc_space, is_sound_icc

from .support import SRGB, XMP, exif_block, parsed, png_chunk, png_file, random_samples


def read_with(tmp_path, chunks, samples=None, colour=2, depth=8, **options):
    samples = random_samples(6, 8, 3) if samples is None else samples
    path = tmp_path / "a.png"
    path.write_bytes(png_file(samples, colour, depth, chunks))
    picture = read_picture(path, **options)
    np.testing.assert_array_equal(picture.samples[..., : samples.shape[2]], samples)
    return picture


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_grey_of_few_bits(tmp_path, bits):
    levels = np.arange(2**bits, dtype=np.uint8)
    levels = np.resize(levels, max(8 // bits, 2**bits))
    packed = np.packbits((levels[:, None] >> np.arange(bits)[::-1]) & 1)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", levels.size, 1, bits, 0, 0, 0, 0))
    key = 2**bits - 1
    data = b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"tRNS", struct.pack(">H", key))
    data += png_chunk(b"IDAT", zlib.compress(b"\0" + packed.tobytes())) + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    samples = read_picture(tmp_path / "a.png").samples
    np.testing.assert_array_equal(samples[0, :, 0], levels * (255 // key))
    np.testing.assert_array_equal(samples[0, :, 1], np.where(levels == key, 0, 255))


DAMAGED = {
    "profile": png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(SRGB)[:40]),
    "text": png_chunk(b"iTXt", b"Comment\0\0\0hello"),
    "packed text": png_chunk(b"zTXt", b"Comment\0\0not packed"),
    "resolution": png_chunk(b"pHYs", b"\0\0\1"),
    "gamma": png_chunk(b"gAMA", b"\0"),
    "primaries": png_chunk(b"cHRM", bytes(32)),
    "transparency": png_chunk(b"tRNS", b"\0"),
    "checksum": png_chunk(b"tEXt", b"Title\0words")[:-1] + b"\0",
    "critical": png_chunk(b"ABCD", b"unknown"),
    "header": png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_chunk_is_left_out_with_one_line(tmp_path, kind):
    picture = read_with(tmp_path, DAMAGED[kind])
    assert len(picture.notes) == 1 and "left out" in picture.notes[0]
    assert picture.icc is None and picture.dpi is None and picture.text == ()
    for read in (read_picture, probe_picture):
        with pytest.raises(PictureError, match="leave out --strict to read it"):
            read(tmp_path / "a.png", ReadRules(strict=True))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("lost", [5, 12, 14, 20])
def test_a_missing_end_chunk_is_noted(tmp_path, depth, lost):
    samples = random_samples(20, 30, 3, depth)
    whole = png_file(samples, 2, depth)
    (tmp_path / "a.png").write_bytes(whole[:-lost])
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.samples, samples)
    assert "the end chunk is missing" in picture.notes


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("is_zlibs", [False, True])
def test_a_wrong_checksum_of_whole_samples_is_noted(tmp_path, depth, is_zlibs):
    samples = random_samples(20, 30, 3, depth)
    data = bytearray(png_file(samples, 2, depth))
    if is_zlibs:
        start = data.index(b"IDAT") + 4
        data[start - 8 :] = png_chunk(b"IDAT", bytes(data[start:-20]) + b"abcd")
        data += png_chunk(b"IEND", b"")
    else:
        data[-13] ^= 255  # the last byte of the chunk's, before the end chunk
    (tmp_path / "a.png").write_bytes(data)
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.samples, samples)
    assert picture.notes == ("wrong checksum of the samples",)
    with pytest.raises(PictureError, match="--strict"):
        read_picture(tmp_path / "a.png", ReadRules(strict=True))


@pytest.mark.parametrize("depth", [8, 16])
def test_incomplete_samples_are_read_if_allowed(tmp_path, depth):
    samples = random_samples(40, 30, 3, depth)
    (tmp_path / "a.png").write_bytes(png_file(samples, 2, depth)[:-1000])
    with pytest.raises(PictureError, match="is incomplete"):
        read_picture(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", ReadRules(allow_truncated=True))
    np.testing.assert_array_equal(picture.samples[:10], samples[:10])
    assert "incomplete: the missing pixels are black" in picture.notes


def gamma(value, points=None):
    chunks = png_chunk(b"gAMA", struct.pack(">I", value))
    return chunks + (png_chunk(b"cHRM", struct.pack(">8I", *points)) if points else b"")


P3_POINTS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def in_srgb(picture):
    import io

    from PIL import ImageCms

    image = Image.fromarray(picture.samples[..., :3])
    srgb = ImageCms.createProfile("sRGB")
    turned = ImageCms.profileToProfile(image, io.BytesIO(picture.icc), srgb)
    return np.asarray(turned).astype(int)


@pytest.mark.parametrize(
    "chunks",
    [
        gamma(45455, P3_POINTS),
        png_chunk(b"cICP", b"\x0c\x0d\0\1"),
        png_chunk(b"cICP", b"\x0c\x0d\0\1") + png_chunk(b"iCCP", b"s\0\0" + zlib.compress(SRGB)),
    ],
)
def test_display_p3_is_carried_as_a_profile(tmp_path, chunks):
    samples = np.full((2, 2, 3), (80, 50, 60), np.uint8)
    picture = read_with(tmp_path, chunks, samples)
    assert is_sound_icc(picture.icc) and "carried as an ICC profile" in picture.notes[-1]
    np.testing.assert_allclose(in_srgb(picture)[0, 0], (85, 48, 60), atol=1)


def test_a_gamma_is_carried_as_a_profile(tmp_path):
    samples = np.full((2, 2, 3), 128, np.uint8)
    picture = read_with(tmp_path, gamma(100_000), samples)
    np.testing.assert_allclose(in_srgb(picture)[0, 0], 188, atol=1)  # linear 0.5
    grey = read_with(tmp_path, gamma(100_000), samples[..., :1], colour=0)
    assert icc_space(grey.icc) == "GRAY" and is_sound_icc(grey.icc)
    plain = read_with(tmp_path, gamma(45455), samples)
    assert plain.icc is None and plain.notes == ()


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_colours_stay_in_a_png_and_are_lost_elsewhere(tmp_path, transfer):
    chunk = png_chunk(b"cICP", bytes((9, transfer, 0, 1)))
    picture = read_with(tmp_path, chunk + png_chunk(b"iCCP", b"s\0\0" + zlib.compress(SRGB)))
    name = {16: "BT.2020 PQ", 18: "BT.2020 HLG"}[transfer]
    assert picture.cicp == (9, transfer, 0, 1) and picture.icc is None
    assert picture.notes == (f"ICC profile dropped: cICP, which goes before it, says {name}",)
    write_picture(picture, tmp_path / "b.png")
    assert chunk in (tmp_path / "b.png").read_bytes()
    assert read_picture(tmp_path / "b.png").cicp == picture.cicp
    (lost,) = losses(picture, tmp_path / "b.jpg")
    assert name in lost


def hex_profile(kind, block):
    words = f"\n{kind}\n{len(block):8}\n{block.hex()}\n".encode()
    return png_chunk(b"zTXt", b"Raw profile type " + kind.encode() + b"\0\0" + zlib.compress(words))


@pytest.mark.parametrize("kind", ["exif", "APP1"])
def test_exif_in_a_text_chunk_counts(tmp_path, kind):
    samples = random_samples(6, 8, 3)
    data = png_file(samples, 2, 8, hex_profile(kind, b"Exif\0\0" + exif_block(6)))
    (tmp_path / "a.png").write_bytes(data)
    picture = read_picture(tmp_path / "a.png")
    assert picture.samples.shape == (8, 6, 3) and picture.text == ()
    assert parsed(picture.exif)[0x10F] == "Maker" and parsed(picture.exif)[0x112] == 1


def test_other_blocks_in_text_chunks_count(tmp_path):
    chunks = hex_profile("xmp", XMP) + hex_profile("icc", SRGB) + hex_profile("iptc", b"8BIM")
    picture = read_with(tmp_path, chunks)
    assert picture.xmp == XMP and picture.icc == SRGB
    assert picture.notes == ("IPTC block dropped",)


def test_a_profile_for_rgb_does_not_go_into_a_grey_png(tmp_path):
    Image.fromarray(random_samples(6, 8, 1)[..., 0]).save(tmp_path / "a.jpg", icc_profile=SRGB)
    picture = read_picture(tmp_path / "a.jpg")
    (lost,) = losses(picture, tmp_path / "b.png")
    assert lost.startswith("ICC profile dropped: PNG")
    write_picture(picture, tmp_path / "b.png")
    assert b"iCCP" not in (tmp_path / "b.png").read_bytes()


def test_many_and_large_text_chunks_are_bounded(tmp_path):
    many = png_chunk(b"tEXt", b"a\0b") * 30_000
    picture = read_with(tmp_path, many)
    assert len(picture.text) == 10_000 and "too many" in picture.notes[0]
    packed = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000_000)))
    start = time.process_time()
    picture = read_with(tmp_path, png_chunk(b"iCCP", b"s\0\0" + zlib.compress(SRGB)) + packed * 70)
    assert time.process_time() - start < 2
    assert picture.icc == SRGB and picture.text == () and len(picture.notes) == 1
    assert "unpacks to over 32 MB" in picture.notes[0]


def test_an_odd_text_is_not_written(tmp_path):
    picture = read_with(tmp_path, png_chunk(b"tEXt", b"\0words") + png_chunk(b"tEXt", b"a\0b\0c"))
    assert picture.text == () and len(picture.notes) == 2


def test_xmp_that_is_not_text_is_dropped(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.webp", xmp=b"<x:xmpmeta \xde />")
    picture = read_picture(tmp_path / "a.webp")
    assert picture.xmp is None and picture.notes == ("XMP packet dropped: it is not UTF-8 text",)
    odd = Picture(picture.samples, xmp=b"\xde ")
    assert losses(odd, tmp_path / "a.png") == ["XMP dropped: PNG needs UTF-8 text"]
