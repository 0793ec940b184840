"""Spans of a video that are decoded, enlarged and encoded by themselves, on whichever machine."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from ginr.errors import printable
from ginr.pictures.samples import Samples
from ginr.videos.encoder import SEGMENT_FRAMES, FrameEncoder
from ginr.videos.frames import Decoder, early_end
from ginr.videos.reader import opened, pyav, rgb_of, video_stream
from ginr.videos.segments import Segment
from ginr.videos.writer import Encoding


class Span(NamedTuple):
    """The frames shown from `start` to `last`, in ticks of the stream."""

    start: int
    last: int
    n_frames: int
    """As the packets suggest."""


class EncodedSpan(NamedTuple):
    """What became of a span."""

    segments: list[Segment]
    is_damaged: bool
    """Whether some of it could not be decoded."""


def spans_of(source: Path, notes: list[str]) -> list[Span] | None:
    """Spans of as many frames as a segment has; None if packets do not say when they are shown.

    Reads the file without decoding it. Adds to `notes` if it ends early. Raises PictureError.
    """
    times, end = list[int](), Fraction(0)
    with opened(source) as container:
        stream = video_stream(container, printable(source))
        try:
            for packet in container.demux(stream):
                if packet.size == 0:  # the last one, which only ends the stream
                    continue
                if packet.pts is None:
                    return None
                times.append(packet.pts)
                end = max(end, (packet.pts + (packet.duration or 0)) * stream.time_base)
        except pyav().error.FFmpegError:  # damage, which decoding meets as well
            return None
        if words := early_end(container, stream, end, len(times)):
            notes.append(f"{words}: its {len(times)} frames are kept")
    times.sort()
    if not times or len(set(times)) < len(times):
        return None
    parts = [times[k : k + SEGMENT_FRAMES] for k in range(0, len(times), SEGMENT_FRAMES)]
    return [Span(part[0], part[-1], len(part)) for part in parts]


def spans_after(spans: Sequence[Span], last: int | None) -> list[Span]:
    """What is left of spans after the frame shown at `last`; all of it for None."""
    if last is None:
        return list(spans)
    return [span._replace(start=max(span.start, last + 1)) for span in spans if span.last > last]


def encode_span(
    source: Path,
    span: Span,
    enlarge: Callable[[Samples], Samples],
    size: tuple[int, int],
    encoding: Encoding,
    output: Path,
) -> EncodedSpan:
    """A span, its frames enlarged to `size` (H, W); `output` gives format and name.

    Raises PictureError.
    """
    segments, notes = list[Segment](), list[str]()
    with opened(source) as container:
        stream = video_stream(container, printable(source))
        frames = _frames_in(source, container, stream, span, notes)
        first = next(frames, None)
        if first is None:
            return EncodedSpan([], bool(notes))
        name = printable(output)
        encoder = FrameEncoder(stream, first, size, encoding, output.suffix.lower(), name)

        def enlarged() -> Iterator[tuple[Samples, Any]]:
            yield enlarge(rgb_of(first)), first
            for frame in frames:
                yield enlarge(rgb_of(frame)), frame

        encoder.write(enlarged(), segments.append)
    return EncodedSpan(segments, bool(notes))


def _frames_in(
    source: Path, container: Any, stream: Any, span: Span, notes: list[str]
) -> Iterator[Any]:
    """The frames of a span, decoded from the keyframe before it, or from the start of the file."""
    if span.start > (stream.start_time or 0):
        container.seek(span.start, stream=stream)
        first = next(Decoder(container, stream, source, False, []).frames(), None)
        container.seek(
            span.start if first and first.pts <= span.start else stream.start_time or 0,
            stream=stream,
        )
    with closing(Decoder(container, stream, source, False, notes).frames()) as frames:
        for frame in frames:
            if frame.pts > span.last:
                return
            if frame.pts >= span.start:
                yield frame
