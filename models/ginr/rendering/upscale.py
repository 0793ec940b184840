"""Upscaling pictures of any size: encoded in tiles of whole windows, rendered in bands.

A tile is a core with a margin around it; its field renders the output pixels whose centres lie in
the core. Windows of a tile are windows of the whole picture, so tiles differ from the whole only by
what influences the core from beyond the margin. A row of tiles yields a band of output rows; only
one band is in memory at a time.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypedDict, TypeVar, Unpack

import numpy as np
from numpy.typing import DTypeLike

from ginr.architecture.contract import EncodedField, Encoder
from ginr.array_types import Planes
from ginr.device import Precision, one_ahead
from ginr.errors import GinrError, SizeError
from ginr.geometry.size import Box, output_box
from ginr.pictures import Picture, quantize, without_place
from ginr.pictures.samples import Samples
from ginr.pictures.writer import with_sizes
from ginr.rendering.tile_size import (
    MARGIN,
    is_out_of_memory,
    smaller_side,
    tile_side,
    whole_windows,
)

F = TypeVar("F", bound=EncodedField)

Progress = Callable[[int, int], None]  # called with the number of pixels done and of all pixels
Notice = Callable[[str], None]  # called with a message for the user


class Options(TypedDict, total=False):
    """How to enlarge, see `upscale_bands`."""

    tile: int | None
    precision: Precision
    progress: Progress | None
    notice: Notice | None


STRIP = 1 << 20  # output pixels rendered at a time
BAND = 1 << 27  # most bytes of output in a band; the height of its tiles is reduced to fit


def upscale(
    picture: Picture,
    model: Encoder[EncodedField],
    *,
    height: int,
    width: int,
    box: Box | None = None,
    **options: Unpack[Options],
) -> Picture:
    """The picture at height x width pixels, or a `box` of that, with its depth and metadata.

    A map's scale is that of the result. Arguments and errors are as for `upscale_bands`.
    """
    bands = upscale_bands(picture, model, height=height, width=width, box=box, **options)
    top, left, bottom, right = box or (0, 0, height, width)
    shape = max(0, bottom - top), max(0, right - left), picture.channels
    out, row = canvas(shape, picture.samples.dtype), 0
    for band in bands:
        out[row : row + len(band)] = band
        row += len(band)
    like = without_place(picture) if box else with_sizes(picture, height, width)
    return replace(like, samples=out)


def upscale_bands(
    picture: Picture,
    model: Encoder[EncodedField],
    *,
    height: int,
    width: int,
    box: Box | None = None,
    tile: int | None = None,
    precision: Precision = "auto",
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> Iterator[Samples]:
    """Yields the rows of the picture at height x width pixels in order, in bands (h, W, C).

    Samples have the picture's own depth and channels. `box` (top, left, bottom, right in output
    pixels) selects a part of the whole render; only the tiles it touches are encoded. `tile` is the
    side of a core in LR pixels, rounded up to whole windows; it is halved, with a `notice`, when
    memory runs out. `precision` is that of the encoder; auto is float32 on the CPU and follows
    `in_bfloat16` on a GPU. Raises SizeError for a size below 1 or a box that is empty or outside,
    and GinrError when even the smallest tile does not fit into memory.
    """
    check_size(height, width)
    box = box or (0, 0, height, width)
    if not (0 <= box[0] < box[2] <= height and 0 <= box[1] < box[3] <= width):
        wanted = "give top < bottom and left < right inside"
        raise SizeError(f"box {box} of {width}x{height} pixels: {wanted}")
    side = tile_side(model, tile)
    work = _Upscaling(picture, model, precision, (height, width), box, side, progress, notice)
    for core in work.cores():
        band = work.canvas(work.place(core))
        work.fill(band, core)
        if len(band):
            yield band


def band_boxes(
    picture: Picture, model: Encoder[EncodedField], out: tuple[int, int], box: Box | None, tile: int
) -> Iterator[Box]:
    """The boxes of the bands of `upscale_bands`: as its `box`, each is made of the same tiles."""
    box = box or (0, 0, *out)
    work = _Upscaling(picture, model, "auto", out, box, tile, None, None)
    return (place for core in work.cores() if (place := work.place(core))[0] < place[2])


@dataclass
class Tiles(Generic[F]):
    """A picture that a network encodes in tiles."""

    picture: Picture
    model: Encoder[F]
    precision: Precision

    def __post_init__(self) -> None:
        self.size = self.picture.height, self.picture.width  # H, W
        self.window, self.opaque = self.model.config.window, self.picture.is_opaque

    def read_box(self, core: Box) -> Box:
        """The core with its margin, within the picture."""
        return grown(core, whole_windows(MARGIN, self.window), self.size)

    def encode(self, core: Box) -> F:
        """The field of a core with its margin: a batch of colour and, unless opaque, alpha."""
        box, size = self.read_box(core), self.size
        planes = self.picture.pixels(*box)  # (C, h, w), colour premultiplied
        layers = [planes[:1] if self.picture.is_grey else planes[:3]]
        if not self.opaque:
            layers.append(planes[-1:])
        return self.model.encode_planes(layers, origin=box[:2], size=size, precision=self.precision)

    def samples(self, planes: Planes) -> Samples:
        """Planes (C, h, w) as samples (h, w, C) of the picture's depth."""
        return quantize(planes, self.picture.depth, self.picture.has_alpha)


