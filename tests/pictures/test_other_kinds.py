"""JPEG, AVIF, BMP and other files as people have them: pytest tests/pictures/test_other_kinds.py"""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from ginr.errors import PictureError
from ginr.pictures import (
    UNREADABLE,
    Picture,
    ReadRules,
    losses,
    network_losses,
    probe_picture,
    read_picture,
    why_unreadable,
    without_place,
    write_bands,
    write_picture,
)  # fmt: skip

from .support import SRGB, exif_block, parsed, random_samples


def jpeg(segments=b"", **options):
    """A JPEG with segments after its start."""
    file = io.BytesIO()
    Image.fromarray(random_samples(48, 64, 3)).save(file, "JPEG", **options)
    data = file.getvalue()
    return data[:2] + segments + data[2:]


def segment(marker, data):
    return bytes((255, marker)) + struct.pack(">H", 2 + len(data)) + data


def xmp_segment(attributes, body=""):
    packet = f"<x:xmpmeta><rdf:Description {attributes}>{body}</rdf:Description></x:xmpmeta>"
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet.encode())


def read_bytes(tmp_path, data, name="a.jpg", **options):
    (tmp_path / name).write_bytes(data)
    return read_picture(tmp_path / name, **options)


@pytest.mark.parametrize("options", [{}, {"quality": 95, "subsampling": 0}, {"progressive": True}])
def test_a_jpeg_without_its_end_marker_is_read(tmp_path, options):
    data = jpeg(**options)
    whole = read_bytes(tmp_path, data)
    for lost in (1, 2):
        picture = read_bytes(tmp_path, data[:-lost])
        np.testing.assert_array_equal(picture.samples, whole.samples)
        assert picture.notes == ("the end marker is missing",)
        with pytest.raises(PictureError, match="--strict"):
            probe_picture(tmp_path / "a.jpg", ReadRules(strict=True))
    for lost in (len(data) // 2, 300, 150):
        with pytest.raises(PictureError, match="is incomplete"):
            read_bytes(tmp_path, data[:-lost])
        picture = read_picture(tmp_path / "a.jpg", ReadRules(allow_truncated=True))
        assert "incomplete: the missing pixels are grey" in picture.notes


def test_damaged_samples_of_a_jpeg_are_noted(tmp_path):
    file = io.BytesIO()
    Image.fromarray(random_samples(300, 300, 1)[..., 0]).save(file, "JPEG", restart_marker_rows=2)
    data = bytearray(file.getvalue())
    at = len(data) // 2
    data[at : at + 40] = bytes(40)
    for _ in range(50):  # libvips logs a warning for each, also while Python frees others
        picture = read_bytes(tmp_path, data)
    assert any("some pixels may be wrong" in note for note in picture.notes)


@pytest.mark.parametrize(
    ("marker", "words"), [(0xC3, "lossless JPEG"), (0xC5, "hierarchical"), (0xF7, "JPEG-LS")]
)
def test_other_kinds_of_jpeg_are_named(tmp_path, marker, words):
    frame = segment(marker, struct.pack(">BHHB", 8, 48, 64, 3) + bytes(9))
    with pytest.raises(PictureError, match=f"has {words}.* compression, which is not supported"):
        read_bytes(tmp_path, b"\xff\xd8" + frame + b"\xff\xd9")
    frame = segment(0xC1, struct.pack(">BHHB", 12, 48, 64, 3) + bytes(9))
    with pytest.raises(PictureError, match="has 12-bit JPEG compression, which is not supported"):
        read_bytes(tmp_path, b"\xff\xd8" + frame + b"\xff\xd9")


def test_a_comment_is_carried(tmp_path):
    picture = read_bytes(tmp_path, jpeg(comment="größer".encode()))
    assert picture.text == (("Comment", "größer"),)
    assert losses(picture, tmp_path / "b.jpg") == losses(picture, tmp_path / "b.png") == []
    assert losses(picture, tmp_path / "b.webp") == ["comment dropped"]
    for name in ("b.jpg", "b.png"):
        write_picture(picture, tmp_path / name)
        assert read_picture(tmp_path / name).text == picture.text


GAIN_MAP = (
    'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"',
    "<hdrgm:OffsetSDR><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:OffsetSDR><Container:Directory>"
    '<Container:Item Item:Semantic="GainMap"/></Container:Directory><dc:title>kept</dc:title>',
)


def test_a_gain_map_is_left_out_of_picture_and_xmp(tmp_path):
    iso = segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4))
    picture = read_bytes(tmp_path, jpeg(xmp_segment(*GAIN_MAP) + iso))
    assert picture.notes == ("gain map (HDR) left out",)
    assert not any(word in picture.xmp for word in (b"hdrgm", b"GainMap", b"Container"))
    assert b"<dc:title>kept</dc:title>" in picture.xmp
    assert read_bytes(tmp_path, jpeg(iso)).notes == ("gain map (HDR) left out",)


