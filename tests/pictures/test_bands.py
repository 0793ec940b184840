"""Pictures written while they are made: pytest tests/pictures/test_bands.py"""

import errno
from pathlib import Path

import numpy as np
import pytest

from ginr.errors import PictureError
from ginr.pictures import WRITABLE, Picture, write_bands, write_picture
from ginr.pictures import png as picture_png
from ginr.pictures import tiff as picture_tiff
from ginr.pictures.samples import strips

from .support import SRGB, XMP, FailingFile, exif_block, fail_new_files, full_disk, random_samples


def cut(samples, *rows):
    return np.split(samples, np.cumsum(rows))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_bands_make_the_same_file_as_the_whole(tmp_path, monkeypatch, suffix, depth, channels):
    for module in (picture_png, picture_tiff):
        monkeypatch.setattr(module, "_STRIP", 1000)  # a few rows
    samples = random_samples(61, 37, channels, depth)
    whole = Picture(samples, None if channels < 3 else SRGB, exif_block(), XMP, (300.0, 150.0))
    write_picture(whole, tmp_path / f"a{suffix}")
    like = Picture(samples[:5, :7].copy(), whole.icc, whole.exif, XMP, whole.dpi)
    bands = iter(cut(samples, 1, 20, 7, 30))
    write_bands(bands, like, 61, 37, tmp_path / f"b{suffix}")
    assert (tmp_path / f"b{suffix}").read_bytes() == (tmp_path / f"a{suffix}").read_bytes()


@pytest.mark.parametrize("rows", [(), (1,), (2, 3, 4), (10, 1), (9, 9, 9)])
@pytest.mark.parametrize("n_rows", [1, 3, 10, 50])
def test_strips_are_the_same_rows(rows, n_rows):
    samples = random_samples(40, 2, 3)
    found = list(strips(iter(cut(samples, *rows)), n_rows))
    assert [len(strip) for strip in found[:-1]] == [n_rows] * (len(found) - 1)
    np.testing.assert_array_equal(np.concatenate(found), samples)


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EIO])
def test_a_file_that_fails_ends_the_making(tmp_path, monkeypatch, suffix, failure):
    made = []

    def bands():
        for top in range(0, 4000, 100):
            made.append(top)
            yield random_samples(100, 200, 3, seed=top)

    error = OSError(failure, "No space left on device")
    fail_new_files(monkeypatch, lambda file: FailingFile(file, error))
    like = Picture(random_samples(1, 1, 3))
    with pytest.raises(PictureError, match=r"the disk is full|cannot be written") as caught:
        write_bands(bands(), like, 4000, 200, tmp_path / f"a{suffix}")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    if suffix in (".png", ".tif"):
        assert len(made) < 40


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_really_full_disk(tmp_path, monkeypatch, suffix):
    fail_new_files(monkeypatch, full_disk)
    like = Picture(random_samples(1, 1, 3))
    with pytest.raises(PictureError, match="the disk is full"):
        write_bands([random_samples(9, 9, 3)], like, 9, 9, tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("odd")])
def test_bands_that_end_early_leave_nothing(tmp_path, suffix, error):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"kept")

    def bands():
        yield random_samples(700, 800, 3)
        raise error

    with pytest.raises(type(error)) as caught:
        write_bands(bands(), Picture(random_samples(1, 1, 3)), 900, 800, path, overwrite=True)
    assert caught.value is error
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"kept"
