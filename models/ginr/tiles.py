"""Pictures of any size through the network: tiles of whole windows, rendered into one array.

A tile is encoded with a margin around its core, and its field renders just the output pixels whose
centres lie in the core. The windows of every tile are windows of the whole picture, so that a tile
and the whole picture differ only by what reaches the core from beyond the margin.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ginr.errors import GinrError, SizeError
from ginr.field import Box, Field
from ginr.model import Ginr
from ginr.picture import Picture, quantize

Precision = Literal["auto", "float32", "bfloat16"]

TILE = 256  # LR pixels along the side of a core
MARGIN = 32  # LR pixels around it, at least
STRIP = 1 << 19  # output pixels rendered at a time


@dataclass(frozen=True)
class Tile:
    """The LR pixels a tile answers for, and those it is encoded from."""

    core: Box
    read: Box


@torch.inference_mode()
def upscale(
    picture: Picture,
    model: Ginr,
    *,
    height: int,
    width: int,
    tile: int | None = None,
    precision: Precision = "auto",
    progress: Callable[[int, int], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Picture:
    """The picture at height x width pixels, in its own depth, with its metadata.

    `tile` is the side of a core in LR pixels, rounded up to whole windows; memory grows with it,
    and it is halved, with one `notice`, when memory runs out. `progress` hears how many output
    pixels are done, of how many. `precision` is that of the encoder; auto is float32. Raises
    SizeError for a size below 1 and GinrError when even the smallest tile does not fit.
    """
    if min(height, width) < 1:
        raise SizeError(f"{width}x{height}: a picture needs at least 1x1 pixels")
    out = _canvas(picture, height, width)
    window = model.config.window
    side = _whole(tile or TILE, window)
    todo = [(0, 0, picture.height, picture.width)]
    opaque, done = picture.is_opaque, 0
    while todo:
        core = todo.pop()
        if max(core[2] - core[0], core[3] - core[1]) > side:
            todo.extend(reversed(list(_cut(core, side))))
            continue
        part = Tile(core, _read_box(core, (picture.height, picture.width), window))
        box = output_box(core, (picture.height, picture.width), (height, width))
        try:
            field = _encode(picture, model, part, precision, opaque)
            for strip in _strips(box):
                planes = _render(picture, field, (height, width), strip, opaque)
                target = out[strip[0] : strip[2], strip[1] : strip[3]]
                target[:] = quantize(planes, picture.depth, picture.has_alpha)
                if progress:
                    progress(done + (strip[2] - box[0]) * (box[3] - box[1]), height * width)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            side = _smaller(side, window)
            if notice:
                notice(f"out of memory: going on with tiles of {side} pixels")
            todo.append(core)
            continue
        done += (box[2] - box[0]) * (box[3] - box[1])
    return replace(picture, samples=out)


def output_box(core: Box, size: tuple[int, int], out: tuple[int, int]) -> Box:
    """The output pixels whose centres lie in a core of LR pixels, in exact integer arithmetic."""
    # Pixel i of n' has its centre at (2 i + 1) n / (2 n') LR pixels: i from ceil of its inverse.
    return (
        -((size[0] - 2 * core[0] * out[0]) // (2 * size[0])),
        -((size[1] - 2 * core[1] * out[1]) // (2 * size[1])),
        -((size[0] - 2 * core[2] * out[0]) // (2 * size[0])),
        -((size[1] - 2 * core[3] * out[1]) // (2 * size[1])),
    )


def _canvas(picture: Picture, height: int, width: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    shape, kind = (height, width, picture.channels), picture.samples.dtype
    try:
        return np.empty(shape, kind)
    except (MemoryError, ValueError):
        gib = height * width * picture.channels * kind.itemsize / 2**30
        raise GinrError(f"{width}x{height} needs {gib:.1f} GiB: choose a smaller size") from None


def _whole(length: int, window: int) -> int:
    return -(-length // window) * window


def _smaller(side: int, window: int) -> int:
    if side <= window:
        raise GinrError(f"out of memory with tiles of {side} pixels: close something and try again")
    return max(window, side // 2 // window * window)


def _cut(core: Box, side: int) -> Iterator[Box]:
    """Squares of `side`, row by row; the last of a row or column may be smaller."""
    top, left, bottom, right = core
    for y in range(top, bottom, side):
        for x in range(left, right, side):
            yield y, x, min(y + side, bottom), min(x + side, right)


def _read_box(core: Box, size: tuple[int, int], window: int) -> Box:
    margin = _whole(MARGIN, window)
    return (
        max(0, core[0] - margin),
        max(0, core[1] - margin),
        min(size[0], core[2] + margin),
        min(size[1], core[3] + margin),
    )


def _strips(box: Box) -> Iterator[Box]:
    top, left, bottom, right = box
    rows = max(1, STRIP // max(1, right - left))
    for y in range(top, bottom, rows):
        if left < right:
            yield y, left, min(y + rows, bottom), right


def _encode(picture: Picture, model: Ginr, tile: Tile, precision: Precision, opaque: bool) -> Field:
    """The tile's field: colour in picture 0 of the batch, alpha in picture 1 if it matters."""
    planes = picture.pixels(*tile.read)  # (C, h, w), colour premultiplied
    layers = [planes[:1] if picture.is_grey else planes[:3]]
    if not opaque:
        layers.append(planes[-1:])
    fields = []
    for layer in layers:  # one after the other: together they would need twice the memory
        pixels = torch.from_numpy(layer).expand(3, -1, -1)[None].to(model.lps.device)
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            fields.append(
                model.encode(pixels, origin=tile.read[:2], size=(picture.height, picture.width))
            )
    bases = [field.base for field in fields if field.base is not None]
    return replace(
        fields[0],
        features=torch.cat([field.features.float() for field in fields]),
        base=torch.cat(bases) if bases else None,
    )


def _render(
    picture: Picture, field: Field, size: tuple[int, int], box: Box, opaque: bool
) -> NDArray[np.float32]:
    """The box as planes (C, h', w') with premultiplied colour, ready for `quantize`."""
    layers = field.render(size, box).cpu()  # (1 or 2, 3, h', w')
    colour = layers[0].mean(0, keepdim=True) if picture.is_grey else layers[0]
    parts = [colour]
    if picture.has_alpha:
        parts.append(torch.ones_like(colour[:1]) if opaque else layers[1].mean(0, keepdim=True))
    planes: NDArray[np.float32] = torch.cat(parts).numpy()
    return planes


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # Neither torch's CPU allocator nor oneDNN has a class of its own for it.
    return any(words in str(error) for words in ("allocate memory", "could not create a primitive"))
