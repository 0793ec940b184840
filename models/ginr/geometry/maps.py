"""Maps of a warp: the place and size of each output pixel in the input.

Letters: H W the input, H' W' the output, h w a box of the output. Pairs are y first, except for
arrays and corners given by the user, which are x first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ginr.array_types import Doubles
from ginr.errors import GinrError, printable
from ginr.geometry.size import Box

Pair = tuple[float, float]


class Map(Protocol):
    """A map from output to input pixels, evaluated box by box."""

    def at(self, box: Box) -> tuple[Doubles, Doubles]:
        """Places (h, w, 2) of pixel centres in input pixels, and Jacobians (h, w, 2, 2).

        Input pixel i has its centre at i. Jacobian [..., a, b] is the change of coordinate a from one
        output pixel to the next along axis b. An infinite place lies outside the input.
        """


@dataclass(frozen=True, eq=False)
class Projective:
    """A projective map: a plane rotated, shifted, scaled or seen in perspective."""

    matrix: Doubles
    """(3, 3), from (y, x, 1) in the output to the same in the input; pixel i spans [i, i + 1]."""

    def at(self, box: Box) -> tuple[Doubles, Doubles]:
        """Places and Jacobians of a box; places behind the viewer are infinite."""
        top, left, bottom, right = box
        y, x = np.mgrid[top:bottom, left:right] + 0.5
        linear, (down, across, one) = self.matrix[:2], self.matrix[2]
        edges = linear[:, 0] * y[..., None] + linear[:, 1] * x[..., None] + linear[:, 2]
        if down == across == 0:
            return edges / one - 0.5, np.broadcast_to(linear[:, :2] / one, (*y.shape, 2, 2))
        depth = (down * y + across * x + one)[..., None]
        seen = depth > 0
        depth = np.where(seen, depth, 1)
        places = np.where(seen, edges / depth, np.inf)
        slope = edges[..., None] / depth[..., None] * self.matrix[2, :2]
        return places - 0.5, (linear[:, :2] - slope) / depth[..., None]


@dataclass(frozen=True, eq=False)
class Table:
    """A map given pixel by pixel."""

    places: NDArray[np.floating]
    """(H', W', 2): x and y in input pixels, pixel i at i, as in OpenCV's remap; at least 2x2."""

    def __post_init__(self) -> None:
        """Raises GinrError for an array that is not a map."""
        shape, kind = self.places.shape, self.places.dtype
        if kind.kind != "f" or len(shape) != 3 or shape[2] != 2 or min(shape) < 2:
            raise GinrError(
                f"a map of {kind} with shape {shape}: give floats of shape (height, width, 2), "
                "x and y for each output pixel"
            )
        for row in self.places:  # row by row, since the array may be larger than memory
            if not np.isfinite(row).all():
                raise GinrError(
                    "a map with NaN or infinite positions: use one outside the picture, such as -1e6"
                )

    @property
    def size(self) -> tuple[int, int]:
        """H', W'."""
        return self.places.shape[0], self.places.shape[1]

    def at(self, box: Box) -> tuple[Doubles, Doubles]:
        """Places of a box, and their differences between pixels: central, one-sided at edges."""
        low = [max(0, box[k] - 1) for k in (0, 1)]
        high = [min(self.size[k], box[k + 2] + 1) for k in (0, 1)]
        for k in (0, 1):  # a difference needs two places
            low[k] = min(low[k], high[k] - 2)
        places = self.places[low[0] : high[0], low[1] : high[1], ::-1].astype(np.float64)
        slopes: list[Doubles] = list(np.gradient(places, axis=(0, 1)))
        jacobian = np.stack(slopes, -1)
        inner = tuple(slice(box[k] - low[k], box[k + 2] - low[k]) for k in (0, 1))
        return places[inner], jacobian[inner]