@dataclass
class _Upscaling(Tiles[EncodedField]):
    """The state of one call: its arguments, the current side of tiles, and the pixels done."""

    out: tuple[int, int]
    box: Box
    side: int
    progress: Progress | None
    notice: Notice | None
    done: int = 0

    def cores(self) -> Iterator[Box]:
        """The rows of tiles."""
        top, left, bottom, right = area_under(self.box, self.out, self.size, self.window)
        while top < bottom:
            core = (top, left, min(top + self.rows(), bottom), right)
            yield core
            top = core[2]

    def rows(self) -> int:
        """Height of a row of tiles whose band of output stays within `BAND` bytes."""
        row = (self.box[3] - self.box[1]) * self.picture.channels * self.picture.depth // 8
        rows = BAND * self.size[0] // (row * self.out[0]) // self.window * self.window
        return min(self.side, max(self.window, rows))

    def place(self, core: Box) -> Box:
        """The output pixels of a core that lie in the box; empty if there are none."""
        top, left, bottom, right = output_box(core, self.size, self.out)
        top, left = max(top, self.box[0]), max(left, self.box[1])
        return top, left, max(top, min(bottom, self.box[2])), max(left, min(right, self.box[3]))

    def canvas(self, box: Box) -> Samples:
        """Room for a box of the output."""
        shape = box[2] - box[0], box[3] - box[1], self.picture.channels
        return canvas(shape, self.picture.samples.dtype)

    def fill(self, band: Samples, core: Box) -> None:
        """Render a row of tiles into the band, in smaller tiles after memory has run out."""
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
                    self.notice(f"out of memory: continuing with tiles of {self.side} pixels")
                todo.append(core)

    def _strips_of(self, core: Box) -> Iterator[tuple[int, int, Samples]]:
        """Yields the output of a tile in strips, each with its place (y, x) in the render."""
        place = self.place(core)
        field = self.encode(core)
        done, total = self.done, (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])
        kind = self.picture.channels, self.picture.depth, self.opaque
        begun = (
            (strip, begin_samples(field, self.out, strip, *kind)) for strip in cut_strips(place)
        )
        for strip, finish in one_ahead(begun):
            yield strip[0], strip[1], finish()
            done += (strip[2] - strip[0]) * (strip[3] - strip[1])
            if self.progress:
                self.progress(done, total)
        self.done = done


def begin_samples(
    field: EncodedField, out: tuple[int, int], box: Box, channels: int, depth: int, is_opaque: bool
) -> Callable[[], Samples]:
    """Start to render a box of a picture at size `out`; the returned function waits for its samples.

    They are (h', w', C) with `depth` bits. `is_opaque` pictures have one layer, of colour, others a second one.
    """
    is_grey, has_alpha = channels < 3, channels in (2, 4)
    if is_grey or not is_opaque:
        arrived = field.begin_render(out, box)
        return lambda: quantize(
            planes_of(arrived(), is_grey, has_alpha, is_opaque), depth, has_alpha
        )
    samples = canvas((box[2] - box[0], box[3] - box[1], channels), np.dtype(f"uint{depth}"))
    samples[..., 3:] = np.iinfo(samples.dtype).max
    return field.begin_render(out, box, samples)


def check_size(height: int, width: int) -> None:
    """Raises SizeError for a size below 1."""
    if min(height, width) < 1:
        raise SizeError(f"{width}x{height}: a picture needs at least 1x1 pixels")


def canvas(shape: tuple[int, int, int], kind: DTypeLike) -> Samples:
    """Uninitialised samples (height, width, C). Raises GinrError if they do not fit into memory."""
    try:
        return np.empty(shape, kind)
    except (MemoryError, ValueError):
        gib = math.prod(shape) * np.dtype(kind).itemsize / 2**30
        raise GinrError(
            f"{shape[1]}x{shape[0]} needs {gib:.1f} GiB: choose a smaller size"
        ) from None


def grown(box: Box, margin: int, size: tuple[int, int]) -> Box:
    """A box with a margin on every side, within a picture of `size` (H, W)."""
    top, left, bottom, right = box
    bottom, right = min(size[0], bottom + margin), min(size[1], right + margin)
    return max(0, top - margin), max(0, left - margin), bottom, right


def area_under(box: Box, out: tuple[int, int], size: tuple[int, int], side: int) -> Box:
    """The squares of `side` in a picture of `size` (H, W) that a box of a render of size `out` needs."""
    first, end = [], []
    for k, (n, n_out) in enumerate(zip(size, out, strict=True)):
        # Output pixel i has its centre in pixel (2 i + 1) n // (2 n') of the picture.
        low, high = ((2 * i + 1) * n // (2 * n_out) for i in (box[k], box[k + 2] - 1))
        first.append(low // side * side)
        end.append(min(whole_windows(high + 1, side), n))
    return first[0], first[1], end[0], end[1]


def cut_box(core: Box, side: int) -> Iterator[Box]:
    """Squares of `side` that cover a box, row by row; the last ones may be smaller."""
    top, left, bottom, right = core
    for y in range(top, bottom, side):
        for x in range(left, right, side):
            yield y, x, min(y + side, bottom), min(x + side, right)


def cut_strips(box: Box) -> Iterator[Box]:
    """Strips of whole rows that cover a box, at most `STRIP` pixels or one row each."""
    top, left, bottom, right = box
    rows = max(1, STRIP // max(1, right - left))
    for y in range(top, bottom, rows):
        if left < right:
            yield y, left, min(y + rows, bottom), right


def planes_of(layers: Planes, is_grey: bool, has_alpha: bool, opaque: bool) -> Planes:
    """Planes (C, ...), alpha last, of a batch (1 or 2, 3, ...) from `Tiles.encode`."""
    colour: Planes = layers[0].mean(0, keepdims=True) if is_grey else layers[0]
    if not has_alpha:
        return colour
    alpha = np.ones_like(colour[:1]) if opaque else layers[1].mean(0, keepdims=True)
    return np.concatenate([colour, alpha])
