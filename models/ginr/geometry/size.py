"""The size of the output: the grammar of `--scale`, `--size` and `--print`.

Text gives the width first (2x3 doubles the width and triples the height); sizes in code are
(height, width). Pixels are rounded half up on each axis.
"""

import math
import re
from dataclasses import dataclass

from ginr.errors import SizeError

MAX_SCALE = 30
MAX_PIXELS = 4_000_000_000  # 12 GB of 8-bit RGB before it reaches a file

Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels, the last two exclusive

_SCALES = "3.7, 3.7x, 370% or 2x3 (width x height)"
_PAPERS = "30x20cm, 300x200mm, 12x8in (width x height), A4 or 10x15 (cm, turned to the picture)"
_US_PAPERS = {"letter": "8.5x11in", "legal": "8.5x14in"}
_INCH = {"in": 1.0, "cm": 2.54, "mm": 25.4}
_SIZES = "1920x, x1080, 1920x1080 (fits inside) or 1920x1080! (exact)"


@dataclass(frozen=True)
class Scale:
    """Factors for the width, x, and the height, y, both in [1, 30]."""

    x: float
    y: float

    def resolve(self, height: int, width: int, *, may_shrink: bool = False) -> tuple[int, int]:
        """(height, width) of the output for an input. Raises SizeError beyond 4 gigapixels."""
        return within_limits(*self.whole(height, width))

    def whole(self, height: int, width: int) -> tuple[int, int]:
        """The same without a limit, for renders of a part of it."""
        return round_half_up(height * self.y), round_half_up(width * self.x)

    def label(self, height: int, width: int) -> str:
        """The scale in default file names, such as "x3.7" or "x2x3", for any input size."""
        return f"x{self.x:g}" if self.x == self.y else f"x{self.x:g}x{self.y:g}"


@dataclass(frozen=True)
class SizeRule:
    """A width, a height or both in pixels; with both, the output fits inside unless `exact`."""

    width: int | None
    height: int | None
    exact: bool = False
    turns: bool = False
    """Whether the sides are exchanged for pictures of the other orientation, as paper is turned."""

    def resolve(self, height: int, width: int, *, may_shrink: bool = False) -> tuple[int, int]:
        """(height, width) of the output for an input.

        Raises SizeError beyond x30 on an axis or 4 gigapixels, and if an axis shrinks unless
        `may_shrink`.
        """
        sides = self.width, self.height
        if self.turns and ((self.width or 0) - (self.height or 0)) * (width - height) < 0:
            sides = self.height, self.width
        x = sides[0] / width if sides[0] else math.inf
        y = sides[1] / height if sides[1] else math.inf
        if not self.exact:
            x = y = min(x, y)
        asked = f"{sides[0] or ''}x{sides[1] or ''}{'!' if self.exact else ''}"
        if min(x, y) < 1.0 and not may_shrink:
            raise SizeError(
                f"size {asked} would shrink {width}x{height} pixels, and ginr only "
                "enlarges: ask for a larger size"
            )
        if max(x, y) > MAX_SCALE:
            raise SizeError(
                f"size {asked} would enlarge {width}x{height} pixels x{max(x, y):.4g}, above "
                f"the limit of x{MAX_SCALE}: ask for a smaller size"
            )
        return within_limits(round_half_up(height * y), round_half_up(width * x))

    def label(self, height: int, width: int) -> str:
        """The output size in default file names, such as "1440x1080", for an input of this size."""
        out_height, out_width = self.resolve(height, width)
        return f"{out_width}x{out_height}"


Target = Scale | SizeRule


