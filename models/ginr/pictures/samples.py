"""What a picture is in memory: integer samples with straight alpha, and what travels with them.

Letters: H W height and width of the picture, h w of a box in it, C channels (1 grey, 2 grey and
alpha, 3 RGB, 4 RGBA).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ginr.array_types import Planes
from ginr.errors import PictureError

Samples = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, the right way up; raises PictureError when the samples are not what they claim."""

    samples: Samples
    """(H, W, C) uint8 or uint16, contiguous, straight alpha."""
    icc: bytes | None = None
    """ICC profile of the samples."""
    exif: bytes | None = None
    """TIFF-structured EXIF block without the "Exif" prefix; its orientation, if any, says 1."""
    xmp: bytes | None = None
    """XMP packet."""
    dpi: tuple[float, float] | None = None
    """Dots per inch, (x, y), 1 to 65535."""
    text: tuple[tuple[str, str], ...] = ()
    """PNG text chunks as (keyword, text), such as the prompt of a generated picture."""
    notes: tuple[str, ...] = ()
    """What was converted or left behind in reading, each as a phrase for a person."""

    def __post_init__(self) -> None:
        samples = self.samples
        if samples.dtype not in (np.uint8, np.uint16):
            raise PictureError(f"samples must be uint8 or uint16, not {samples.dtype}")
        if samples.ndim != 3 or samples.shape[2] not in (1, 2, 3, 4) or 0 in samples.shape:
            raise PictureError(f"samples must be (H, W, 1 to 4), not {samples.shape}")
        if not samples.flags.c_contiguous:
            raise PictureError("samples must be contiguous: pass them through ascontiguousarray")
        if self.dpi is not None and not is_credible(self.dpi):
            raise PictureError(f"dpi must be 1 to 65535, not {self.dpi}")

    @property
    def height(self) -> int:
        return int(self.samples.shape[0])

    @property
    def width(self) -> int:
        return int(self.samples.shape[1])

    @property
    def channels(self) -> int:
        return int(self.samples.shape[2])

    @property
    def depth(self) -> int:
        """Bits of a sample: 8 or 16."""
        return self.samples.dtype.itemsize * 8

    @property
    def has_alpha(self) -> bool:
        return self.channels in (2, 4)

    @property
    def is_grey(self) -> bool:
        return self.channels < 3

    @property
    def is_opaque(self) -> bool:
        """Whether no sample of alpha is below its peak; True without alpha."""
        return not self.has_alpha or bool((self.samples[..., -1] == 2**self.depth - 1).all())

    def pixels(self, top: int, left: int, bottom: int, right: int) -> Planes:
        """The box [top, bottom) x [left, right) for the network, its colour premultiplied by alpha.

        Returns (C, h, w) float32 in [0, 1].
        """
        box = self.samples[top:bottom, left:right].transpose(2, 0, 1)  # (C, h, w)
        # Divided, not multiplied by the inverse: opaque must come out as exactly 1.
        planes = np.divide(box, np.float32(2**self.depth - 1), dtype=np.float32, order="C")
        if self.has_alpha:
            planes[:-1] *= planes[-1]
        return planes


def is_credible(dpi: tuple[float, float]) -> bool:
    """Whether every format that holds a resolution can hold this one."""
    return all(1 <= side <= 65535 for side in dpi)


@dataclass(frozen=True)
class PictureHeader:
    """What a file's header says, after its orientation is applied."""

    height: int
    width: int
    channels: int
    depth: int
    format: str


def quantize(planes: Planes, depth: int, has_alpha: bool) -> Samples:
    """Rounds premultiplied planes, half up, to integer samples with straight alpha.

    planes (C, h, w) in [0, 1]; values outside are clipped. Returns (h, w, C) uint8 or uint16.
    Where alpha rounds to its peak the colour is not divided, where it rounds to 0 the colour is 0;
    where alpha overshoots its peak, as it does beside an edge, so did the colour: it is divided.
    """
    peak = np.float32(2**depth - 1)
    kind = np.uint8 if depth == 8 else np.uint16
    samples = np.empty((*planes.shape[1:], planes.shape[0]), kind)  # (h, w, C)
    for channel in reversed(range(planes.shape[0])):  # alpha is last, and the colours need it
        plane = planes[channel]  # (h, w)
        if has_alpha and channel < planes.shape[0] - 1:
            alpha = samples[..., -1]
            overshoot = planes[-1] > 1 + 0.5 / peak
            partial = (alpha > 0) & ((alpha < peak) | overshoot)
            plane = np.where(alpha == 0, np.float32(0), plane)
            np.divide(plane, planes[-1], out=plane, where=partial)
        level = np.clip(plane, 0, 1) * peak
        level += np.float32(0.5)
        samples[..., channel] = level  # a cast of a positive float truncates: this is floor
    return samples


def strips(bands: Iterable[Samples], n_rows: int) -> Iterator[Samples]:
    """The same rows (h, W, C) in strips of `n_rows`, the last of which may have fewer."""
    rest: Samples | None = None
    for band in bands:
        if rest is not None:
            n_missing = n_rows - len(rest)
            rest, band = np.concatenate([rest, band[:n_missing]]), band[n_missing:]
            if len(rest) < n_rows:
                continue
            yield rest
        n_whole = len(band) // n_rows * n_rows
        for top in range(0, n_whole, n_rows):
            yield band[top : top + n_rows]
        rest = band[n_whole:].copy() if n_whole < len(band) else None  # a view would keep it all
        del band  # not to be held while the next one is made
    if rest is not None:
        yield rest
