"""The coordinate convention.

A picture covers [-1, 1] on each axis, y first, whatever its size: with n pixels, pixel i has its
centre at (2 i + 1) / n - 1 and a footprint (cell) of 2 / n. Renders of one field at different sizes
are therefore aligned.
"""

import numpy as np

from ginr.array_api import Array
from ginr.array_types import Doubles
from ginr.errors import SizeError
from ginr.geometry.size import Box

Cell = tuple[float, float]  # footprint of an output pixel: height and width in LR pixels


def pixel_centres(n: int, start: int = 0, stop: int | None = None) -> Doubles:
    """Centres of pixels start to stop - 1 of n along one axis, (stop - start,)."""
    stop = n if stop is None else stop
    centres: Doubles = (2 * np.arange(start, stop, dtype=np.float64) + 1) / n - 1
    return centres


def to_lattice(centres: Array, n: int) -> Array:
    """Coordinates in [-1, 1] as positions among n pixels, whose centres are 0 to n - 1."""
    return (centres + 1) * (n / 2) - 0.5


def render_grid(
    out: tuple[int, int], box: Box, size: tuple[int, int], origin: tuple[int, int]
) -> tuple[Doubles, Doubles, Cell]:
    """The pixel grid of a box of a render of `out` (H', W') of a picture of `size` (H, W).

    Returns rows (h',) and columns (w',) in LR pixels, counted from `origin`, and the cell of a pixel.
    Raises SizeError for a box that is empty or outside the render.
    """
    top, left, bottom, right = box
    if min(out) < 1 or not (0 <= top < bottom <= out[0] and 0 <= left < right <= out[1]):
        raise SizeError(
            f"box ({top}, {left}, {bottom}, {right}) of a {out[1]}x{out[0]} render: "
            "give top < bottom and left < right inside the picture"
        )
    rows = to_lattice(pixel_centres(out[0], top, bottom), size[0]) - origin[0]
    columns = to_lattice(pixel_centres(out[1], left, right), size[1]) - origin[1]
    return rows, columns, (size[0] / out[0], size[1] / out[1])
