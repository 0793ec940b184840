"""Zooms: views of a picture from one box to another, each rendered at its own scale.

A frame is the field f plus its base, both averaged over the footprint of the frame's pixels: f by the
decoder's gains, the picture by the bicubic kernel, widened where the view is larger than the frame.
There f fades out until one frame pixel covers `FADED` picture pixels, since by then its detail is
averaged away; tiles that are only visible at such scales need not be encoded. A field takes some 600
bytes per picture pixel and a frame 3, so frames are kept in memory: every tile is encoded once and
rendered into all frames that show it.

Letters: H W the picture, H' W' a frame, C planes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ginr.array_api import mirrored
from ginr.array_types import Doubles, Planes
from ginr.device import Precision
from ginr.errors import SizeError
from ginr.geometry.size import MAX_SCALE, Box
from ginr.network.field import Field
from ginr.network.model import Ginr
from ginr.pictures import Picture
from ginr.pictures.resize import cubic
from ginr.pictures.samples import Samples
from ginr.rendering.tile_size import tile_side
from ginr.rendering.upscale import Progress, Tiles, cut_box, planes_of

FADED = 2.0
FRAMES = 1 << 29  # most bytes of frames in memory at a time


class Shot(NamedTuple):
    """The view of a frame, in pixels of the picture, where pixel i spans [i, i + 1]."""

    top: float
    left: float
    height: float
    width: float


def shot_of(box: Box, size: tuple[int, int], frame: tuple[int, int]) -> Shot:
    """A box (top, left, bottom, right) enlarged to the frame's shape and moved into the picture.

    `size` and `frame` are H, W. In a picture too small for that, the largest shot of the frame's
    shape. Raises SizeError if the frame would enlarge it beyond x30.
    """
    shape = frame[1] / frame[0]
    width = max(box[3] - box[1], (box[2] - box[0]) * shape)
    width = min(width, size[1], size[0] * shape)
    height = width / shape
    if frame[1] > MAX_SCALE * width * (1 + 1e-9):
        raise SizeError(
            f"a view of {width:.4g}x{height:.4g} pixels would be enlarged x{frame[1] / width:.4g} "
            f"for {frame[1]}x{frame[0]}, above the limit of x{MAX_SCALE}: choose a larger box or "
            "a smaller size"
        )
    top = min(max(0.0, (box[0] + box[2] - height) / 2), size[0] - height)
    left = min(max(0.0, (box[1] + box[3] - width) / 2), size[1] - width)
    return Shot(top, left, height, width)


def zoom_path(start: Shot, end: Shot, n_frames: int) -> list[Shot]:
    """Shots from `start` to `end`, which have the same shape, eased in and out.

    In eased time the scale changes exponentially; the point that has the same place in the frame in
    both shots keeps it throughout.
    """
    ratio = end.width / start.width
    shots = [start]
    for k in range(1, n_frames - 1):
        t = k / (n_frames - 1)
        eased = t * t * (3 - 2 * t)
        # Share of the way at which the width is start.width ratio^eased.
        share = eased if abs(ratio - 1) < 1e-6 else (1 - ratio**eased) / (1 - ratio)
        shots.append(Shot(*(a + share * (b - a) for a, b in zip(start, end, strict=True))))
    return [*shots, end][:n_frames]


@torch.inference_mode()
def render_shots(
    picture: Picture,
    model: Ginr,
    shots: Sequence[Shot],
    *,
    height: int,
    width: int,
    tile: int | None = None,
    precision: Precision = "auto",
    progress: Progress | None = None,
) -> Iterator[Samples]:
    """Yields the shots as frames (height, width, C) in the picture's own depth and channels.

    Frames are rendered together in groups of at most `FRAMES` bytes, or one by one if larger.
    `tile`, `precision` and `progress` are as for `upscale`.
    """
    film = _Film(picture, model, precision, (height, width), tile_side(model, tile))
    n_bytes = height * width * picture.channels * picture.depth // 8
    n_held = max(1, FRAMES // n_bytes)
    done, total = 0, len(shots) * height * width

    def advance(n_pixels: int) -> None:
        nonlocal done
        done += n_pixels
        if progress:
            progress(done, total)

    for first in range(0, len(shots), n_held):
        yield from film.develop(shots[first : first + n_held], advance)


@dataclass
class _Film(Tiles[Field]):
    """A picture, and what frames of one size need."""

    frame: tuple[int, int]
    side: int
    halves: list[Planes] = field(default_factory=list)
    """The picture at 1/2, 1/4, ... of its size, as far as needed so far."""

    def develop(self, shots: Sequence[Shot], advance: Callable[[int], None]) -> list[Samples]:
        """The frames of some shots; `advance` is called with numbers of pixels done."""
        channels = self.picture.channels
        frames = [np.empty((*self.frame, channels), self.picture.samples.dtype) for _ in shots]
        near = []
        for shot, frame in zip(shots, frames, strict=True):
            if shot.width < FADED * self.frame[1]:
                near.append((shot, frame))
            else:
                frame[:] = self.samples(self._mean(shot, (0, 0, *self.frame)))
                advance(frame.shape[0] * frame.shape[1])
        for core in cut_box((0, 0, *self.size), self.side):
            encoded: Field | None = None
            for shot, frame in near:
                top, left, bottom, right = box = self._seen(shot, core)
                if top < bottom and left < right:
                    encoded = encoded or self.encode(core)
                    frame[top:bottom, left:right] = self.samples(self._near(encoded, shot, box))
                    advance((bottom - top) * (right - left))
        return frames

    def _places(self, shot: Shot) -> tuple[Doubles, Doubles, float]:
        """Rows and columns of the pixel centres of a shot, pixel i at i, and their distance."""
        cell = shot.width / self.frame[1]
        rows, columns = (
            start + (np.arange(n, dtype=np.float64) + 0.5) * cell - 0.5
            for start, n in zip((shot.top, shot.left), self.frame, strict=True)
        )
        return rows, columns, cell

    def _seen(self, shot: Shot, core: Box) -> Box:
        """The box of frame pixels whose centres lie in a core."""
        low, high = [], []
        for k, places in enumerate(self._places(shot)[:2]):
            pixel = np.floor(places + 0.5).clip(0, self.size[k] - 1)
            low.append(int(np.searchsorted(pixel, core[k])))
            high.append(int(np.searchsorted(pixel, core[k + 2])))
        return low[0], low[1], high[0], high[1]

    def _near(self, field: Field, shot: Shot, box: Box) -> Planes:
        """A box of the frame from the field: planes (C, h', w')."""
        rows, columns, cell = self._places(shot)
        alone = cell > 1  # then the base, which is interpolated at points, would alias
        layers = field.decoder.render(
            field.codes,
            None if alone else field.ground((cell, cell)),
            torch.from_numpy(rows[box[0] : box[2]]) - field.origin[0],
            torch.from_numpy(columns[box[1] : box[3]]) - field.origin[1],
            (cell, cell),
        )
        picture = self.picture
        planes = planes_of(layers.cpu().numpy(), picture.is_grey, picture.has_alpha, self.opaque)
        if alone:
            share = min(1.0, FADED - cell)
            planes *= share
            planes += self._mean(shot, box) * (1 if field.base is not None else 1 - share)
        if picture.has_alpha and self.opaque:
            planes[-1] = 1
        return planes

    def _mean(self, shot: Shot, box: Box) -> Planes:
        """A box of the frame from the picture alone, averaged over pixels: planes (C, h', w')."""
        rows, columns, cell = self._places(shot)
        level = max(0, int(np.log2(cell)) - 1)  # 2 to 4 of its pixels per frame pixel
        taps = []
        for k, axis in enumerate((rows, columns)):
            places = (axis[box[k] : box[k + 2]] + 0.5) / 2**level - 0.5
            taps.append(_taps(places, cell / 2**level, -(-self.size[k] // 2**level)))
        (y, weight_y), (x, weight_x) = taps
        part = (int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1)
        planes = self._pixels(level, part)
        y, x = y - part[0], x - part[1]
        tall = np.zeros((len(planes), len(y), planes.shape[2]), np.float32)
        for k in range(y.shape[1]):
            tall += planes[:, y[:, k]] * weight_y[:, k, None]
        wide = np.zeros((len(planes), len(y), len(x)), np.float32)
        for k in range(x.shape[1]):
            wide += tall[:, :, x[:, k]] * weight_x[:, k]
        return wide

    def _pixels(self, level: int, box: Box) -> Planes:
        """A box of the picture, premultiplied, reduced by averaging to 1/2^level of its size."""
        if level == 0:
            return self.picture.pixels(*box)
        while len(self.halves) < level:
            planes = self.halves[-1] if self.halves else self.picture.pixels(0, 0, *self.size)
            odd = [(0, n % 2) for n in planes.shape[1:]]
            planes = np.pad(planes, ((0, 0), *odd), "edge")
            planes = planes[:, ::2] + planes[:, 1::2]
            self.halves.append((planes[:, :, ::2] + planes[:, :, 1::2]) * np.float32(0.25))
        return self.halves[level - 1][:, box[0] : box[2], box[1] : box[3]]


def _taps(places: Doubles, cell: float, n: int) -> tuple[NDArray[np.intp], Planes]:
    """Bicubic indices and weights (Q, K) at places (Q,) of n pixels, mirrored beyond the edges.

    The kernel is widened to `cell` pixels.
    """
    cell = max(cell, 1.0)
    first = np.ceil(places - 2 * cell).astype(np.intp)
    index = first[:, None] + np.arange(int(4 * cell) + 1)
    weight = cubic((places[:, None] - index) / cell)
    weight /= weight.sum(1, keepdims=True)
    return mirrored(index, n), weight.astype(np.float32)
