"""Write animations as GIF, APNG or WebP, frame by frame, while the next frames are made."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ginr.animations.apng import ApngFile
from ginr.animations.gif_frames import GifFile
from ginr.animations.pieces import Frame
from ginr.animations.webp import WebpFile
from ginr.errors import PictureError, printable
from ginr.pictures import Picture
from ginr.pictures.formats import (
    Format,
    check_place,
    check_size,
    losses_in,
    output_format,
    unfit_reason,
)
from ginr.pictures.writer import whole_file, with_sizes
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
    return losses_in(like, animation_format(path))


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
    like = with_sizes(like, height, width)
    if like.icc and unfit_reason(format, "ICC profile", like.icc, False):
        like = replace(like, icc=None)
    if like.xmp and unfit_reason(format, "XMP", like.xmp, False):
        like = replace(like, xmp=None)
    with whole_file(path, overwrite) as file:
        out: GifFile | ApngFile | WebpFile
        if format.name == "GIF":
            out = GifFile(file, height, width, plays, like.xmp)
        elif format.name == "PNG":
            out = ApngFile(file, like, plays)
        else:
            out = WebpFile(file, like, plays, quality)

        def write(arriving: Iterator[Frame]) -> None:
            for frame in arriving:
                out.add(frame)
            lost.extend(out.finish())

        while_made(frames, write, cut=lambda frame: [frame])
    return lost
