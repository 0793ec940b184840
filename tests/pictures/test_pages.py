"""TIFF files of several pages: pytest tests/pictures/test_pages.py"""

import numpy as np
import pytest
import tifffile
from PIL import Image

from ginr.errors import PictureError
from ginr.pictures import Page, Picture, probe_picture, read_picture, write_pages
from ginr.pictures import tiff as picture_tiff

from .support import SRGB, XMP, exif_block, parsed, random_samples

SHAPES = ((48, 64, 3, 8), (20, 30, 4, 8), (31, 17, 1, 16))


def pictures():
    yield Picture(random_samples(*SHAPES[0]), SRGB, exif_block(), XMP, (300.0, 150.0))
    yield Picture(random_samples(*SHAPES[1]), exif=exif_block())
    yield Picture(random_samples(*SHAPES[2]), exif=exif_block(order=">"))


def write(path, **options):
    pages = (Page([like.samples], like, like.height, like.width) for like in pictures())
    write_pages(pages, 48 * 64 * 8 * 3, path, **options)


@pytest.mark.parametrize("is_big", [False, True])
def test_pages_are_written_and_read(tmp_path, monkeypatch, is_big):
    if is_big:
        monkeypatch.setattr(picture_tiff, "CLASSIC_BYTES", 0)
    path = tmp_path / "a.tif"
    write(path)
    header = probe_picture(path)
    assert header.pages == tuple(shape[:2] for shape in SHAPES)
    for number, picture in enumerate(pictures()):
        again = read_picture(path, page=number)
        np.testing.assert_array_equal(again.samples, picture.samples)
        assert (again.icc, again.xmp, again.dpi) == (picture.icc, picture.xmp, picture.dpi)
        if number < 2:  # the last one's block has another byte order
            assert parsed(again.exif)[0x10F] == "Maker"
            assert parsed(again.exif).get_ifd(0x8769)[0x829A] == pytest.approx(0.01)
        assert again.notes == ()
        np.testing.assert_array_equal(
            tifffile.imread(path, key=number).reshape(picture.samples.shape), picture.samples
        )
    if not is_big:
        with Image.open(path) as image:
            assert image.n_frames == 3
            image.seek(2)
            np.testing.assert_array_equal(np.asarray(image), list(pictures())[2].samples[..., 0])


def test_without_a_page_the_first_is_read_and_the_rest_noted(tmp_path):
    write(tmp_path / "a.tif")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.height == 48 and picture.notes == ("only the first of 3 frames is read",)


def test_pages_are_taken_one_after_another(tmp_path):
    made = []

    def page(number):
        made.append(number)
        picture = Picture(random_samples(8, 8, 3, seed=number))

        def bands():
            assert made[-1] == number
            yield picture.samples

        return Page(bands(), picture, 8, 8)

    write_pages((page(number) for number in range(3)), 8 * 8 * 9, tmp_path / "a.tif")
    assert made == [0, 1, 2] and len(probe_picture(tmp_path / "a.tif").pages) == 3


def test_a_page_that_fails_leaves_no_file(tmp_path):
    def pages():
        yield from [Page([like.samples], like, like.height, like.width) for like in pictures()]
        raise PictureError("no more")

    with pytest.raises(PictureError, match="no more"):
        write_pages(pages(), 10_000, tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []


def test_pages_do_not_overwrite_unasked(tmp_path):
    write(tmp_path / "a.tif")
    with pytest.raises(PictureError, match="already exists"):
        write(tmp_path / "a.tif")
    write(tmp_path / "a.tif", overwrite=True)
