"""What is written means the same to Pillow, tifffile and libvips: pytest tests/pictures/test_matrix.py"""

from itertools import product

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from ginr.pictures import WRITABLE, Picture, losses, read_picture, write_bands, write_picture

from .support import PROFILE_OF_GREY, SRGB, XMP, exif_block, random_samples

LOSSLESS = {".png", ".tif", ".webp", ".bmp", ".jp2", ".jxl"} & WRITABLE
METADATA = {
    "none": {},
    "all": {"exif": exif_block(), "xmp": XMP, "dpi": (300.0, 150.0), "text": (("Title", "é"),)},
    "big-endian": {"exif": exif_block(order=">")},
}


def by_pillow(path, samples):
    """The samples as Pillow reads them; None where its modes cannot hold them."""
    if samples.itemsize == 2 and samples.shape[2] > 1:
        return None
    with Image.open(path) as image:
        found = np.asarray(image)
    return found.reshape(*found.shape[:2], -1)


def by_tifffile(path, samples):
    return tifffile.imread(path).reshape(samples.shape) if path.suffix == ".tif" else None


def by_vips(path, samples):
    if path.suffix not in (".png", ".tif", ".webp"):
        return None
    return (
        pyvips.Image.new_from_file(str(path), fail_on="warning")
        .numpy()
        .reshape(*samples.shape[:2], -1)
    )


@pytest.mark.parametrize(
    ("suffix", "depth", "channels", "label"),
    [*product(sorted(LOSSLESS), (8, 16), (1, 2, 3, 4), METADATA)],
)
def test_every_reader_finds_the_same(tmp_path, suffix, depth, channels, label):
    samples = random_samples(21, 34, channels, depth)
    samples[..., -1] |= samples.dtype.type(1)  # no alpha of 0, whose colour may vary
    icc = {"none": None}.get(label, SRGB if channels > 2 else PROFILE_OF_GREY)
    picture, path = Picture(samples, icc=icc, **METADATA[label]), tmp_path / f"a{suffix}"
    lost = losses(picture, path)
    write_picture(picture, path)
    again = read_picture(path)
    stored = again.samples
    if depth == again.depth and not any("transparency" in phrase for phrase in lost):
        colours = again.samples if again.channels == channels else again.samples[..., [0, -1]]
        np.testing.assert_array_equal(colours[..., :channels], samples)
    for read in (by_pillow, by_tifffile, by_vips):
        found = read(path, stored)
        if found is not None:
            np.testing.assert_array_equal(found[..., : stored.shape[2]], stored)
    assert again.notes == ()
    for name, block in (("ICC profile", icc), ("EXIF", picture.exif), ("XMP", picture.xmp)):
        dropped = any(phrase.startswith(f"{name} dropped") for phrase in lost)
        attribute = {"ICC profile": "icc"}.get(name, name.lower())
        if suffix != ".jxl":  # its decoder makes a profile of its own
            assert (getattr(again, attribute) is None) == (block is None or dropped)


@pytest.mark.parametrize("suffix", sorted({".jpg", ".avif"} & WRITABLE))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_reader_finds_the_same_in_lossy_files(tmp_path, suffix, channels):
    smooth = np.linspace(0, 255, 48 * 64).reshape(48, 64, 1).repeat(channels, 2).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    write_picture(Picture(smooth, exif=exif_block(), xmp=XMP), path)
    again = read_picture(path).samples[..., :channels].astype(int)
    with Image.open(path) as image:
        assert np.abs(again - np.asarray(image).reshape(48, 64, -1)[..., :channels]).max() <= 1
    found = pyvips.Image.new_from_file(str(path), fail_on="warning").numpy().reshape(48, 64, -1)
    assert np.abs(again - found[..., :channels]).max() <= 1


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_bands_make_the_same_file_as_the_whole(tmp_path, suffix):
    samples = random_samples(40, 30, 3)
    picture = Picture(samples, icc=SRGB, exif=exif_block(), xmp=XMP)
    write_picture(picture, tmp_path / f"a{suffix}")
    bands = iter([samples[:7].copy(), samples[7:].copy()])
    write_bands(bands, picture, 40, 30, tmp_path / f"b{suffix}")
    whole, parts = (read_picture(tmp_path / f"{name}{suffix}") for name in "ab")
    np.testing.assert_array_equal(whole.samples, parts.samples)
