"""Frames as GIF holds them: indices of at most 255 colours and one that shows what is below.

Each frame has colours of its own, chosen from the pixels that it changes, since one table for all of
them would have to serve what is never shown together. Pixels that stay as they were are not drawn
again, so that the dither of what stands still does not flicker.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ginr.animations.changes import box_of, shortened
from ginr.animations.gif import MAX_DELAY, write_end, write_frame, write_head
from ginr.animations.pieces import Box, Frame
from ginr.pictures.samples import Samples, eight_bit

CLEAR = 255
"""The index that shows what is below."""
_SHORTEST = 2
"""Hundredths of a second: viewers show a frame with less for a tenth of a second."""
_SAMPLED = 1 << 18  # pixels that colours are chosen from

Indices = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass
class _Pending:
    """A frame that waits for the next one, which decides how long it is shown."""

    box: Box
    indices: Indices  # (h, w)
    colours: bytes
    start: int  # hundredths of a second
    delay: Fraction  # the same, as asked for
    is_cleared: bool = False


class GifFile:
    """Writes a GIF frame by frame, and counts what it cannot hold."""

    def __init__(
        self, file: BinaryIO, height: int, width: int, plays: int, xmp: bytes | None
    ) -> None:
        self._file, self._whole = file, (0, 0, height, width)
        self._below: Samples = np.zeros((height, width, 4), np.uint8)  # what is shown, or asked for
        self._time = Fraction(0)
        self._pending: _Pending | None = None
        self._n_left_out = self._n_shortened = 0
        self._has_partial_alpha = self._is_dithered = False
        write_head(file, height, width, plays, xmp)

    def add(self, frame: Frame) -> None:
        """Leaves out a frame that would follow sooner than viewers can show it.

        Delays are rounded so that their sum is right.
        """
        samples, delay = eight_bit(frame.samples), frame.delay * 100
        start, pending = round(self._time), self._pending
        self._time += delay
        if pending and pending.delay > 1 and start - pending.start < _SHORTEST:
            self._n_left_out += 1
            return
        alpha = samples[..., 3]
        visible = alpha >= 128
        self._has_partial_alpha |= bool(((alpha > 0) & (alpha < 255)).any())
        shown = np.where(visible[..., None], samples, np.uint8(0))
        shown[..., 3] = np.where(visible, np.uint8(255), np.uint8(0))
        changed = (shown != self._below).any(-1)
        if pending and (changed & ~visible).any():  # only clearing can make pixels transparent
            self._clear(pending)
            changed = visible
        self._write_pending(start)
        box = box_of(changed)
        top, left, bottom, right = box
        inside = changed[top:bottom, left:right]
        indices, colours, is_exact = with_colours(samples[top:bottom, left:right, :3], inside)
        self._is_dithered |= not is_exact
        self._pending = _Pending(box, indices, colours, start, delay)
        self._below = shown

    def finish(self) -> list[str]:
        """Write the end; returns what could not be held."""
        if pending := self._pending:
            shortest = _SHORTEST if pending.delay > 1 else 0
            self._write_pending(max(round(self._time), pending.start + shortest))
        write_end(self._file)
        lost = ["GIF has 255 colours per frame: others are dithered"] * self._is_dithered
        lost += ["GIF has no partial transparency: rounded"] * self._has_partial_alpha
        if self._n_left_out:
            lost.append(f"GIF shows at most 50 frames per second: {self._n_left_out} left out")
        return lost + shortened(self._n_shortened, "GIF")

    def _clear(self, pending: _Pending) -> None:
        """Make a pending frame clear the whole picture after it."""
        top, left, bottom, right = pending.box
        whole = np.full(self._whole[2:], CLEAR, np.uint8)
        whole[top:bottom, left:right] = pending.indices
        pending.box, pending.indices, pending.is_cleared = self._whole, whole, True

    def _write_pending(self, end: int) -> None:
        if (pending := self._pending) is None:
            return
        delay = end - pending.start
        self._n_shortened += delay > MAX_DELAY
        write_frame(
            self._file, pending.indices.tobytes(), pending.colours, pending.box, CLEAR,
            min(delay, MAX_DELAY), is_cleared=pending.is_cleared,
        )  # fmt: skip


def with_colours(rgb: Samples, drawn: Mask) -> tuple[Indices, bytes, bool]:
    """Indices (h, w) of RGB (h, w, 3) where `drawn`, `CLEAR` elsewhere, and 256 colours.

    Exact with up to 255 colours, which the third value says, else dithered.
    """
    from PIL import Image

    pixels = rgb[drawn]  # (n, 3)
    indices = np.full(drawn.shape, CLEAR, np.uint8)
    if not len(pixels):
        return indices, bytes(768), True
    few = pixels[:: -(-len(pixels) // _SAMPLED)]
    if len(np.unique(_packed(few))) <= CLEAR:
        values, inverse = np.unique(_packed(pixels), return_inverse=True)
        if len(values) <= CLEAR:
            indices[drawn] = inverse
            table = np.stack([values >> 16, values >> 8, values], 1).astype(np.uint8)
            return indices, table.tobytes().ljust(768, b"\0"), True
    column = Image.fromarray(np.ascontiguousarray(few[:, None]))
    palette = column.quantize(CLEAR, Image.Quantize.FASTOCTREE)
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    dithered = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    indices[drawn] = np.asarray(dithered)[drawn]
    colours = bytes(palette.getpalette() or ())[: 3 * CLEAR]
    return indices, colours.ljust(768, b"\0"), False


def _packed(pixels: Samples) -> npt.NDArray[np.uint32]:
    wide = pixels.astype(np.uint32)
    packed: npt.NDArray[np.uint32] = (wide << np.array([16, 8, 0], np.uint32)).sum(1, np.uint32)
    return packed
