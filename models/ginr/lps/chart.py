"""Charts drawn with Pillow: text, heat maps with a colour bar, curves with axes.

Pages are drawn at twice their size and reduced at the end, which smooths lines and letters. All
lengths are in pixels of the finished page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]

INK, GREY, FAINT = (34, 40, 49), (112, 120, 130), (221, 225, 230)
LINES = ((38, 98, 168), (214, 96, 40), (46, 139, 87), (148, 80, 160))
"""Colours of successive curves."""
# Equally spaced stops: dark to light in even steps of lightness, and two hues around white.
SEQUENTIAL = (
    (12, 16, 60), (58, 34, 122), (128, 44, 126), (196, 70, 98), (242, 128, 66), (252, 240, 176)
)  # fmt: skip
DIVERGING = ((24, 68, 138), (98, 160, 204), (247, 247, 247), (226, 134, 98), (150, 22, 40))  # fmt: skip

_FINE = 2  # pixels drawn per pixel of the page
_LEVELS = 12  # colours between two stops: as many as the eye can distinguish, for small files
_BAR = 10  # width of a colour bar


@dataclass(frozen=True)
class Frame:
    """A square of the page for one chart; its labels are outside of it."""

    x: int
    y: int
    side: int
    title: str
    note: str = ""
    """A second, smaller line below the title."""


@dataclass(frozen=True)
class Curve:
    """A line through finite points (x, y)."""

    x: Sequence[float]
    y: Sequence[float]
    label: str = ""


def coloured(values: Values, low: float, high: float, stops: Sequence[Sequence[int]]) -> Pixels:
    """Values (h, w) from `low` to `high` as colours (h, w, 3) along `stops`; pale for NaN."""
    place = np.clip((values - low) / max(high - low, 1e-300), 0, 1) * (len(stops) - 1)
    known = np.round(np.nan_to_num(place) * _LEVELS) / _LEVELS
    channels = [np.interp(known, np.arange(len(stops)), part) for part in zip(*stops, strict=True)]
    colours = np.where(np.isnan(place)[..., None], FAINT, np.stack(channels, -1) + 0.5)
    return colours.astype(np.uint8)


class Page:
    """A white page to draw on."""

    def __init__(self, width: int, height: int) -> None:
        self._canvas = PillowImage.new("RGB", (width * _FINE, height * _FINE), "white")
        self._draw = ImageDraw.Draw(self._canvas)

    def pixels(self) -> Pixels:
        """The finished page (height, width, 3)."""
        return np.asarray(self._canvas.reduce(_FINE))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int = 13,
        colour: tuple[int, int, int] = INK,
        anchor: str = "la",
    ) -> None:
        """A line of text whose `anchor`, as in Pillow, is at x, y."""
        font = ImageFont.load_default(size * _FINE)
        self._draw.text((x * _FINE, y * _FINE), text, colour, font, anchor)

    def line(
        self, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], width: float
    ) -> None:
        """A line through points (x, y)."""
        scaled = [(x * _FINE, y * _FINE) for x, y in points]
        self._draw.line(scaled, colour, round(width * _FINE), "curve")

    def circle(
        self, x: float, y: float, radius: float, colour: tuple[int, int, int], *, full: bool = False
    ) -> None:
        """The outline of a circle, or a disc if `full`."""
        box = [(v + sign * radius) * _FINE for sign in (-1, 1) for v in (x, y)]
        self._draw.ellipse(box, colour if full else None, colour, round(1.2 * _FINE))

    def picture(self, frame: Frame, pixels: Pixels) -> tuple[float, float, float]:
        """Pixels (h, w, 3) scaled to fit the frame, as sharp squares if there are few.

        Returns the left and top of the picture and the size of one of its pixels on the page.
        """
        self._titles(frame)
        height, width = pixels.shape[:2]
        room = frame.side * _FINE
        cell = room / max(height, width)
        size = max(1, round(width * cell)), max(1, round(height * cell))
        kind = PillowImage.Resampling.NEAREST if cell >= 1 else PillowImage.Resampling.BOX
        left, top = frame.x * _FINE + (room - size[0]) // 2, frame.y * _FINE + (room - size[1]) // 2
        self._canvas.paste(PillowImage.fromarray(pixels).resize(size, kind), (left, top))
        return left / _FINE, top / _FINE, cell / _FINE

    def heat_map(
        self,
        frame: Frame,
        values: Values,
        low: float,
        high: float,
        stops: Sequence[Sequence[int]],
        ticks: Sequence[tuple[float, str]] = (),
    ) -> tuple[float, float, float]:
        """Values (h, w) as colours, with a colour bar to the right of the frame.

        `ticks` are values and labels on the bar, by default round numbers. Returns the same as
        `picture`.
        """
        place = self.picture(frame, coloured(values, low, high, stops))
        bar = np.linspace(high, low, frame.side * _FINE)[:, None].repeat(_BAR * _FINE, 1)
        image = PillowImage.fromarray(coloured(bar, low, high, stops))
        left = frame.x + frame.side + 8
        self._canvas.paste(image, (left * _FINE, frame.y * _FINE))
        for value, words in ticks or [(tick, spelled(tick)) for tick in round_numbers(low, high)]:
            y = frame.y + frame.side * (high - value) / max(high - low, 1e-300)
            self.line([(left + _BAR, y), (left + _BAR + 3, y)], GREY, 1)
            self.text(left + _BAR + 6, y, words, 11, GREY, "lm")
        return place

    def curves(
        self,
        frame: Frame,
        curves: Sequence[Curve],
        x_label: str,
        *,
        low: float = 0.0,
        high: float | None = None,
    ) -> None:
        """Curves over axes that start at 0 and at `low`, with their labels at the lower right."""
        self._titles(frame)
        right = max((max(curve.x) for curve in curves), default=1.0) or 1.0
        high = max(max(curve.y) for curve in curves) * 1.05 if high is None else high
        high = high if high > low else low + 1.0
        left, side = frame.x + 30, frame.side - 30

        def at(x: float, y: float) -> tuple[float, float]:
            level = min(max((y - low) / (high - low), 0.0), 1.0)
            return left + side * x / right, frame.y + 10 + (frame.side - 10) * (1 - level)

        for tick in round_numbers(low, high):
            self.line([at(0, tick), at(right, tick)], FAINT, 1)
            self.text(left - 6, at(0, tick)[1], spelled(tick), 11, GREY, "rm")
        for tick in round_numbers(0.0, right):
            x, y = at(tick, low)
            self.line([(x, y), (x, y + 4)], GREY, 1)
            self.text(x, y + 7, spelled(tick), 11, GREY, "ma")
        self.line([at(0, low), at(right, low)], GREY, 1)
        self.text(left + side / 2, frame.y + frame.side + 24, x_label, 11, GREY, "ma")
        for k, curve in enumerate(curves):
            colour = LINES[k % len(LINES)]
            points = [at(x, y) for x, y in zip(curve.x, curve.y, strict=True)]
            self.line(points if len(points) > 1 else points * 2, colour, 1.8)
            y = frame.y + frame.side - 18 * (len(curves) - k) - 6
            self.text(left + side - 6, y, curve.label, 12, colour, "ra")

    def _titles(self, frame: Frame) -> None:
        self.text(frame.x, frame.y - 40, frame.title, 15)
        self.text(frame.x, frame.y - 19, frame.note, 11, GREY)


def round_numbers(low: float, high: float) -> list[float]:
    """About five multiples of 1, 2 or 5 times a power of ten from `low` to `high`."""
    rough = max(high - low, 1e-300) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * k for k in range(first, math.floor(high / step + 1e-9) + 1)]


def spelled(value: float) -> str:
    """The label of a tick, such as 0.25, 40 or 12k."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"
