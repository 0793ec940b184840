"""What to render of a picture: the grammar of `--box`, and where that part lies in the output.

A view of a picture is a box of its whole render, to the pixel: the same grid, only not all of it.
Text gives x, y, width, height, as people write them; boxes in code are (top, left, bottom, right).
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
    """x, y, width and height of a part: in pixels of the picture, or as shares of its sides."""

    x: Fraction
    y: Fraction
    width: Fraction
    height: Fraction
    is_share: bool = False

    def resolve(self, height: int, width: int) -> Box:
        """The box in a picture's pixels; the edges of shares round half up.

        `SizeError` for a box that reaches outside the picture or holds no pixel of it.
        """
        x_side, y_side = (width, height) if self.is_share else (1, 1)
        half = Fraction(1, 2)
        left, right = (floor(x * x_side + half) for x in (self.x, self.x + self.width))
        top, bottom = (floor(y * y_side + half) for y in (self.y, self.y + self.height))
        asked = f"box {left},{top},{right - left},{bottom - top}"
        if right > width or bottom > height:
            raise SizeError(f"{asked} reaches outside the picture's {width}x{height} pixels")
        if left == right or top == bottom:
            raise SizeError(f"{asked} holds no pixel of {width}x{height}: ask for a larger one")
        return top, left, bottom, right


@dataclass(frozen=True)
class View:
    """What to render: the (height, width) of the whole, and the box of it that is wanted."""

    whole: tuple[int, int]
    box: Box
    """In pixels of the whole render."""
    source: Box | None = None
    """The same part in pixels of the picture; None for all of it."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the box."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


def parse_box(text: str) -> BoxRule:
    """`X,Y,W,H` as a `BoxRule`; `SizeError` for anything else, or what could be read two ways.

    Whole numbers are pixels; with a percent sign each, or none above 1 and a decimal point in at
    least one, they are shares of the width and height.
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
        raise SizeError(f"box {text!r} mixes pixels and shares: write {_FORMS}")
    if not n_percent and not has_point and is_small:
        raise SizeError(f"box {text!r} is one pixel or the whole picture: write {_FORMS}")
    if 0 in values[2:]:
        raise SizeError(f"box {text!r} is empty: give a width and a height above 0")
    x, y, width, height = values
    rule = BoxRule(x, y, width, height, is_share=n_percent == 4 or has_point)
    if rule.is_share and max(rule.x + rule.width, rule.y + rule.height) > 1:
        raise SizeError(
            f"box {text!r} reaches outside the picture: x + width and y + height end at 100%"
        )
    return rule


@dataclass(frozen=True)
class ViewRule:
    """How large to render, and which part of a picture, whatever its size."""

    target: Target
    box: BoxRule | None = None

    def resolve(self, height: int, width: int) -> View:
        """The view of a picture of height x width pixels; raises `SizeError` as its parts do.

        At a scale, a box holds the pixels of the whole render whose centres lie in it; a size is
        that of the box, and the whole is as large as makes the box so.
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
        """What a default file name says: "x8", or "x8_box100,50,640,480" of a part."""
        if self.box is None:
            return self.target.label(height, width)
        top, left, bottom, right = self.box.resolve(height, width)
        place = f"box{left},{top},{right - left},{bottom - top}"
        return f"{self.target.label(bottom - top, right - left)}_{place}"


def _side(side: int, start: int, stop: int, wanted: int) -> int:
    """How long a render of `side` pixels is that has `wanted` pixels between two of its edges."""
    nearest = round_half_up(side * wanted / (stop - start))
    # A render longer by one has at most one pixel more or less there, so that every number occurs.
    for step in count():
        for length in (nearest + step, nearest - step):
            top, _, bottom, _ = output_box((start, 0, stop, 0), (side, 1), (length, 1))
            if bottom - top == wanted:
                return length
    raise AssertionError
