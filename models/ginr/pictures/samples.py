"""A picture in memory: integer samples with straight alpha, and metadata.

Letters: H W height and width of the picture, h w of a box in it, C channels (1 grey, 2 grey and
alpha, 3 RGB, 4 RGBA).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ginr.array_types import Planes
from ginr.errors import PictureError
from ginr.pictures.provenance import provenance

if TYPE_CHECKING:
    from PIL import Image

Samples = npt.NDArray[np.unsignedinteger[Any]]


SHOWN = 2048
"""Largest side of a picture in a notebook."""


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A picture, upright. Raises PictureError for samples of another type or shape."""

    samples: Samples
    """(H, W, C) uint8 or uint16, contiguous, straight alpha."""
    icc: bytes | None = None
    """ICC profile of the samples."""
    exif: bytes | None = None
    """TIFF-structured EXIF block without the "Exif" prefix; its orientation, if any, is 1."""
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    """Dots per inch, (x, y), 1 to 65535."""
    text: tuple[tuple[str, str], ...] = ()
    """Texts (keyword, text): PNG text chunks, such as a prompt, and the comment of a JPEG."""
    cicp: tuple[int, int, int, int] | None = None
    """Colour space of HDR samples (PQ, HLG), which ICC profiles cannot express, in numbers of ITU-T H.273:
    primaries, transfer, 0 for RGB, 1 for full range."""
    jpeg_quality: int | None = None
    """Quality, 1 to 100, of the JPEG it was read from; None if it was not."""
    notes: tuple[str, ...] = ()
    """What was converted or dropped when reading, each as a phrase."""

    _write: ClassVar[Any]
    """`write_picture`, and `encoded`: set by the package, since they need this class."""
    _encode: ClassVar[Any]

    def __post_init__(self) -> None:
        samples = self.samples
        if samples.dtype not in (np.uint8, np.uint16):
            raise PictureError(f"samples must be uint8 or uint16, not {samples.dtype}")
        if samples.ndim != 3 or samples.shape[2] not in (1, 2, 3, 4) or 0 in samples.shape:
            raise PictureError(f"samples must be (H, W, 1 to 4), not {samples.shape}")
        if not samples.flags.c_contiguous:
            raise PictureError("samples must be contiguous: use numpy.ascontiguousarray")
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
        """Whether there is no alpha, or all of it is at its peak."""
        return not self.has_alpha or bool((self.samples[..., -1] == 2**self.depth - 1).all())

    @property
    def array(self) -> Samples:
        """The samples as most libraries hold them: (H, W) if grey, else (H, W, 2 to 4). Not a copy."""
        return self.samples[..., 0] if self.channels == 1 else self.samples

    def pil(self) -> "Image.Image":
        """A PIL image: L, LA, RGB, RGBA, or I;16 for 16-bit grey, with profile, EXIF and dpi.

        PIL has no other 16-bit samples: they are rounded to 8 bits.
        """
        from PIL import Image

        grey = self.channels == 1
        image = Image.fromarray(self.samples[..., 0] if grey else eight_bit(self.samples))
        exif = self.exif and b"Exif\0\0" + self.exif
        info = {"icc_profile": self.icc, "exif": exif, "xmp": self.xmp, "dpi": self.dpi}
        image.info.update({name: value for name, value in info.items() if value is not None})
        return image

    def save(
        self, path: str | Path, *, overwrite: bool = False, quality: int | None = None
    ) -> None:
        """Write a file in the format of the path's suffix, all or nothing; raises PictureError.

        What the format cannot hold is left out, see `ginr.pictures.losses`. `quality` (1 to 100) is for
        JPEG (default 95), AVIF (90), WebP and JPEG XL (lossless by default).
        """
        self._write(Path(path), overwrite=overwrite, quality=quality)

    def _repr_png_(self) -> bytes:
        """A PNG for notebooks, at most `SHOWN` pixels on a side."""
        n = -(-max(self.height, self.width) // SHOWN)
        part = np.ascontiguousarray(self.samples[::n, ::n])
        data: bytes = self._encode(Picture(part, icc=self.icc, cicp=self.cicp), ".png")
        return data

    def __repr__(self) -> str:
        kind = ("grey", "grey and alpha", "RGB", "RGBA")[self.channels - 1]
        return f"<Picture {self.width}x{self.height}, {kind}, {self.depth} bit>"

    def pixels(self, top: int, left: int, bottom: int, right: int) -> Planes:
        """The box [top, bottom) x [left, right) for the network: (C, h, w) float32 in [0, 1].

        Colour is premultiplied by alpha.
        """
        box = self.samples[top:bottom, left:right].transpose(2, 0, 1)  # (C, h, w)
        # Division, not multiplication by the inverse, makes opaque exactly 1.
        planes = np.divide(box, np.float32(2**self.depth - 1), dtype=np.float32, order="C")
        if self.has_alpha:
            planes[:-1] *= planes[-1]
        return planes


def eight_bit(samples: Samples) -> Samples:
    """Samples of any shape as uint8, rounded."""
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def is_credible(dpi: tuple[float, float]) -> bool:
    """Whether all formats with a resolution can store this one."""
    return all(1 <= side <= 65535 for side in dpi)


@dataclass(frozen=True)
class PictureHeader:
    """What a file's header says, with the orientation applied."""

    height: int
    width: int
    channels: int
    depth: int
    format: str
    pages: tuple[tuple[int, int], ...]
    """Sizes (H, W) of the pages of a TIFF; one for other formats."""
    xmp: bytes | None = None
    n_frames: int = 1
    """Frames of an animation or a video, or pictures in the file."""
    is_video: bool = False
    notes: tuple[str, ...] = ()
    """What is not read of a video, each as a phrase."""
    stated: Mapping[str, str] = field(default_factory=dict)
    """How a video says it was made; pictures do so in their XMP."""

    @property
    def made(self) -> Mapping[str, str]:
        """How it was made, if ginr did."""
        return self.stated or provenance(self.xmp)


def quantize(planes: Planes, depth: int, has_alpha: bool) -> Samples:
    """Rounds premultiplied planes (C, h, w), half up, to samples (h, w, C) with straight alpha.

    Values outside [0, 1] are clipped; samples are uint8 or uint16. Where alpha rounds to 0, the
    colour is 0. It is divided by alpha unless that rounds to its peak; but also where alpha
    overshoots the peak, as it does near edges, because the colour then does so as well.
    """
    peak = np.float32(2**depth - 1)
    kind = np.uint8 if depth == 8 else np.uint16
    samples = np.empty((*planes.shape[1:], planes.shape[0]), kind)  # (h, w, C)
    for channel in reversed(range(planes.shape[0])):  # alpha, the last, is needed for the colours
        plane = planes[channel]  # (h, w)
        if has_alpha and channel < planes.shape[0] - 1:
            alpha = samples[..., -1]
            overshoot = planes[-1] > 1 + 0.5 / peak
            partial = (alpha > 0) & ((alpha < peak) | overshoot)
            plane = np.where(alpha == 0, np.float32(0), plane)
            np.divide(plane, planes[-1], out=plane, where=partial)
        level = np.clip(plane, 0, 1) * peak
        level += np.float32(0.5)
        samples[..., channel] = level  # casting a positive float rounds down
    return samples


def strips(bands: Iterable[Samples], n_rows: int) -> Iterator[Samples]:
    """Rows (h, W, C) in strips of `n_rows`; the last one may have fewer."""
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
        # A copy, since a view would keep the whole band.
        rest = band[n_whole:].copy() if n_whole < len(band) else None
        del band  # frees it while the next one is made
    if rest is not None:
        yield rest
