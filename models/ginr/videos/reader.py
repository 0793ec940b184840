"""Read videos: what a file holds, and its frames as RGB samples."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ginr.errors import PictureError, printable
from ginr.pictures.rules import MAX_PIXELS
from ginr.pictures.samples import Samples
from ginr.videos.provenance import facts_of

if TYPE_CHECKING:
    from av.container import InputContainer

VIDEOS = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg",
    ".wmv", ".flv", ".ogv", ".3gp",
))  # fmt: skip
"""Suffixes of files that are read as videos."""
_SUFFIXES = {
    "mov": ".mp4", "matroska": ".mkv", "avi": ".avi", "mpegts": ".ts", "mpeg": ".mpg",
    "asf": ".wmv", "flv": ".flv", "ogg": ".ogv",
}  # fmt: skip
"""By FFmpeg's names of formats."""
_PROTECTED = ("encv", "drmi")  # codec tags of encrypted samples in MP4
SCALER = 0x4 | 0x2000 | 0x40000
"""Bicubic chroma at full resolution, rounded: without the last two flags, colours lose a level."""
SPECIFIED = (1, 4, 5, 6, 7, 9)  # matrices of ITU-T H.273 that the converter knows


@dataclass(frozen=True)
class Video:
    """What a file says of its video."""

    height: int
    width: int
    depth: int
    """Bits of a sample."""
    n_frames: int
    """As the file states it or its length suggests; at least 1."""
    notes: tuple[str, ...]
    """What is not read, each as a phrase."""
    made: Mapping[str, str]
    """How it was made, if ginr did."""


def pyav() -> Any:
    """PyAV. Raises PictureError without it."""
    try:
        import av
    except ImportError:
        raise PictureError('videos need PyAV: pip install "ginr[video]"') from None
    # Its warnings would not be lines of ours; and at any level but None a decoder's thread that logs waits
    # for the interpreter, which may be waiting for the thread to end.
    av.logging.set_level(None)
    return av


@contextmanager
def opened(path: Path) -> Iterator["InputContainer"]:
    """The container of a video. Raises PictureError if it cannot be opened."""
    av, name = pyav(), printable(path)
    if path.is_dir():
        raise PictureError(f"{name} is a folder: name a file in it")
    if not path.exists():
        raise PictureError(f"{name} does not exist: check the name")
    try:  # no other protocol: a playlist must not reach the network
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except PermissionError:
        raise PictureError(f"{name} cannot be read: check its permissions") from None
    except (av.error.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PictureError(
            f"{name} is not a video, or is damaged or incomplete ({reason}): download or copy it again"
        ) from error
    with container:
        yield container


def video_stream(container: "InputContainer", name: str) -> Any:
    """The stream that is enlarged. Raises PictureError if there is none that can be decoded."""
    av = pyav()
    streams = [s for s in container.streams.video if not is_cover(s)]
    if not streams:
        raise PictureError(f"{name} contains no video: use a file with a video stream")
    stream = streams[0]
    if stream.codec_context is None or str(stream.codec_context.codec_tag) in _PROTECTED:
        raise PictureError(
            f"{name} is protected (DRM) or of an unknown codec: its video cannot be decoded"
        )
    if not (stream.codec_context.width and stream.codec_context.height):
        raise PictureError(f"{name} is damaged (its video has no size): download or copy it again")
    stream.thread_type = av.codec.context.ThreadType.AUTO
    return stream


def is_cover(stream: Any) -> bool:
    """Whether a video stream is cover art."""
    return "attached_pic" in str(stream.disposition)


def open_video(path: Path) -> Video:
    """Describes the video in a file. Raises PictureError if it has none that can be read."""
    name = printable(path)
    with opened(path) as container:
        stream = video_stream(container, name)
        context = stream.codec_context
        height, width = context.height, context.width
        if height * width > MAX_PIXELS:
            raise PictureError(f"{name} claims {width}x{height} pixels: no video is that large")
        notes = []
        others = [s for s in container.streams.video if s is not stream]
        if n_covers := sum(map(is_cover, others)):
            notes.append(f"{n_covers} cover picture(s) left out")
        if len(others) > n_covers:
            notes.append(f"{len(others) - n_covers} more video stream(s) left out")
        if n := len(container.streams.data) + len(container.streams.attachments):
            notes.append(f"{n} stream(s) of data left out")
        if has_alpha(context.format):
            notes.append("transparency left out")
        return Video(
            height, width, depth_of(context.format), _n_frames(stream), tuple(notes),
            facts_of(container.metadata),
        )  # fmt: skip


def suffix_of(path: Path) -> str | None:
    """The suffix that fits the contents of a video; None for any other file."""
    try:
        with opened(path) as container:
            video_stream(container, printable(path))
            names = container.format.name.split(",")
            return next((_SUFFIXES[name] for name in names if name in _SUFFIXES), None)
    except PictureError:
        return None


def has_alpha(format: Any) -> bool:
    return format is not None and ("yuva" in format.name or "a" in format.name.split("p")[0][-5:-3])


def depth_of(format: Any) -> int:
    """Bits of a sample of a pixel format."""
    return max((c.bits for c in format.components), default=8) if format is not None else 8


def _n_frames(stream: Any) -> int:
    if stream.frames:
        return int(stream.frames)
    rate, seconds = stream.average_rate or stream.guessed_rate or 25, 0.0
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif stream.container.duration:
        seconds = stream.container.duration / 1e6
    return max(1, round(seconds * rate))


def rgb_of(frame: Any) -> Samples:
    """(H, W, 3) RGB of a frame: uint8, or uint16 for more than 8 bits."""
    deep = depth_of(frame.format) > 8
    settings: dict[str, Any] = {"format": "rgb48le" if deep else "rgb24"}
    if int(frame.colorspace) in SPECIFIED:
        settings["src_colorspace"] = int(frame.colorspace)
    if int(frame.color_range) in (1, 2):
        settings["src_color_range"] = int(frame.color_range)
    rgb = frame.reformat(**settings, interpolation=SCALER).to_ndarray()
    return np.ascontiguousarray(rgb)


def sample_frame(path: Path) -> Samples:
    """A frame from the first third of a video, since many begin with black ones."""
    av = pyav()
    with opened(path) as container:
        stream = video_stream(container, printable(path))
        for share in (Fraction(1, 3), Fraction(0)):
            try:
                if share and not container.duration:
                    continue
                container.seek(int((container.duration or 0) * share))
                for frame in container.decode(stream):
                    return rgb_of(frame)
            except av.error.FFmpegError:
                continue
    raise PictureError(f"{printable(path)} has no frame that can be decoded: use another file")
