"""The part of a picture to render: the grammar of `--box`, and its place in the whole render.

A view is a box of the whole render, on the same pixel grid. Text gives x, y, width, height; boxes in
code are (top, left, bottom, right).
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from math import floor

from ginr.errors import SizeError
from ginr.geometry.size import Box, Scale, Target, output_box, round_half_up, within_limits

_FORMS = "100,50,640,480 (pixels), 25%,25%,50%,50% or 0.25,0.25,0.5,0.5 (x,y,width,height)"


@dataclass(frozen=True)
class BoxRule:
    """x, y, width and height of a part, in pixels or as shares of the picture's sides."""

    x: Fraction
    y: Fraction
    width: Fraction
    height: Fraction
    is_share: bool = False

    def resolve(self, height: int, width: int) -> Box:
        """The box in pixels of a picture; edges given as shares are rounded half up.

        Raises SizeError for a box that reaches outside the picture or contains no pixel.
        """
        x_side, y_side = (width, height) if self.is_share else (1, 1)
        half = Fraction(1, 2)
        left, right = (floor(x * x_side + half) for x in (self.x, self.x + self.width))
        top, bottom = (floor(y * y_side + half) for y in (self.y, self.y + self.height))
        asked = f"box {left},{top},{right - left},{bottom - top}"
        if right > width or bottom > height:
            raise SizeError(f"{asked} reaches outside the picture's {width}x{height} pixels")
        if left == right or top == bottom:
            raise SizeError(f"{asked} contains no pixel of {width}x{height}: ask for a larger one")
        return top, left, bottom, right


@dataclass(frozen=True)
class View:
    """What to render: the (height, width) of the whole render, and a box of it."""

    whole: tuple[int, int]
    box: Box  # in pixels of the whole render
    source: Box | None = None  # the same part in pixels of the picture; None for the whole picture

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the box."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


def parse_box(text: str) -> BoxRule:
    """Parses `X,Y,W,H`. Raises SizeError for anything else and for ambiguous numbers.

    Whole numbers are pixels. Numbers that all have a percent sign, or are all at most 1 with at
    least one decimal point, are shares of the width and height.
    """
    parts = [part.strip() for part in text.split(",")]
    numbers = [part.removesuffix("%") for part in parts]
    if len(parts) != 4 or not all(
        re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}", n) for n in numbers
    ):
        raise SizeError(f"box {text!r} is not four numbers: write {_FORMS}")
    n_percent = sum(part.endswith("%") for part in parts)
    values = [Fraction(number) / (100 if n_percent else 1) for number in numbers]
    has_point, is_small = "." in text, max(values) <= 1
    if 0 < n_percent < 4 or (not n_percent and has_point and not is_small):
        raise SizeError(f"box {text!r} mixes pixels and fractions: write {_FORMS}")
    if not n_percent and not has_point and is_small:
        raise SizeError(f"box {text!r} could be one pixel or the whole picture: write {_FORMS}")
    if 0 in values[2:]:
        raise SizeError(f"box {text!r} is empty: give a width and a height above 0")
    x, y, width, height = values
    rule = BoxRule(x, y, width, height, is_share=n_percent == 4 or has_point)
    if rule.is_share and max(rule.x + rule.width, rule.y + rule.height) > 1:
        raise SizeError(
            f"box {text!r} reaches outside the picture: x + width and y + height may be 100% at most"
        )
    return rule


@dataclass(frozen=True)
class ViewRule:
    """How large to render, and which part, for pictures of any size."""

    target: Target
    box: BoxRule | None = None

    def resolve(self, height: int, width: int) -> View:
        """The view of a picture of height x width pixels. Raises SizeError as the two rules do.

        With a scale, the view is all pixels of the whole render whose centres lie in the box. A size
        is that of the box; the size of the whole render follows from it.
        """
        if self.box is None:
            size = self.target.resolve(height, width)
            return View(size, (0, 0, *size))
        part = top, left, bottom, right = self.box.resolve(height, width)
        if isinstance(self.target, Scale):
            whole = self.target.whole(height, width)
        else:
            rows, columns = self.target.resolve(bottom - top, right - left)
            whole = _side(height, top, bottom, rows), _side(width, left, right, columns)
        view = View(whole, output_box(part, (height, width), whole), part)
        within_limits(*view.size)
        return view

    def label(self, height: int, width: int) -> str:
        """The view in default file names: "x8", or "x8_box100,50,640,480" for a part."""
        if self.box is None:
            return self.target.label(height, width)
        top, left, bottom, right = self.box.resolve(height, width)
        place = f"box{left},{top},{right - left},{bottom - top}"
        return f"{self.target.label(bottom - top, right - left)}_{place}"


def _side(side: int, start: int, stop: int, wanted: int) -> int:
    """Length of the render of `side` pixels that has `wanted` pixels from `start` to `stop`."""
    nearest = round_half_up(side * wanted / (stop - start))
    # A render one pixel longer has at most one pixel more or less there: every number occurs.
    for step in count():
        for length in (nearest + step, nearest - step):
            top, _, bottom, _ = output_box((start, 0, stop, 0), (side, 1), (length, 1))
            if bottom - top == wanted:
                return length
    raise AssertionError
