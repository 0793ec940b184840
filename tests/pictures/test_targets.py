"""Impossible outputs are refused before the work, and failures leave nothing behind.

Run: pytest tests/pictures/test_targets.py
"""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from ginr.errors import PictureError
from ginr.pictures import WRITABLE, Picture, check_target, read_picture, write_picture
from ginr.pictures import tiff as picture_tiff

from .support import (
    SRGB,
    XMP,
    FailingFile,
    exif_block,
    fail_new_files,
    full_disk,
    leftovers,
    parsed,
    random_samples,
)


@pytest.mark.parametrize(
    ("name", "height", "width", "words"),
    [
        ("a.jpg", 65_501, 1, "at most 65500 pixels a side"),
        ("a.webp", 1, 16_384, "at most 16383 pixels a side\\): use .png"),
        ("a.avif", 32_769, 1, "at most 32768 pixels a side"),
        ("a.avif", 20_000, 20_000, "at most 268 megapixels"),
        ("a.png", 1_000_001, 1, "at most 1000000 pixels a side\\): use a smaller"),
        ("a.bmp", 40_000, 40_000, "at most 4 GiB of samples\\): use .png"),
        ("a.xyz", 1, 1, "'.xyz' is not an output format: use .avif, .bmp"),
        ("a.gif", 1, 1, "'.gif' is not an output format"),
        ("a", 1, 1, "a has no suffix: add one of .avif, .bmp"),
        ("none/a.png", 1, 1, "folder .*none does not exist: create it first"),
        ("folder.png", 1, 1, "is a folder"),
        ("there.png", 1, 1, "already exists"),
        ("there.png/a.png", 1, 1, "does not exist|is not a valid name"),
        ("n" * 300 + ".png", 1, 1, "is not a valid name"),
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
    if depth == 8 and order == "<":  # Pillow reads a big-endian one as classic
        with Image.open(tmp_path / "a.tif") as image:
            assert image.getexif()[0x10F] == "Maker" and image.info["dpi"] == (300, 150)


def test_overwriting_needs_permission_and_keeps_modes_and_links(tmp_path):
    path, link = tmp_path / "a.png", tmp_path / "link.png"
    picture = Picture(random_samples(3, 3, 3))
    write_picture(picture, path)
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    path.chmod(0o640)
    link.symlink_to(path)
    with pytest.raises(PictureError, match="already exists"):
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
    with pytest.raises(PictureError, match="is not writable"):
        check_target(tmp_path / "b.png", 3, 3, overwrite=False)
    assert path.read_bytes() == b"kept"


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
    fail_new_files(monkeypatch, lambda file: FailingFile(file, failure))
    picture = Picture(random_samples(100, 100, 3))
    with pytest.raises(expected, match=words):
        write_picture(picture, path, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ([path.name] if overwrite else [])
    assert not overwrite or path.read_bytes() == b"kept"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_a_really_full_disk(tmp_path, monkeypatch, suffix):
    fail_new_files(monkeypatch, full_disk)
    with pytest.raises(PictureError, match="the disk is full"):
        write_picture(Picture(random_samples(9, 9, 3)), tmp_path / f"a{suffix}")
