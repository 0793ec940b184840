"""A file's orientation is applied once: pytest tests/pictures/test_orientation.py"""

import numpy as np
import pytest
from PIL import Image, ImageOps

from ginr.pictures import Picture, probe_picture, read_picture, write_picture

from .support import XMP, exif_block, parsed, random_samples


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