def test_the_video_of_a_motion_photo_is_left_out(tmp_path):
    words = 'GCamera:MicroVideo="1" GCamera:MicroVideoOffset="4000" GCamera:MotionPhoto="1"'
    picture = read_bytes(tmp_path, jpeg(xmp_segment(words + ' dc:title="kept"')) + bytes(4000))
    assert picture.notes == ("the video of a motion photo is left out",)
    assert b"GCamera" not in picture.xmp and b'dc:title="kept"' in picture.xmp


PANORAMA = (
    'exif:PixelXDimension="64" tiff:ImageLength="48" GPano:FullPanoWidthPixels="128" '
    'GPano:CroppedAreaTopPixels="12" GPano:ProjectionType="equirectangular"'
)


def test_sizes_in_xmp_follow_the_picture(tmp_path):
    picture = read_bytes(
        tmp_path, jpeg(xmp_segment(PANORAMA, "<tiff:ImageWidth>64</tiff:ImageWidth>"))
    )
    write_bands(iter([random_samples(144, 128, 3)]), picture, 144, 128, tmp_path / "b.png")
    xmp = read_picture(tmp_path / "b.png").xmp.decode()
    for words in (
        'PixelXDimension="128"', 'ImageLength="144"', "<tiff:ImageWidth>128<",
        'FullPanoWidthPixels="256"', 'CroppedAreaTopPixels="36"',
    ):  # fmt: skip
        assert words in xmp
    part = without_place(picture)
    assert b"GPano" not in part.xmp and "panorama entries dropped" in part.notes[-1]


def test_extended_xmp_and_photoshop_blocks_are_noted(tmp_path):
    more = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40))
    main = xmp_segment('xmpNote:HasExtendedXMP="ABC" dc:title="kept"')
    block = segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\0")
    picture = read_bytes(tmp_path, jpeg(main + more + block))
    assert picture.notes == ("Photoshop block dropped", "extended XMP dropped")
    assert b"HasExtendedXMP" not in picture.xmp and b"kept" in picture.xmp


@pytest.mark.parametrize("suffix", [".jfif", ".jpe"])
def test_all_names_of_jpeg_are_read_and_written(tmp_path, suffix):
    write_picture(Picture(random_samples(8, 9, 3)), tmp_path / f"a{suffix}")
    assert probe_picture(tmp_path / f"a{suffix}").format == "JPEG"


def avif(tmp_path, primaries, transfer):
    """An AVIF that states its colours by numbers."""
    Image.fromarray(random_samples(16, 16, 3)).save(tmp_path / "a.avif")
    data = (tmp_path / "a.avif").read_bytes()
    at = data.index(b"colrnclx") + 8
    (tmp_path / "a.avif").write_bytes(
        data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
    )
    return read_picture(tmp_path / "a.avif")


def test_colours_that_an_avif_states_by_numbers_are_carried(tmp_path):
    assert avif(tmp_path, 1, 13).notes == () and avif(tmp_path, 1, 13).icc is None
    wide = avif(tmp_path, 12, 13)
    assert wide.icc is not None and wide.notes == (
        "colour space Display P3 carried as an ICC profile",
    )
    assert avif(tmp_path, 9, 1).icc not in (None, wide.icc)
    for transfer in (16, 18):
        assert avif(tmp_path, 9, transfer).cicp == (9, transfer, 0, 1)
    assert avif(tmp_path, 200, 13).notes == ("colour space 200 dropped: read as sRGB",)


