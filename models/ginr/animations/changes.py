"""What changes from frame to frame: the boxes that a file needs to hold."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ginr.animations.pieces import Box
from ginr.pictures import Picture
from ginr.pictures.samples import Samples


class Changes:
    """The boxes that frames change, as pictures."""

    def __init__(self, like: Picture, grid: int = 1) -> None:
        self._like, self._grid = like, grid
        self._last: Samples | None = None

    def of(self, samples: Samples) -> tuple[Picture, Box]:
        """The first frame with its metadata, or what has changed; top and left are on the grid."""
        last, self._last = self._last, samples
        if last is None:
            return replace(self._like, samples=samples), (0, 0, *samples.shape[:2])
        top, left, bottom, right = box_of((samples != last).any(-1))
        top, left = top // self._grid * self._grid, left // self._grid * self._grid
        part = np.ascontiguousarray(samples[top:bottom, left:right])
        return Picture(part), (top, left, bottom, right)


def box_of(changed: npt.NDArray[np.bool_]) -> Box:
    """The box around what has changed in (H, W), at least one pixel."""
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if not len(rows):
        return 0, 0, 1, 1
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def shortened(n: int, name: str) -> list[str]:
    """The message about `n` frames that a format cannot show long enough, if any."""
    return [f"{name} cannot show a frame for that long: {n} shortened"] if n else []
