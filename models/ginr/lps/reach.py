"""How far the influence of an LP reaches: squares summed by distance, and a map around the LP."""

from dataclasses import dataclass, field

import numpy as np

from ginr.array_types import Doubles
from ginr.geometry.size import Box

STEP = 0.5  # between radii, in LR pixels


@dataclass(frozen=True)
class Reach:
    """The distribution of squares by their distance from the LP that caused them."""

    n_lp: int  # number of LPs in the sum
    radii: tuple[float, ...]  # in LR pixels
    share: tuple[float, ...]  # share of the sum within each radius
    own_window: float  # share of the sum inside the LP's own window
    around: Doubles = field(repr=False)
    """Map of the sum with the LP at its centre, scaled to a maximum of 1."""
    per_pixel: int  # points of `around` per LR pixel

    def radius(self, share: float) -> float:
        """The smallest radius that contains this share of the sum."""
        return self.radii[min(int(np.searchsorted(self.share, share)), len(self.radii) - 1)]


class ReachSum:
    """Sums squares on a grid by their distance from an LP, and as a map around it."""

    def __init__(self, own: Box, per_pixel: int, extent: int) -> None:
        """`own` is the window of the LPs; the map extends `extent` LR pixels around an LP."""
        self._own, self._per_pixel, self._extent = own, per_pixel, extent
        self._by_distance: Doubles = np.zeros(1)
        self._inside = 0.0
        side = 2 * extent * per_pixel + 1
        self._around = np.zeros((side, side))

    def add(self, square: Doubles, place: Doubles) -> None:
        """Add squares (H, W), at `per_pixel` points per LR pixel, of an LP at `place`."""
        y, x = ((np.arange(n) + 0.5) / self._per_pixel - 0.5 for n in square.shape)
        distance = np.hypot(y[:, None] - place[0], x - place[1])
        bins = np.ceil(distance / STEP).astype(int).ravel()
        found = np.bincount(bins, square.ravel(), len(self._by_distance)).astype(float)
        found[: len(self._by_distance)] += self._by_distance
        self._by_distance = found
        top, left, bottom, right = (edge - 0.5 for edge in self._own)
        inside = (top <= y) & (y < bottom), (left <= x) & (x < right)
        self._inside += float(square[np.ix_(*inside)].sum())
        # Nearest point of the map: places are up to half a point off the grid.
        i, j = (
            np.floor((axis - at + self._extent) * self._per_pixel + 0.5).astype(int)
            for axis, at in ((y, place[0]), (x, place[1]))
        )
        rows, columns = ((k >= 0) & (k < len(self._around)) for k in (i, j))
        self._around[np.ix_(i[rows], j[columns])] += square[np.ix_(rows, columns)]

    def reach(self, n_lp: int) -> Reach:
        """The distribution of all squares added, from `n_lp` LPs."""
        total = max(float(self._by_distance.sum()), np.finfo(float).tiny)
        share = np.cumsum(self._by_distance) / total
        last = int(np.searchsorted(share, 1 - 1e-9)) + 1
        return Reach(
            n_lp=n_lp,
            radii=tuple((np.arange(len(share)) * STEP)[:last].tolist()),
            share=tuple(share[:last].tolist()),
            own_window=float(self._inside / total),
            around=self._around / max(float(self._around.max()), np.finfo(float).tiny),
            per_pixel=self._per_pixel,
        )
