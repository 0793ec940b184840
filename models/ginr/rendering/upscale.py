"""Pictures of any size through the network: tiles of whole windows, rendered band by band.

A tile is encoded with a margin around its core, and its field renders just the output pixels whose
centres lie in the core. The windows of every tile are windows of the whole picture, so that a tile
and the whole picture differ only by what reaches the core from beyond the margin. A row of tiles
makes a band of output rows, handed on when it is whole: no more than one is held.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ginr.architecture.contract import EncodedField, Encoder
from ginr.device import Precision, one_ahead
from ginr.errors import GinrError, SizeError
from ginr.geometry.size import Box, output_box
from ginr.pictures import Picture, quantize
from ginr.pictures.samples import Samples
from ginr.rendering.tile_size import (
    MARGIN,
    is_out_of_memory,
    smaller_side,
    tile_side,
    whole_windows,
)

F = TypeVar("F", bound=EncodedField)

STRIP = 1 << 20  # output pixels rendered at a time
BAND = 1 << 27  # bytes of output in a band; its tiles are made flatter until it fits


@dataclass(frozen=True)
class Tile:
    """The LR pixels a tile answers for, and those it is encoded from."""

    core: Box
    read: Box


def upscale(
    picture: Picture,
    model: Encoder[EncodedField],
    *,
    height: int,
    width: int,
    box: Box | None = None,
    tile: int | None = None,
    precision: Precision = "auto",
    progress: Callable[[int, int], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Picture:
    """The picture at height x width pixels, or the `box` of that, with its depth and metadata.

    All is as for `upscale_bands`; this holds the whole result.
    """
    top, left, bottom, right = box or (0, 0, height, width)
    out = canvas(picture, max(0, bottom - top), max(0, right - left))
    bands = upscale_bands(
        picture, model, height=height, width=width, box=box,
        tile=tile, precision=precision, progress=progress, notice=notice,
    )  # fmt: skip
    row = 0
    for band in bands:
        out[row : row + len(band)] = band
        row += len(band)
    return replace(picture, samples=out)


def upscale_bands(
    picture: Picture,
    model: Encoder[EncodedField],
    *,
    height: int,
    width: int,
    box: Box | None = None,
    tile: int | None = None,
    precision: Precision = "auto",
    progress: Callable[[int, int], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Iterator[Samples]:
    """Yields the rows of the picture at height x width pixels in order, some at a time.

    Each band is (h, W, C) in the picture's own depth and not touched again. A `box` (top, left,
    bottom, right in output pixels) is that part of the whole render, and only the tiles it touches
    are encoded. `tile` is the side of a core in LR pixels, rounded up to whole windows; memory
    grows with it, and it is halved, with one `notice`, when memory runs out. `progress` hears how
    many output pixels are done, of how many. `precision` is that of the encoder; auto is float32 on
    the CPU and as `in_bfloat16` says on a GPU. Raises SizeError for a size below 1 or a box that is
    empty or outside, and GinrError when even the smallest tile does not fit.
    """
    if min(height, width) < 1:
        raise SizeError(f"{width}x{height}: a picture needs at least 1x1 pixels")
    box = box or (0, 0, height, width)
    if not (0 <= box[0] < box[2] <= height and 0 <= box[1] < box[3] <= width):
        raise SizeError(
            f"box {box} of {width}x{height} pixels: give top < bottom and left < right inside"
        )
    side = tile_side(model, tile)
    work = _Work(picture, model, (height, width), box, side, precision, progress, notice)
    top, left, bottom, right = work.area()
    while top < bottom:
        core = (top, left, min(top + work.rows(), bottom), right)
        place = work.place(core)
        band = canvas(picture, place[2] - place[0], place[3] - place[1])
        work.fill(band, core)
        if len(band):
            yield band
        top = core[2]


class _Work:
    """One picture on its way: what is asked, how large its tiles are by now, and what is done."""

    def __init__(
        self,
        picture: Picture,
        model: Encoder[EncodedField],
        out: tuple[int, int],
        box: Box,
        side: int,
        precision: Precision,
        progress: Callable[[int, int], None] | None,
        notice: Callable[[str], None] | None,
    ) -> None:
        self.picture, self.model, self.out, self.box = picture, model, out, box
        self.side, self.precision, self.progress, self.notice = side, precision, progress, notice
        self.size, self.window = (picture.height, picture.width), model.config.window
        self.opaque, self.done = picture.is_opaque, 0

    def area(self) -> Box:
        """The LR pixels that the box shows, in whole windows of the picture."""
        # Output pixel i has its centre in LR pixel (2 i + 1) n // (2 n').
        first, last = (
            [
                (2 * i + 1) * n // (2 * n_out)
                for i, n, n_out in zip(at, self.size, self.out, strict=True)
            ]
            for at in (self.box[:2], (self.box[2] - 1, self.box[3] - 1))
        )
        top, left = (i // self.window * self.window for i in first)
        bottom, right = (
            min(whole_windows(i + 1, self.window), n) for i, n in zip(last, self.size, strict=True)
        )
        return top, left, bottom, right

    def rows(self) -> int:
        """How tall a row of tiles may be, for its band of output to stay within `BAND` bytes."""
        row = (self.box[3] - self.box[1]) * self.picture.channels * self.picture.depth // 8
        rows = BAND * self.size[0] // (row * self.out[0]) // self.window * self.window
        return min(self.side, max(self.window, rows))

    def place(self, core: Box) -> Box:
        """The output pixels of a core that lie in the box; without rows or columns where none do."""
        top, left, bottom, right = output_box(core, self.size, self.out)
        top, left = max(top, self.box[0]), max(left, self.box[1])
        return top, left, max(top, min(bottom, self.box[2])), max(left, min(right, self.box[3]))

    def fill(self, band: Samples, core: Box) -> None:
        """Render a row of tiles into the band, in smaller tiles from there on if memory runs out."""
        first, todo = self.place(core), [core]
        while todo:
            core = todo.pop()
            if max(core[2] - core[0], core[3] - core[1]) > self.side:
                todo.extend(reversed(list(cut_box(core, self.side))))
                continue
            try:
                for y, x, strip in self._strips_of(core):
                    rows = band[y - first[0] : y - first[0] + strip.shape[0]]
                    rows[:, x - first[1] : x - first[1] + strip.shape[1]] = strip
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                longest = whole_windows(max(core[2] - core[0], core[3] - core[1]), self.window)
                self.side = smaller_side(min(self.side, longest), self.model)
                if self.notice:
                    self.notice(f"out of memory: going on with tiles of {self.side} pixels")
                todo.append(core)

    def _strips_of(self, core: Box) -> Iterator[tuple[int, int, Samples]]:
        """The tile's output, some rows at a time, each with its place (y, x) in the render."""
        place = self.place(core)
        part = Tile(core, read_box(core, self.size, self.window))
        field = encode_tile(self.picture, self.model, part, self.precision, self.opaque)
        done, total = self.done, (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])
        begun = ((strip, self._begin(field, strip)) for strip in cut_strips(place))
        for strip, finish in one_ahead(begun):
            yield strip[0], strip[1], finish()
            done += (strip[2] - strip[0]) * (strip[3] - strip[1])
            if self.progress:
                self.progress(done, total)
        self.done = done

    def _begin(self, field: EncodedField, strip: Box) -> Callable[[], Samples]:
        """A strip of the tile's output, to be called for: a GPU begins with it at once."""
        picture = self.picture
        if picture.is_grey or not self.opaque:
            arrived = field.begin_render(self.out, strip)
            return lambda: quantize(
                planes_of(arrived(), picture.is_grey, picture.has_alpha, self.opaque),
                picture.depth,
                picture.has_alpha,
            )
        samples = canvas(picture, strip[2] - strip[0], strip[3] - strip[1])
        samples[..., 3:] = np.iinfo(samples.dtype).max
        return field.begin_render(self.out, strip, samples)


