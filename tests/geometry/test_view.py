"""The grammar of boxes, and that a view is a crop of the whole render: pytest tests/geometry/test_view.py"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.errors import SizeError
from ginr.geometry.size import Scale, SizeRule, parse_scale, parse_size
from ginr.geometry.view import BoxRule, View, ViewRule, parse_box
from ginr.pictures import read_picture
from ginr.rendering.upscale import upscale


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("10,5,3,4", (5, 10, 9, 13)),
        (" 0, 0 ,60 , 40", (0, 0, 40, 60)),
        ("25%,25%,50%,50%", (10, 15, 30, 45)),
        ("0.25,.25,0.5,0.5", (10, 15, 30, 45)),
        ("0,0,1.,1", (0, 0, 40, 60)),
        ("0%,0%,100%,100%", (0, 0, 40, 60)),
        ("12.5%,0%,2.5%,10%", (0, 8, 4, 9)),  # 7.5 and 9.0: edges round half up
        ("66.7%,0%,33.3%,1.3%", (0, 40, 1, 60)),
    ],
)
def test_boxes(text: str, box: tuple[int, ...]) -> None:
    assert parse_box(text).resolve(40, 60) == box


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not four numbers: write 100,50,640,480"),
        ("1,2,3", "is not four numbers"),
        ("1,2,3,4,5", "is not four numbers"),
        ("-1,2,3,4", "is not four numbers"),
        ("1e2,2,3,4", "is not four numbers"),
        ("a,b,c,d", "is not four numbers"),
        ("1x2x3x4", "is not four numbers"),
        ("10.5,3,20,20", "mixes pixels and fractions"),
        ("10%,3,20,20", "mixes pixels and fractions"),
        ("0.1,0.1,20,20", "mixes pixels and fractions"),
        ("0,0,1,1", "could be one pixel or the whole picture"),
        ("5,5,0,4", "is empty"),
        ("5%,5%,10%,0%", "is empty"),
        ("60%,0%,50%,10%", "reaches outside the picture"),
        ("0.6,0,0.5,0.1", "reaches outside the picture"),
    ],
)
def test_refused_boxes_name_the_text(text: str, words: str) -> None:
    with pytest.raises(SizeError, match=words) as caught:
        parse_box(text)
    assert repr(text) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10,5,51,4", "box 10,5,51,4 reaches outside the picture's 60x40 pixels"),
        ("0,41,1,9", "reaches outside"),
        ("1%,1%,0.1%,50%", "box 1,0,0,20 contains no pixel of 60x40"),
    ],
)
def test_boxes_that_do_not_suit_a_picture(text: str, words: str) -> None:
    with pytest.raises(SizeError, match=words):
        parse_box(text).resolve(40, 60)


def test_a_view_without_a_box_is_the_whole() -> None:
    assert ViewRule(Scale(2, 3)).resolve(10, 20) == View((30, 40), (0, 0, 30, 40))
    assert ViewRule(Scale(2, 3)).label(10, 20) == "x2x3"


def test_a_box_at_a_scale_has_the_pixels_whose_centres_lie_in_it() -> None:
    view = ViewRule(Scale(3.7, 2), parse_box("5,7,11,3")).resolve(40, 60)
    assert view.whole == (80, 222) and view.source == (7, 5, 10, 16)
    columns = [i for i in range(222) if 5 <= (i + 0.5) * 60 / 222 < 16]
    assert view.box == (14, columns[0], 20, columns[-1] + 1)


@pytest.mark.parametrize("side", [59, 60, 101, 6000])
@pytest.mark.parametrize("wanted", [11, 12, 37, 200, 329])
def test_a_size_is_that_of_the_box_to_the_pixel(side: int, wanted: int) -> None:
    for start in (0, 1, 23, side - 11):
        box = BoxRule(Fraction(start), Fraction(start), Fraction(11), Fraction(11))
        view = ViewRule(SizeRule(wanted, wanted, exact=True), box).resolve(side, side)
        assert view.size == (wanted, wanted)
        assert view.whole[0] == pytest.approx(side * wanted / 11, rel=1 / wanted)


def test_a_size_fits_the_box_inside() -> None:
    rule = ViewRule(parse_size("1920x1080"), parse_box("100,50,320,200"))
    view = rule.resolve(4000, 6000)
    assert view.size == (1080, 1728)
    assert rule.label(4000, 6000) == "1728x1080_box100,50,320,200"


def test_limits_are_those_of_the_part() -> None:
    part = ViewRule(Scale(30, 30), parse_box("0,0,99,99"))
    assert part.resolve(30_000, 30_000).whole == (900_000, 900_000)
    with pytest.raises(SizeError, match="gigapixels"):
        ViewRule(Scale(30, 30), parse_box("0%,0%,50%,50%")).resolve(30_000, 30_000)
    with pytest.raises(SizeError, match="above the limit of x30"):
        ViewRule(parse_size("300x"), parse_box("0,0,9,9")).resolve(100, 100)


@pytest.mark.parametrize("text", ["33,41,101,77", "0,0,20,9", "55.5%,61%,44.5%,39%"])
def test_a_view_is_the_crop_of_the_whole_render(sample_images: Path, text: str) -> None:
    picture = read_picture(sample_images / "photo_spices.png")
    model = load_checkpoint("small").build()
    rule = ViewRule(parse_scale("2.3x1.7"), parse_box(text))
    view = rule.resolve(picture.height, picture.width)
    height, width = view.whole
    whole = upscale(picture, model, height=height, width=width).samples
    part = upscale(picture, model, height=height, width=width, box=view.box).samples
    top, left, bottom, right = view.box
    assert part.shape == (*view.size, 3)
    assert np.abs(whole[top:bottom, left:right].astype(int) - part).max() <= 1