def test_the_profile_of_a_bmp_is_carried(tmp_path):
    Image.fromarray(random_samples(48, 64, 3)).save(tmp_path / "a.bmp")
    pixels = (tmp_path / "a.bmp").read_bytes()[54:]
    head = struct.pack("<IiiHHIIiiII", 124, 64, 48, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    head += (
        bytes(16) + b"DEBM" + bytes(48) + struct.pack("<IIII", 4, 124 + len(pixels), len(SRGB), 0)
    )
    data = b"BM" + struct.pack("<IHHI", 138 + len(pixels) + len(SRGB), 0, 0, 138) + head
    assert read_bytes(tmp_path, data + pixels + SRGB, "a.bmp").icc == SRGB
    odd = data[: 14 + 4 + 12] + struct.pack("<I", 3) + data[34:]
    with pytest.raises(PictureError, match="has samples that are not supported"):
        read_bytes(tmp_path, odd + pixels, "a.bmp")


def test_colour_below_transparency_is_said_to_be_lost(tmp_path):
    samples = random_samples(8, 8, 4)
    samples[..., 3] = 0
    assert network_losses(Picture(samples)) == ["colour of fully transparent pixels set to 0"]
    samples[..., :3] = 0
    assert (
        network_losses(Picture(samples)) == network_losses(Picture(samples[..., :3].copy())) == []
    )


def test_jpeg_2000_is_read_and_written(tmp_path):
    samples = random_samples(30, 40, 3)
    write_picture(Picture(samples, exif=exif_block()), tmp_path / "a.jp2")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jp2").samples, samples)
    assert losses(Picture(samples, exif=exif_block()), tmp_path / "a.jp2") == [
        "EXIF dropped: JPEG2000 has no metadata"
    ]


def test_jpeg_xl_is_read_and_written(tmp_path):
    pytest.importorskip("pillow_jxl")
    for shape in ((30, 40), (8, 8), (256, 512), (1, 300)):
        samples = random_samples(*shape, 3)
        path = tmp_path / "a.jxl"
        write_picture(Picture(samples, exif=exif_block()), path, overwrite=True)
        assert (probe_picture(path).height, probe_picture(path).width) == shape
        picture = read_picture(path)
        np.testing.assert_array_equal(picture.samples, samples)
        assert parsed(picture.exif)[0x10F] == "Maker"


def test_heic_is_read(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    samples = np.full((64, 64, 3), (200, 40, 60), np.uint8)
    heif.from_pillow(Image.fromarray(samples)).save(tmp_path / "a.heic", quality=95)
    picture = read_picture(tmp_path / "a.heic")
    np.testing.assert_allclose(picture.samples.astype(int), samples, atol=4)


def test_what_only_some_makers_write_is_noted(tmp_path):
    picture = read_bytes(tmp_path, jpeg() + bytes(99) + b"MotionPhoto_Data" + bytes(99) + b"SEFT")
    assert picture.notes == ("the video of a motion photo is left out",)
    tag = (50844, 12, 3, (1.0, 2.0, 3.0), True)  # rational polynomials of a map
    tifffile.imwrite(tmp_path / "a.tif", picture.samples, metadata=None, extratags=[tag])
    assert read_picture(tmp_path / "a.tif").notes == ("1 private TIFF tag(s) dropped",)


def test_a_kind_that_cannot_be_read_says_what_to_do(tmp_path):
    assert 'pip install "ginr[formats]"' in why_unreadable(tmp_path / "a.heic")
    assert "develop it first" in why_unreadable(tmp_path / "a.nef")
    assert "convert it first" in why_unreadable(tmp_path / "a.psd")
    for suffix in UNREADABLE:
        assert why_unreadable(tmp_path / f"a{suffix}")
