"""Write frames as a video: MP4 by FFmpeg, GIF and WebP by Pillow, or a folder of PNG files."""

import contextlib
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ginr.errors import PictureError, printable
from ginr.part_files import part_of
from ginr.pictures import Picture, write_picture
from ginr.pictures.formats import Format, check_place, check_size
from ginr.pictures.samples import Samples
from ginr.pictures.writer import as_stored, whole_file

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = {
    ".mp4": Format("MP4", (".mp4",), 16_384, has_alpha=False, has_metadata=False),
    ".gif": Format("GIF", (".gif",), 65_535, has_alpha=False, has_metadata=False),
    ".webp": Format("WEBP", (".webp",), 16_383, has_alpha=False, has_metadata=False),
}
_FRAME = re.compile(r"frame_\d+\.png")
MAX_HELD = 4 << 30  # bytes of frames: Pillow holds all of a WebP


def is_folder(path: Path) -> bool:
    """Whether frames go into a folder: the path has no suffix, or is a folder."""
    return not path.suffix or path.is_dir()


def check_film(path: Path, height: int, width: int, n_frames: int, *, overwrite: bool) -> None:
    """Raises PictureError if a video could not be written to the path."""
    name = printable(path)
    if is_folder(path):
        _check_folder(path, overwrite)
        return
    format = _FORMATS.get(path.suffix.lower())
    if format is None:
        known = ", ".join(_FORMATS)
        raise PictureError(
            f"{name}: {path.suffix!r} is not a video format: use {known}, or a folder for PNG frames"
        )
    check_size(name, format, height, width, 0, "use a smaller size")
    if format.name == "MP4":
        if height % 2 or width % 2:
            raise PictureError(
                f"{name}: MP4 needs even sides, not {width}x{height}: choose another size"
            )
        _ffmpeg()
    if format.name == "WEBP" and (n_bytes := height * width * 3 * n_frames) > MAX_HELD:
        raise PictureError(
            f"{name}: {n_frames} frames of {width}x{height} need {n_bytes / 2**30:.1f} GiB of "
            "memory: use .mp4, a smaller size or fewer frames"
        )
    check_place(path, overwrite)


def write_film(
    frames: Iterable[Samples], like: Picture, path: Path, *, fps: float, overwrite: bool = False
) -> None:
    """Writes frames (H', W', C) as they come, all or nothing; raises PictureError.

    `like` gives channels, depth and metadata, which PNG frames keep; videos are 8-bit RGB, with
    transparency placed on white.
    """
    if is_folder(path):
        _write_folder(frames, like, path, overwrite)
        return
    format = _FORMATS[path.suffix.lower()]
    rgb = (_rgb(frame, like, format) for frame in frames)
    with whole_file(path, overwrite) as file:
        if format.name == "MP4":
            _write_mp4(rgb, file, fps)
        else:
            _write_with_pillow(rgb, file, format, fps)


def _rgb(frame: Samples, like: Picture, format: Format) -> Samples:
    held = as_stored(frame, like, format)
    return np.ascontiguousarray(np.broadcast_to(held, (*held.shape[:2], 3)))


def _ffmpeg() -> str:
    """The program of imageio-ffmpeg, or that of IMAGEIO_FFMPEG_EXE."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise PictureError(
            'MP4 needs FFmpeg: pip install imageio-ffmpeg (or "ginr[video]"), or write .webp or .gif'
        ) from None


def _write_mp4(frames: Iterator[Samples], file: BinaryIO, fps: float) -> None:
    first = next(frames)
    height, width, _ = first.shape
    rate = str(Fraction(fps).limit_denominator(1001))
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate]
    colours = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709"]
    colours += ["-color_primaries", "bt709", "-color_trc", "bt709"]
    codec = ["-c:v", "libx264", "-crf", "16", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    command = [_ffmpeg(), "-v", "error", "-y", *source, "-i", "-", *colours, *codec, "-f", "mp4"]
    process = subprocess.Popen(
        [*command, file.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that Ctrl+C reaches only this process
    )
    assert process.stdin and process.stderr
    with process:
        try:
            with contextlib.suppress(BrokenPipeError):  # its message is read below
                for frame in chain([first], frames):
                    process.stdin.write(frame.data)
                process.stdin.close()
            words = process.stderr.read().decode(errors="replace")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        reason = words.strip().splitlines()[-1] if words.strip() else f"code {process.returncode}"
        raise PictureError(f"FFmpeg failed ({reason}): free some space, or write .webp or .gif")


def _write_with_pillow(
    frames: Iterator[Samples], file: BinaryIO, format: Format, fps: float
) -> None:
    from PIL import Image

    def images() -> Iterator["Image.Image"]:
        for frame in frames:
            image = Image.fromarray(frame)
            yield image.quantize(256) if gif else image

    gif = format.name == "GIF"
    rest = images()
    options = {} if gif else {"quality": 90, "method": 4}
    next(rest).save(
        file, format.name, save_all=True, append_images=rest, duration=1000 / fps, loop=0, **options
    )


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
        with part_of(target, is_folder=True) as part:
            for number, frame in enumerate(frames, 1):
                picture = replace(like, samples=frame)
                write_picture(picture, part.path / f"frame_{number:05}.png")
            _check_folder(path, overwrite)  # again: the work took time
            if target.is_dir():
                target.rename(former)
            part.rename()
    except OSError as error:
        reason = error.strerror or str(error)
        raise PictureError(
            f"{printable(path)} cannot be written ({reason}): choose another"
        ) from error
    finally:
        if former.is_dir() and not target.exists():
            former.rename(target)
        shutil.rmtree(former, ignore_errors=True)
