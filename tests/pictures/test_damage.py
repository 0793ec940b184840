"""Errors for unreadable files: pytest tests/pictures/test_damage.py"""

import errno
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ginr.errors import PictureError
from ginr.pictures import READABLE, WRITABLE, Picture, probe_picture, read_picture, write_picture

from .support import SRGB, XMP, exif_block, png_chunk, png_file, random_samples


def assert_refused(path, words):
    for read in (read_picture, probe_picture):
        with pytest.raises(PictureError, match=words) as caught:
            read(path)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_unreadable_files_are_refused(tmp_path):
    assert_refused(tmp_path / "none.png", "does not exist")
    assert_refused(tmp_path, "is a folder")
    (tmp_path / "empty.png").touch()
    assert_refused(tmp_path / "empty.png", r"is empty \(0 bytes\)")
    (tmp_path / "text.png").write_text("not a picture at all")
    assert_refused(tmp_path / "text.png", "is not a supported picture")
    (tmp_path / "below").mkdir()
    (tmp_path / "file").touch()
    assert_refused(tmp_path / "file" / "a.png", "cannot be|damaged|not a folder|does not exist")
    os.mkfifo(tmp_path / "pipe.png")
    assert_refused(tmp_path / "pipe.png", "not a regular file")


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_picture(Picture(random_samples(2, 2, 3)), path)

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert_refused(path, "cannot be read")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", sorted(READABLE))
def test_truncated_files_are_refused(tmp_path, suffix, depth):
    path = tmp_path / f"a{suffix}"
    picture = Picture(random_samples(60, 80, 3, depth))
    if suffix == ".gif":
        Image.fromarray(random_samples(60, 80, 1)[..., 0]).save(path)
    elif suffix in WRITABLE:
        write_picture(picture, path)
    elif suffix in (".heic", ".heif", ".hif"):
        heif = pytest.importorskip("pillow_heif")
        heif.from_pillow(Image.fromarray(random_samples(60, 80, 3))).save(path)
    else:
        write_picture(picture, path.with_suffix(".jp2"))
        path.with_suffix(".jp2").rename(path)
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
    assert_refused(
        tmp_path / "bomb.png", r"claims 40000x25001 pixels, above the limit of 1 gigapixel"
    )


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