def output_box(core: Box, size: tuple[int, int], out: tuple[int, int]) -> Box:
    """The pixels of a render of size `out` whose centres lie in a core, a box of the picture.

    Both sizes are (height, width). Integer arithmetic, so exact.
    """
    # Pixel i of n' has its centre at (2 i + 1) n / (2 n'): solved for i and rounded up.
    top, left, bottom, right = (
        -((n - 2 * edge * n_out) // (2 * n))
        for edge, n, n_out in zip(core, size * 2, out * 2, strict=True)
    )
    return top, left, bottom, right


def parse_scale(text: str) -> Scale:
    """Parses `3.7`, `3.7x`, `370%` or `2x3`. Raises SizeError for anything else or outside 1-30."""
    parts = _split(text)
    if len(parts) == 2 and parts[1] == "":
        parts.pop()  # 3.7x
    if len(parts) > 2:
        raise SizeError(f"scale {text!r} has too many parts: write {_SCALES}")
    factors = [_factor(part, text) for part in parts]
    return Scale(x=factors[0], y=factors[-1])


def parse_size(text: str) -> SizeRule:
    """Parses `1920x`, `1920`, `x1080`, `1920x1080` or `1920x1080!`. Raises SizeError."""
    exact = text.strip().endswith("!")
    parts = _split(text.strip().removesuffix("!"))
    sides = [_side(part, text) for part in parts]
    width, height = (*sides, None)[:2]
    if len(parts) > 2 or (width is None and height is None):
        raise SizeError(f"size {text!r} is not a size in pixels: write {_SIZES}")
    if exact and (width is None or height is None):
        raise SizeError(f"size {text!r} needs both sides to be exact: write 1920x1080!")
    return SizeRule(width, height, exact)


def parse_print(text: str, dpi: float) -> SizeRule:
    """Parses `30x20cm`, to be fitted inside, at `dpi` dots per inch. Raises SizeError.

    Named formats (`A0` to `A8`, `B0` to `B8`, `letter`, `legal`) and sizes without a unit, which are
    in cm, are turned to the orientation of the picture.
    """
    sides_of = r"([0-9.]+) *[xX×] *([0-9.]+)"  # noqa: RUF001
    text = text.strip()
    sheet = _sheet(text) or (f"{text}cm" if re.fullmatch(sides_of, text) else None)
    found = re.fullmatch(f"{sides_of} *(cm|mm|in)", sheet or text)
    try:
        sides = [float(found[k]) / _INCH[found[3]] * dpi for k in (1, 2)] if found else []
    except ValueError:
        sides = []
    if not sides or not all(0 < side < 1e9 for side in sides):
        raise SizeError(f"print {text!r} is not a size on paper: write {_PAPERS}")
    return SizeRule(round_half_up(sides[0]), round_half_up(sides[1]), turns=sheet is not None)


def _sheet(name: str) -> str | None:
    """The size of a named paper format; None for any other text."""
    if name.lower() in _US_PAPERS:
        return _US_PAPERS[name.lower()]
    if not (found := re.fullmatch("([AB])([0-8])", name.upper())):
        return None
    width, height = {"A": (841, 1189), "B": (1000, 1414)}[found[1]]  # mm, ISO 216
    for _ in range(int(found[2])):
        width, height = height // 2, width
    return f"{width}x{height}mm"


def round_half_up(value: float) -> int:
    """The nearest whole number of pixels, halves rounded up, at least 1."""
    # 1e-9: 35 * 2.3 is 80.49999999999999 in floating point but must round like 80.5.
    return max(1, math.floor(value + 0.5 + 1e-9))


def _split(text: str) -> list[str]:
    return [part.strip() for part in re.split("[xX×]", text.strip())]  # noqa: RUF001


def _factor(part: str, text: str) -> float:
    try:
        factor = float(part.removesuffix("%")) / (100 if part.endswith("%") else 1)
    except ValueError:
        raise SizeError(f"scale {text!r} is not a number: write {_SCALES}") from None
    if not math.isfinite(factor) or factor <= 0:
        raise SizeError(f"scale {text!r} is not a positive number: write {_SCALES}")
    if factor < 1:
        raise SizeError(f"scale {text!r} would shrink the picture: give 1 to {MAX_SCALE}")
    if factor > MAX_SCALE:
        raise SizeError(f"scale {text!r} is too large: give 1 to {MAX_SCALE}")
    return factor


def _side(part: str, text: str) -> int | None:
    if part == "":
        return None
    if not re.fullmatch("[0-9]{1,9}", part) or int(part) == 0:
        raise SizeError(f"size {text!r} is not in whole pixels from 1 to 999999999: write {_SIZES}")
    return int(part)


def within_limits(height: int, width: int) -> tuple[int, int]:
    """(height, width) as given. Raises SizeError beyond 4 gigapixels."""
    if height * width > MAX_PIXELS:
        raise SizeError(
            f"an output of {width}x{height} is over {MAX_PIXELS // 10**9} gigapixels: "
            "use a smaller scale or size, or a part of the picture"
        )
    return height, width
