"""What the frames of an animation change, and the canvas that they are drawn on.

Letters: H W the canvas, h w a piece, samples RGBA with straight alpha.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np

from ginr.pictures.rules import MAX_PAGES, WAY_ROUND, UnsupportedError
from ginr.pictures.samples import Samples

Box = tuple[int, int, int, int]
"""top, left, bottom, right."""
Disposal = Literal["keep", "background", "previous"]


class Frame(NamedTuple):
    """A whole frame."""

    samples: Samples
    """(H, W, 4) RGBA with straight alpha, upright."""
    delay: Fraction
    """Seconds."""


@dataclass(frozen=True)
class Piece:
    """What one frame draws."""

    box: Box
    delay: Fraction
    """Seconds that the frame is shown."""
    disposal: Disposal
    """What happens to the box before the next frame: nothing, cleared, or restored."""
    is_blended: bool
    """Whether it is laid over the canvas; else it replaces the box."""
    still: Callable[[], bytes]
    """Makes a file of the piece alone, in the format of the animation."""


@dataclass
class Scan:
    """The structure of an animated file, before anything is decoded."""

    height: int
    width: int
    limited: bool
    plays: int = 1
    """How often it is played; 0 for ever."""
    pieces: list[Piece] = field(default_factory=list)
    is_truncated: bool = False
    """Whether the file ends in a frame."""

    def add(self, piece: Piece) -> None:
        """Raises UnsupportedError for too many frames, if limited."""
        if self.limited and len(self.pieces) == MAX_PAGES:
            raise UnsupportedError(f"has more than {MAX_PAGES} frames: {WAY_ROUND}")
        self.pieces.append(piece)


class Canvas:
    """The picture that frames are drawn on one after another."""

    def __init__(self, height: int, width: int, depth: int) -> None:
        kind = np.uint8 if depth == 8 else np.uint16
        self.samples: Samples = np.zeros((height, width, 4), kind)
        """(H, W, 4), transparent at first."""
        self._undo: Callable[[], None] = lambda: None

    def draw(self, piece: Piece, pixels: Samples) -> None:
        """Dispose of the last piece and draw the next (h, w, 4), clipped to the canvas."""
        self._undo()
        top, left, bottom, right = piece.box
        place = self.samples[top:bottom, left:right]
        pixels = pixels[: place.shape[0], : place.shape[1]]
        before = place.copy() if piece.disposal == "previous" else np.zeros_like(place[:1, :1])

        def undo() -> None:
            if piece.disposal != "keep":
                place[:] = before

        self._undo = undo
        place[:] = _over(pixels, place) if piece.is_blended else pixels


def _over(upper: Samples, lower: Samples) -> Samples:
    """One picture over another, both with straight alpha, rounded."""
    peak = np.iinfo(upper.dtype).max
    alpha = upper[..., 3:]
    mixed = (alpha > 0) & (alpha < peak)
    out = np.where(alpha > 0, upper, lower)
    if not mixed.any():
        return out
    at = np.nonzero(mixed[..., 0])
    a, b = upper[at].astype(np.uint64), lower[at].astype(np.uint64)
    share_a, share_b = a[:, 3:] * peak, b[:, 3:] * (peak - a[:, 3:])
    whole = share_a + share_b
    colour = (a[:, :3] * share_a + b[:, :3] * share_b + whole // 2) // whole
    out[at] = np.concatenate([colour, (whole + peak // 2) // peak], 1).astype(upper.dtype)
    return out
