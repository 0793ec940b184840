"""Warps rendered from the field: each output pixel is the field's mean over its own footprint.

With J the Jacobian of the map from output to input, an output pixel covers the parallelogram
J [-1/2, 1/2]^2 of the input. It is cut into n_y x n_x equal parts; each is queried as an upright box
with the variances of the part, c_a = |row a of J / n|. For an upright footprint this is exact; for a
rotated square, which has the covariance of the upright one, it is exact to third order. Parts are
small enough that

- a side is at most one LR pixel, since the bicubic base is interpolated at points, and
- the covariance that the box neglects, row y of J times row x over 12, is at most SKEW / 12.

So nothing is resampled twice and nothing aliases. Letters: H W the input, Q pixels of a block of the
output, S parts of them, C planes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ginr.array_types import Doubles, Planes
from ginr.device import Precision
from ginr.geometry.maps import Map
from ginr.geometry.size import Box
from ginr.network.field import Field
from ginr.network.model import Ginr, check_is_torch
from ginr.pictures import Picture, quantize, without_place
from ginr.rendering.tile_size import is_out_of_memory, smaller_side, tile_side
from ginr.rendering.upscale import Notice, Progress, Tiles, canvas, check_size, cut_box, planes_of

SKEW = 0.1  # LR pixels squared: leaves e^(-SKEW / 12 pi^2 / 2) = 0.96 of the finest diagonal wave
FINEST = 64  # most parts of a pixel along an axis: its footprint may extend to the horizon
BLOCK = 128  # side of a block of output pixels that is mapped at a time
BATCH = 1 << 16  # parts queried at a time


def warp(
    picture: Picture,
    model: Ginr,
    mapping: Map,
    *,
    height: int,
    width: int,
    tile: int | None = None,
    precision: Precision = "auto",
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> Picture:
    """The picture warped by a map to height x width pixels, with its depth and metadata.

    Outside the input the output is transparent (an alpha channel is added if needed); pixels on the
    border are blended by the share that is inside. `tile`, `precision`, `progress` and `notice` are
    as for `upscale`; when memory runs out, the warp starts over with smaller tiles. Raises SizeError
    for a size below 1 and GinrError when even the smallest tile does not fit into memory.
    """
    check_is_torch(model)
    check_size(height, width)
    side = tile_side(model, tile)
    while True:
        try:
            work = _Warping(picture, model, precision, mapping, (height, width), side)
            return work.run(progress or (lambda done, total: None))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            side = smaller_side(side, model)
        if notice:
            notice(f"out of memory: starting over with tiles of {side} pixels")


@dataclass(frozen=True)
class Parts:
    """Parts of pixels to query."""

    pixel: NDArray[np.intp]  # (S,) index of the pixel of each
    places: Doubles  # (S, 2) in input pixels, inside the picture
    cells: Doubles  # (S, 2) sides of the box that represents it
    weight: Doubles  # (S,) share of the pixel that it covers inside the picture


def parts_of(
    places: Doubles, jacobian: Doubles, number: NDArray[np.intp], size: tuple[int, int]
) -> Parts:
    """Parts of pixels at places (Q, 2) with Jacobians (Q, 2, 2), number (Q, 2) along the axes.

    Parts outside the picture of `size` (H, W) are left out.
    """
    count = number.prod(1)
    pixel = np.repeat(np.arange(len(places)), count)  # (S,)
    nth = np.arange(len(pixel)) - np.repeat(count.cumsum() - count, count)
    number = number[pixel]
    step = np.stack([nth // number[:, 1], nth % number[:, 1]], -1)
    offset = (step + 0.5) / number - 0.5  # (S, 2) of an output pixel
    jacobian = jacobian[pixel]
    centre = places[pixel] + (jacobian * offset[:, None]).sum(2)
    cells = np.sqrt(((jacobian / number[:, None]) ** 2).sum(2)).clip(1e-6)
    border = np.subtract(size, 0.5)
    inside = np.minimum(centre + cells / 2, border) - np.maximum(centre - cells / 2, -0.5)
    # Despite rounding, a pixel that touches the border from within is covered in full.
    cover = (inside / cells + 1e-6).clip(0, 1).prod(1)
    kept = cover > 1e-4
    pixel = pixel[kept]
    weight = cover[kept] / count[pixel]
    return Parts(pixel, centre[kept].clip(-0.5, border), cells[kept], weight)


def n_parts(jacobian: Doubles) -> NDArray[np.intp]:
    """Number of parts (Q, 2) along each axis of pixels with Jacobians (Q, 2, 2), see above."""
    lacking = np.abs((jacobian[:, 0] * jacobian[:, 1]).sum(1)) / SKEW  # (Q,)
    sides = np.sqrt((jacobian**2).sum(1))  # (Q, 2): of the output's y and x, in input pixels
    number = np.ceil(np.maximum(sides, np.sqrt(lacking)[:, None]) - 1e-6)
    parts: NDArray[np.intp] = number.clip(1, FINEST).astype(np.intp)
    return parts


@dataclass
class _Warping(Tiles[Field]):
    """The state of one warp: every tile is encoded once, a block is written after its last tile."""

    mapping: Map
    out: tuple[int, int]
    side: int

    def __post_init__(self) -> None:
        super().__post_init__()
        side = self.side
        self.blocks: dict[Box, list[Box]] = {}
        """The cores that parts of a block's pixels may lie in."""
        self.has_alpha = self.picture.has_alpha
        for block in cut_box((0, 0, *self.out), BLOCK):
            low, high = self._reach(block)
            border = np.subtract(self.size, 0.5)
            self.has_alpha |= bool((low < -0.5 - 1e-6).any() or (high > border + 1e-6).any())
            seen = ((high > -0.5) & (low < border)).all(1)
            if seen.any():
                first = np.floor(low[seen].min(0) + 0.5).clip(0).astype(int) // side * side
                last = np.floor(high[seen].max(0) + 0.5).clip(0, np.subtract(self.size, 1))
                end = np.minimum((last.astype(int) // side + 1) * side, self.size)
                self.blocks[block] = list(cut_box((*first.tolist(), *end.tolist()), side))

    @torch.inference_mode()
    def run(self, progress: Progress) -> Picture:
        """Render tile by tile; only blocks that wait for another tile have sums in memory."""
        channels = self.picture.channels + (self.has_alpha and not self.picture.has_alpha)
        out = canvas((*self.out, channels), self.picture.samples.dtype)
        out[:] = 0
        waiting = {block: len(cores) for block, cores in self.blocks.items()}
        by_core: dict[Box, list[Box]] = {}
        for block, cores in self.blocks.items():
            for core in cores:
                by_core.setdefault(core, []).append(block)
        sums: dict[Box, Planes] = {}
        total = self.out[0] * self.out[1]
        done = total - sum(_area(block) for block in waiting)
        for core in sorted(by_core):
            field: Field | None = None
            for block in by_core[core]:
                for parts in self._parts(block, core):
                    field = field or self._encode(core)
                    if block not in sums:
                        sums[block] = np.zeros((channels, _area(block)), np.float32)
                    self._add(sums[block], field, parts)
                waiting[block] -= 1
                if not waiting[block]:
                    done += _area(block)
                    if (planes := sums.pop(block, None)) is not None:
                        top, left, bottom, right = block
                        planes = planes.reshape(channels, bottom - top, right - left)
                        out[top:bottom, left:right] = quantize(
                            planes, self.picture.depth, self.has_alpha
                        )
                    progress(done, total)
        return replace(without_place(self.picture), samples=out)

    def _reach(self, block: Box) -> tuple[Doubles, Doubles]:
        """The smallest and largest place of each pixel's footprint, (Q, 2) each."""
        places, jacobian = self._at(block)
        half = np.abs(jacobian).sum(2) / 2
        return places - half, places + half

    def _at(self, block: Box) -> tuple[Doubles, Doubles]:
        places, jacobian = self.mapping.at(block)
        return places.reshape(-1, 2), jacobian.reshape(-1, 2, 2)

    def _parts(self, block: Box, core: Box) -> Iterator[Parts]:
        """Yields the parts of a block's pixels that lie in a core, in batches."""
        places, jacobian = self._at(block)
        half = np.abs(jacobian).sum(2) / 2
        # Beyond the picture's border the nearest core is responsible.
        low = np.where(np.equal(core[:2], 0), -np.inf, np.subtract(core[:2], 0.5))
        high = np.where(np.equal(core[2:], self.size), np.inf, np.subtract(core[2:], 0.5))
        near = ((places + half >= low) & (places - half <= high)).all(1).nonzero()[0]
        number = n_parts(jacobian[near])
        batch = number.prod(1).cumsum() // BATCH
        for some in np.split(np.arange(len(near)), np.diff(batch).nonzero()[0] + 1):
            at = near[some]
            parts = parts_of(places[at], jacobian[at], number[some], self.size)
            pixel = np.floor(parts.places + 0.5).clip(0, np.subtract(self.size, 1))
            here = ((pixel >= core[:2]) & (pixel < core[2:])).all(1)
            if here.any():
                yield Parts(
                    at[parts.pixel[here]], parts.places[here], parts.cells[here], parts.weight[here]
                )

    def _encode(self, core: Box) -> Field:
        """The field of a tile in coordinates of its own, for which float32 is precise enough."""
        top, left, bottom, right = self.read_box(core)
        return replace(self.encode(core), size=(bottom - top, right - left))

    def _add(self, planes: Planes, field: Field, parts: Parts) -> None:
        """Query the field and add the results to the planes (C, Q) of a block."""
        device = field.features.device
        places = torch.from_numpy(parts.places - field.origin).to(device)
        unit = 2 / places.new_tensor(field.size)
        cells = torch.from_numpy(parts.cells).to(device)
        if (cells == cells[0]).all():  # then the footprint is computed once
            cells = cells[:1]
        coords = ((places + 0.5) * unit - 1).float()
        n_layer = len(field.features)
        rgb = replace(field, origin=(0, 0)).query(
            coords.expand(n_layer, -1, -1), (cells * unit).float().expand(n_layer, -1, -1)
        )
        layers = rgb.transpose(1, 2).cpu().numpy()
        values = planes_of(layers, self.picture.is_grey, self.has_alpha, self.opaque)
        for plane, value in zip(planes, values, strict=True):
            plane += np.bincount(parts.pixel, value * parts.weight, len(plane))


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