def canvas(
    picture: Picture, height: int, width: int, channels: int | None = None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Room for samples (height, width, C) like the picture's; raises GinrError where there is none."""
    shape, kind = (height, width, channels or picture.channels), picture.samples.dtype
    try:
        return np.empty(shape, kind)
    except (MemoryError, ValueError):
        gib = math.prod(shape) * kind.itemsize / 2**30
        raise GinrError(f"{width}x{height} needs {gib:.1f} GiB: choose a smaller size") from None


def cut_box(core: Box, side: int) -> Iterator[Box]:
    """Squares of `side`, row by row; the last of a row or column may be smaller."""
    top, left, bottom, right = core
    for y in range(top, bottom, side):
        for x in range(left, right, side):
            yield y, x, min(y + side, bottom), min(x + side, right)


def read_box(core: Box, size: tuple[int, int], window: int) -> Box:
    """What a core of a picture of `size` (H, W) is encoded from."""
    margin = whole_windows(MARGIN, window)
    return (
        max(0, core[0] - margin),
        max(0, core[1] - margin),
        min(size[0], core[2] + margin),
        min(size[1], core[3] + margin),
    )


def cut_strips(box: Box) -> Iterator[Box]:
    """Whole rows of a box of output pixels, `STRIP` pixels or one row at a time."""
    top, left, bottom, right = box
    rows = max(1, STRIP // max(1, right - left))
    for y in range(top, bottom, rows):
        if left < right:
            yield y, left, min(y + rows, bottom), right


def encode_tile(
    picture: Picture, model: Encoder[F], tile: Tile, precision: Precision, opaque: bool
) -> F:
    """The tile's field: colour in picture 0 of the batch, alpha in picture 1 if it matters."""
    planes = picture.pixels(*tile.read)  # (C, h, w), colour premultiplied
    layers = [planes[:1] if picture.is_grey else planes[:3]]
    if not opaque:
        layers.append(planes[-1:])
    size = picture.height, picture.width
    return model.encode_planes(layers, origin=tile.read[:2], size=size, precision=precision)


def planes_of(
    layers: NDArray[np.float32], is_grey: bool, has_alpha: bool, opaque: bool
) -> NDArray[np.float32]:
    """Planes (C, ...), alpha last, from what the field of `encode_tile` answers: (1 or 2, 3, ...)."""
    colour = layers[0].mean(0, keepdims=True) if is_grey else layers[0]
    parts = [colour]
    if has_alpha:
        parts.append(np.ones_like(colour[:1]) if opaque else layers[1].mean(0, keepdims=True))
    return np.concatenate(parts)
