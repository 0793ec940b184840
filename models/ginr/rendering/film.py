"""Write frames as a video, as an animation, or as a folder of PNG files."""

import os
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ginr.animations import ANIMATED, Frame, animation_losses, check_animation, write_animation
from ginr.errors import PictureError, printable
from ginr.part_files import part_of
from ginr.pictures import Picture
from ginr.pictures.display import displayed
from ginr.pictures.formats import Format, check_place, losses_in, output_format
from ginr.pictures.samples import Samples
from ginr.pictures.writer import disk_errors, encoded, with_sizes
from ginr.videos import WRITABLE_VIDEOS, Encoding, check_video, write_frames

_FRAME = re.compile(r"frame_\d+\.png")
_VIDEO = Format(
    "a video", (), 16_384, has_alpha=False, has_metadata=False, has_icc=False, has_dpi=True
)
TOO_FAST = 100
"""Frames per second of an animation: browsers show what has 10 ms or less for 100."""
QUALITY = 90
"""Of WebP: a lossless film is many times as large."""


def is_folder(path: Path) -> bool:
    """Whether frames go into a folder: the path has no suffix, or is a folder."""
    return not path.suffix or path.is_dir()


def check_film(path: Path, height: int, width: int, *, fps: float, overwrite: bool) -> None:
    """Raises PictureError if a film could not be written to the path."""
    name, suffix = printable(path), path.suffix.lower()
    if is_folder(path):
        _check_folder(path, overwrite)
    elif suffix in ANIMATED:
        if fps >= TOO_FAST:
            raise PictureError(
                f"{name}: {fps:g} frames per second are too many for an animation, since viewers "
                "show frames of 10 ms or less for 100: use fewer than 100, or a video"
            )
        check_animation(path, height, width, overwrite=overwrite, quality=None)
    elif suffix in WRITABLE_VIDEOS:
        check_video(path, height, width, 8, Encoding(), overwrite=overwrite)
        if height % 2 or width % 2:
            raise PictureError(
                f"{name}: videos need even sides, not {width}x{height}: choose another size"
            )
    else:
        known = ", ".join(sorted(ANIMATED | WRITABLE_VIDEOS))
        raise PictureError(
            f"{name}: {path.suffix!r} is not a video format: use {known}, or a folder for PNG frames"
        )


def write_film(
    frames: Iterable[Samples],
    like: Picture,
    path: Path,
    *,
    height: int,
    width: int,
    fps: float,
    overwrite: bool = False,
) -> list[str]:
    """Writes frames (height, width, C) as they come, all or nothing; returns what was not held.

    `like` gives channels, depth and metadata; videos are 8-bit sRGB, with transparency placed on
    white. Raises PictureError.
    """
    if is_folder(path):
        _write_folder(frames, with_sizes(like, height, width), path, overwrite)
        return losses_in(like, output_format(Path("a.png")))
    suffix = path.suffix.lower()
    if suffix in WRITABLE_VIDEOS:
        write_frames(
            (np.asarray(displayed(replace(like, samples=frame))) for frame in frames), path,
            height=height, width=width, fps=fps, overwrite=overwrite,
        )  # fmt: skip
        converted = ["ICC profile dropped: converted to sRGB"] if like.icc else []
        return [*converted, *losses_in(replace(like, icc=None), _VIDEO)]
    delay = 1 / Fraction(fps).limit_denominator(1001)
    lost = write_animation(
        (Frame(_with_alpha(frame), delay) for frame in frames), like, 0, path,
        height=height, width=width, overwrite=overwrite, quality=QUALITY if suffix == ".webp" else None,
    )  # fmt: skip
    return [*animation_losses(like, path), *lost]


def _with_alpha(frame: Samples) -> Samples:
    """A frame (H, W, C) as RGBA."""
    n_alpha = 1 - frame.shape[2] % 2
    colour, alpha = np.split(frame, [frame.shape[2] - n_alpha], -1)
    if not n_alpha:
        alpha = np.full_like(frame[..., :1], np.iinfo(frame.dtype).max)
    return np.concatenate([np.broadcast_to(colour, (*frame.shape[:2], 3)), alpha], -1)


def _check_folder(path: Path, overwrite: bool) -> None:
    name = printable(path)
    if not path.is_dir():
        check_place(path, overwrite)
        return
    others = [entry.name for entry in path.iterdir() if not _FRAME.fullmatch(entry.name)]
    if others:
        raise PictureError(
            f"{name} contains other files, such as {others[0]}: choose a new or empty folder"
        )
    if not overwrite and any(path.iterdir()):
        raise PictureError(f"{name} already contains frames: add --overwrite to replace them")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PictureError(f"{name}: its parent folder is not writable: choose another")


def _write_folder(frames: Iterable[Samples], like: Picture, path: Path, overwrite: bool) -> None:
    """Writes frames into a hidden folder, which is renamed when complete."""
    target = Path(os.path.realpath(path))
    former = target.with_name(f".ginr-{secrets.token_hex(8)}.old")
    try:
        with disk_errors(path), part_of(target, is_folder=True) as part:
            for number, frame in enumerate(frames, 1):
                file = part.path / f"frame_{number:05}.png"
                file.write_bytes(encoded(replace(like, samples=frame), ".png"))
            _check_folder(path, overwrite)  # again: the work took time
            if target.is_dir():
                target.rename(former)
            part.rename()
    finally:
        if former.is_dir() and not target.exists():
            former.rename(target)
        shutil.rmtree(former, ignore_errors=True)
