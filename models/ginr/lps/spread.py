"""How far squares lie from the place they belong to: summed by distance, and as a map around it."""

from dataclasses import dataclass, field

import numpy as np

from ginr.array_types import Doubles
from ginr.geometry.size import Box

STEP = 0.5
"""Of the radii, in LR pixels."""


@dataclass(frozen=True)
class Spread:
    """Where squares lie, by their distance from the LP they belong to."""

    n_lp: int
    """LPs that are summed."""
    radii: tuple[float, ...]
    """In LR pixels."""
    share: tuple[float, ...]
    """How much of the sum lies within each radius."""
    own_window: float
    """How much of it lies inside the LP's own window."""
    around: Doubles = field(repr=False)
    """The sum around an LP, its place in the middle of the square; the largest is 1."""
    per_pixel: int
    """Points of `around` per LR pixel."""

    def radius(self, share: float) -> float:
        """The smallest of the radii within which this share of the sum lies."""
        return self.radii[min(int(np.searchsorted(self.share, share)), len(self.radii) - 1)]


class Spreading:
    """Squares on a grid, summed by their distance from a place and around it."""

    def __init__(self, own: Box, per_pixel: int, reach: int) -> None:
        """`own` is the window in LR pixels; squares are kept `reach` LR pixels around the place."""
        self._own, self._per_pixel, self._reach = own, per_pixel, reach
        self._by_distance: Doubles = np.zeros(1)
        self._inside = 0.0
        side = 2 * reach * per_pixel + 1
        self._around = np.zeros((side, side))

    def add(self, square: Doubles, place: Doubles) -> None:
        """`square` (H, W) at `per_pixel` points per LR pixel, for an LP at `place`."""
        y, x = ((np.arange(n) + 0.5) / self._per_pixel - 0.5 for n in square.shape)
        distance = np.hypot(y[:, None] - place[0], x[None] - place[1])
        bins = np.ceil(distance / STEP).astype(int).ravel()
        found = np.bincount(bins, square.ravel(), len(self._by_distance)).astype(float)
        found[: len(self._by_distance)] += self._by_distance
        self._by_distance = found
        inside = tuple(
            (low - 0.5 <= axis) & (axis < high - 0.5)
            for axis, low, high in (
                (y, self._own[0], self._own[2]),
                (x, self._own[1], self._own[3]),
            )
        )
        self._inside += float(square[np.ix_(*inside)].sum())
        # The nearest point of the kept square: places are up to half a point off the grid.
        i, j = (
            np.floor((axis - at + self._reach) * self._per_pixel + 0.5).astype(int)
            for axis, at in ((y, place[0]), (x, place[1]))
        )
        rows, columns = ((k >= 0) & (k < len(self._around)) for k in (i, j))
        self._around[np.ix_(i[rows], j[columns])] += square[np.ix_(rows, columns)]

    def spread(self, n_lp: int) -> Spread:
        """What has been added, of `n_lp` LPs."""
        total = max(float(self._by_distance.sum()), np.finfo(float).tiny)
        share = np.cumsum(self._by_distance) / total
        last = int(np.searchsorted(share, 1 - 1e-9)) + 1
        return Spread(
            n_lp=n_lp,
            radii=tuple((np.arange(len(share)) * STEP)[:last].tolist()),
            share=tuple(share[:last].tolist()),
            own_window=float(self._inside / total),
            around=self._around / max(float(self._around.max()), np.finfo(float).tiny),
            per_pixel=self._per_pixel,
        )
