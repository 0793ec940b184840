"""Encode the frames of a video, in segments that join without encoding again."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ginr.errors import PictureError
from ginr.pictures.samples import Samples
from ginr.videos.reader import SCALER, SPECIFIED, depth_of, pyav
from ginr.videos.segments import Segment
from ginr.videos.writer import Encoding, pixel_format, stretched

SEGMENT_FRAMES = 250  # as x264 and x265 leave between keyframes, so that files are no larger
SEGMENT_BYTES = 64 << 20
"""A segment ends at either of them, whichever is reached first."""
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class FrameEncoder:
    """Encodes enlarged frames; every segment by a new encoder, so that it begins with a keyframe."""

    def __init__(
        self,
        stream: Any,
        first: Any,
        size: tuple[int, int],
        encoding: Encoding,
        suffix: str,
        output: str,
    ) -> None:
        """For frames like `first` of a stream, at `size` (H, W); `output` is named in errors."""
        self.codec, self.output = encoding.encoder(suffix, depth_of(first.format)), output
        self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25).limit_denominator(
            1 << 16
        )
        self.size, self.time_base = size, stream.time_base
        self.options, self._asked = encoding.settings(self.codec), set(encoding.options)
        self._pixels = pixel_format(first.format, self.codec)
        self._matrix, self._range = int(first.colorspace), int(first.color_range)
        parts = ("color_primaries", "color_trc", "colorspace", "color_range")
        self._tags = {part: getattr(stream.codec_context, part) for part in parts}
        was = first.height, first.width
        self._ratio = stretched(stream.sample_aspect_ratio, was, size)

    def configure(self, context: Any) -> None:
        """Set up an encoder that is not open yet."""
        context.height, context.width = self.size
        context.pix_fmt, context.time_base, context.options = (
            self._pixels, self.time_base, dict(self.options),
        )  # fmt: skip
        for part, value in self._tags.items():
            setattr(context, part, value)
        if self._ratio:
            context.sample_aspect_ratio = self._ratio

    def check(self, context: Any) -> None:
        """Raises ValueError if an encoder that was opened left options aside."""
        if unknown := self._asked.intersection(context.options):
            raise ValueError(f"it has no option {', '.join(sorted(unknown))}")

    def write(self, frames: Iterator[tuple[Samples, Any]], add: Callable[[Segment], None]) -> None:
        """Encode frames, each with the decoded one that has its times; `add` gets the segments.

        If the frames end by an error, those that came before are a segment, too.
        """
        while self._write_one(frames, add):
            pass

    def _write_one(
        self, frames: Iterator[tuple[Samples, Any]], add: Callable[[Segment], None]
    ) -> bool:
        """Encode one segment; False if there are no more frames."""
        context, packets, n_frames = None, list[Any](), 0
        try:
            for samples, source in frames:
                with self.failing():
                    context = context or self._opened()
                    packets += context.encode(self._converted(samples, source))
                n_frames += 1
                if n_frames == SEGMENT_FRAMES or sum(p.size for p in packets) > SEGMENT_BYTES:
                    return True
            return False
        finally:
            if n_frames and context is not None:
                with self.failing():
                    packets += context.encode(None)
                add(Segment.of(packets, n_frames))

    def failing(self) -> AbstractContextManager[None]:
        """See `encoder_errors`."""
        return encoder_errors(self.output, self.codec)

    def _opened(self) -> Any:
        codec = pyav().codec
        context = codec.CodecContext.create(self.codec, "w")
        self.configure(context)
        context.framerate = self.rate
        context.flags |= codec.context.Flags.global_header  # as the formats of all outputs need it
        with opening():
            context.open()
        return context

    def _converted(self, samples: Samples, source: Any) -> Any:
        """The frame in the encoder's pixel format, with the times of the one it is made of."""
        frame = converted(samples, self._pixels, self._matrix, self._range)
        frame.pts, frame.time_base = source.pts, source.time_base
        frame.duration = source.duration or 0
        return frame


def converted(samples: Samples, pixels: str, matrix: int, levels: int) -> Any:
    """RGB samples (H, W, 3) as a frame of a pixel format; matrix and range in numbers of ITU-T H.273."""
    deep = samples.dtype == np.uint16
    rgb = pyav().VideoFrame.from_ndarray(samples, format="rgb48le" if deep else "rgb24")
    settings: dict[str, Any] = {"format": pixels}
    if matrix in SPECIFIED:
        settings["dst_colorspace"] = matrix
    if levels in (1, 2):
        settings["dst_color_range"] = levels
    return rgb.reformat(**settings, interpolation=SCALER)


@contextmanager
def encoder_errors(output: str, codec: str) -> Iterator[None]:
    """Turns errors of an encoder and of writing into one line."""
    try:
        yield
    except (pyav().error.FFmpegError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise OSError(error.errno, error.strerror) from error
        reason = getattr(error, "strerror", None) or str(error)
        raise PictureError(
            f"{output}: the encoder {codec} failed ({reason}): "
            "choose another --codec or --encoder-option"
        ) from error


@contextmanager
def opening() -> Iterator[None]:
    """Within the block encoders are opened; keeps SVT-AV1 from printing and from real-time priority.

    It gives that to the calling thread and its own wherever it may, as for root, and what else runs
    on the machine stops.
    """
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    for task in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # it has ended
            if os.sched_getscheduler(int(task.name)) != policy:
                os.sched_setscheduler(int(task.name), policy, parameters)