def read_map(path: Path) -> Table:
    """The map in a .npy file, memory-mapped. Raises GinrError for any other file."""
    name = printable(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise GinrError(f"{name} cannot be read ({error.strerror or error})") from None
    except Exception:  # NumPy tokenizes the header: a damaged one raises anything
        array = None
    if not isinstance(array, np.ndarray):
        raise GinrError(f"{name} is not an array of numbers: write it with numpy.save")
    try:
        return Table(array)
    except GinrError as error:
        raise GinrError(f"{name}: {error}") from None


def turned_frame(size: tuple[int, int], degrees: float) -> tuple[int, int]:
    """H, W of the smallest upright frame of whole pixels around a rotated picture."""
    cos, sin = _cos_sin(degrees)
    height, width = size
    return (
        math.ceil(abs(width * sin) + abs(height * cos) - 1e-6),
        math.ceil(abs(width * cos) + abs(height * sin) - 1e-6),
    )


def turning(
    size: tuple[int, int],
    frame: tuple[int, int],
    out: tuple[int, int],
    *,
    degrees: float = 0,
    shift: Pair = (0, 0),
) -> Projective:
    """A picture rotated about its centre, then shifted, then scaled from its frame to the output.

    `size` (H, W), `frame` and `shift` are in input pixels, `out` in output pixels; the frame is
    centred on the picture. `degrees` is counter-clockwise; the shift, applied after the rotation,
    is positive downwards and to the right.
    """
    cos, sin = _cos_sin(degrees)
    scale = np.diag([frame[0] / out[0], frame[1] / out[1]])
    back = np.array([[cos, sin], [-sin, cos]])  # inverse rotation of (y, x), y downwards
    matrix = np.eye(3)
    matrix[:2, :2] = back @ scale
    matrix[:2, 2] = np.divide(size, 2) - back @ (np.divide(frame, 2) + shift)
    return Projective(matrix)


def page_size(corners: Sequence[Pair]) -> tuple[int, int]:
    """H, W of a page from its corners: the longer of opposite sides, in input pixels."""
    top_left, top_right, bottom_right, bottom_left = corners
    height = max(math.dist(top_left, bottom_left), math.dist(top_right, bottom_right))
    width = max(math.dist(top_left, top_right), math.dist(bottom_left, bottom_right))
    return max(1, round(height)), max(1, round(width))


def straightening(corners: Sequence[Pair], out: tuple[int, int]) -> Projective:
    """The map that shows a photographed rectangle from the front.

    `corners` are (x, y) in input pixels from the picture's top left corner, in the order top left,
    top right, bottom right, bottom left; they may lie outside the picture. Raises GinrError unless
    they form a convex quadrilateral in that order.
    """
    quad = np.array(corners, dtype=np.float64)  # (4, 2)
    side = np.roll(quad, -1, 0) - quad
    following = np.roll(side, -1, 0)
    bend = side[:, 0] * following[:, 1] - side[:, 1] * following[:, 0]  # > 0: right turn
    reach = np.linalg.norm(side, axis=1) * np.linalg.norm(following, axis=1)
    if not (np.isfinite(quad).all() and (bend > 1e-6 * reach).all()):
        raise GinrError(
            "the four corners do not form a convex quadrilateral: give top left, top right, "
            "bottom right, bottom left"
        )
    height, width = out
    system, right = [], []
    for (x, y), (column, row) in zip(
        quad, ((0, 0), (width, 0), (width, height), (0, height)), strict=True
    ):
        for k, value in enumerate((y, x)):
            equation = [0.0] * 8
            equation[3 * k : 3 * k + 3] = row, column, 1
            equation[6:] = -value * row, -value * column
            system.append(equation)
            right.append(value)
    return Projective(np.append(np.linalg.solve(system, right), 1.0).reshape(3, 3))


def _cos_sin(degrees: float) -> Pair:
    """Exact at quarter turns, where the rounded sine of pi would leave lines at the edges."""
    quarter, rest = divmod(degrees, 90)
    cos, sin = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    return [(cos, sin), (-sin, cos), (-cos, -sin), (sin, -cos)][int(quarter) % 4]
