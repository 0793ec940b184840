"""Write animations as GIF, APNG or WebP, frame by frame, while the next frames are made."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from ginr.animations.apng import ApngFile
from ginr.animations.gif_frames import GifFile, box_of
from ginr.animations.reader import Frame
from ginr.animations.webp import MAX_DELAY, WebpFile
from ginr.errors import PictureError, printable
from ginr.pictures import Picture
from ginr.pictures.formats import (
    Format,
    check_place,
    check_size,
    output_format,
    unfit_reason,
    unheld,
)
from ginr.pictures.samples import Samples
from ginr.pictures.writer import as_stored, encoded, sized, whole_file
from ginr.pictures.writer_thread import while_made

_GIF = Format(
    "GIF", (".gif",), 65_535, has_grey=False, has_exif=False, has_icc=False, has_dpi=False
)
ANIMATED = frozenset((".gif", ".png", ".apng", ".webp"))
"""Suffixes of outputs that hold all frames."""


def animation_format(path: Path) -> Format:
    """The format of a path with one of the suffixes `ANIMATED`."""
    suffix = path.suffix.lower()
    if suffix == ".gif":
        return _GIF
    return replace(output_format(Path("a" + suffix.replace("apng", "png"))), has_grey=False)


def check_animation(
    path: Path, height: int, width: int, *, overwrite: bool, quality: int | None
) -> None:
    """Raises PictureError if an animation of this size could not be written to the path."""
    format, name = animation_format(path), printable(path)
    if quality is not None and format.name != "WEBP":
        raise PictureError(f"{name}: quality {quality} does not apply: only to .webp")
    check_size(name, format, height, width, 0, "use a smaller size")
    check_place(path, overwrite)


def animation_losses(like: Picture, path: Path) -> list[str]:
    """What the format of the path's suffix cannot hold of the metadata and the depth."""
    return unheld(like, animation_format(path))


class _File(Protocol):
    def add(self, frame: Frame) -> None: ...

    def finish(self) -> list[str]:
        """Write the end; returns what could not be held."""


def write_animation(
    frames: Iterable[Frame],
    like: Picture,
    plays: int,
    path: Path,
    *,
    height: int,
    width: int,
    overwrite: bool = False,
    quality: int | None = None,
) -> list[str]:
    """Writes frames (height, width, 4) as they come, all or nothing; returns what was not held.

    `like` gives the metadata, `plays` how often it is played, 0 for ever. WebP is lossless unless
    `quality` is given. Raises PictureError.
    """
    format, lost = animation_format(path), list[str]()
    like = sized(like, height, width)
    if like.icc and unfit_reason(format, "ICC profile", like.icc, False):
        like = replace(like, icc=None)
    if like.xmp and unfit_reason(format, "XMP", like.xmp, False):
        like = replace(like, xmp=None)
    with whole_file(path, overwrite) as file:
        out: _File
        if format.name == "GIF":
            out = _Gif(file, height, width, plays, like.xmp)
        elif format.name == "PNG":
            out = _Apng(file, like, plays)
        else:
            out = _Webp(file, like, plays, quality)

        def write(arriving: Iterator[Frame]) -> None:
            for frame in arriving:
                out.add(frame)
            lost.extend(out.finish())

        while_made(frames, write, cut=lambda frame: [frame])
    return lost


class _Gif:
    def __init__(
        self, file: BinaryIO, height: int, width: int, plays: int, xmp: bytes | None
    ) -> None:
        self._file = GifFile(file, height, width, plays, xmp)

    def add(self, frame: Frame) -> None:
        self._file.add(_eight_bit(frame.samples), frame.delay)

    def finish(self) -> list[str]:
        out = self._file
        out.finish()
        lost = ["GIF has 255 colours per frame: others are dithered"] * out.is_dithered
        if out.has_partial_alpha:
            lost.append("GIF has no partial transparency: rounded")
        if out.n_left_out:
            lost.append(f"GIF shows at most 50 frames per second: {out.n_left_out} left out")
        return lost + _shortened(out.n_shortened, "GIF")


class _Changes:
    """The boxes that frames change, as pictures."""

    def __init__(self, like: Picture, grid: int = 1) -> None:
        self._like, self._grid = like, grid
        self._last: Samples | None = None

    def of(self, samples: Samples) -> tuple[Picture, tuple[int, int, int, int]]:
        """The first frame with its metadata, or what has changed; top and left are on the grid."""
        last, self._last = self._last, samples
        if last is None:
            return replace(self._like, samples=samples), (0, 0, *samples.shape[:2])
        top, left, bottom, right = box_of((samples != last).any(-1))
        top, left = top // self._grid * self._grid, left // self._grid * self._grid
        part = np.ascontiguousarray(samples[top:bottom, left:right])
        return Picture(part), (top, left, bottom, right)


class _Apng:
    def __init__(self, file: BinaryIO, like: Picture, plays: int) -> None:
        self._file, self._changes = ApngFile(file, plays), _Changes(like)

    def add(self, frame: Frame) -> None:
        picture, box = self._changes.of(frame.samples)
        self._file.add(encoded(picture, ".png"), box, frame.delay)

    def finish(self) -> list[str]:
        self._file.finish()
        return []


class _Webp:
    def __init__(self, file: BinaryIO, like: Picture, plays: int, quality: int | None) -> None:
        self._file, self._changes = WebpFile(file, plays), _Changes(like, 2)
        self._quality, self._time, self._shown = quality, Fraction(0), 0
        self._n_shortened = 0

    def add(self, frame: Frame) -> None:
        picture, box = self._changes.of(_eight_bit(frame.samples))
        self._time += frame.delay * 1000
        delay = round(self._time) - self._shown  # so that the sum is right
        self._shown += delay
        self._n_shortened += delay > MAX_DELAY
        still = encoded(picture, ".webp", self._quality)
        self._file.add(still, box, min(delay, MAX_DELAY))

    def finish(self) -> list[str]:
        self._file.finish()
        return _shortened(self._n_shortened, "WEBP")


def _shortened(n: int, name: str) -> list[str]:
    return [f"{name} cannot show a frame so long: {n} shortened"] if n else []


def _eight_bit(samples: Samples) -> Samples:
    if samples.dtype == np.uint8:
        return samples
    return as_stored(samples, Picture(samples), _GIF)


Progress = Callable[[int, int], None]
