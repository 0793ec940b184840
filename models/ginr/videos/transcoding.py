"""Decode, enlarge and encode a video side by side; other streams are copied, time stamps kept.

Encoded segments are kept in a work folder until the output is whole, so that a later call goes on
after the last one of a run that was killed.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from hashlib import file_digest
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ginr.errors import PictureError, printable
from ginr.pictures.samples import Samples
from ginr.pictures.writer import whole_file
from ginr.pictures.writer_thread import while_made
from ginr.videos.encoder import FrameEncoder
from ginr.videos.frames import Decoder
from ginr.videos.output import Output
from ginr.videos.reader import opened, pyav, rgb_of, video_stream
from ginr.videos.segments import WorkFolder
from ginr.videos.spans import EncodedSpan, Span, spans_after, spans_of
from ginr.videos.writer import Encoding


class Written(NamedTuple):
    """The result of writing a video."""

    n_frames: int
    notes: list[str]
    """What was lost, each as a phrase."""


class Elsewhere(NamedTuple):
    """Another place where a video is enlarged and encoded, span by span."""

    enlarge: Callable[[Samples], Samples]
    """What is done here, where the file does not say where spans begin."""
    encode: Callable[[list[Span]], Iterator[EncodedSpan]]
    """The results of `encode_span` in order."""


def write_video(
    source: Path,
    path: Path,
    enlarge: Callable[[Samples], Samples] | Elsewhere,
    size: tuple[int, int],
    encoding: Encoding,
    made: Mapping[str, str],
    *,
    progress: Callable[[int, int], None] = lambda n_done, n_kept: None,
    notice: Callable[[str], None] = lambda text: None,
    overwrite: bool = False,
    strict: bool = False,
) -> Written:
    """Writes the video with every frame enlarged to `size` (H, W), all or nothing.

    `enlarge` maps RGB (H, W, 3), uint8 or uint16, to the same at the new size; it runs in this thread,
    while frames are encoded in a second one and decoded in FFmpeg's. Audio and subtitles are copied.
    If it is `Elsewhere`, that is done there, unless `strict` or without time stamps. `made` says how: it is
    written into the output, and a later call with the same facts, input and encoding goes on after the last
    whole segment of one that ended early. `progress` is called with the numbers of frames that are finished
    and that an earlier call has finished, `notice` with what has changed since then. Raises PictureError;
    for damage in the file only if `strict`, or if there is no frame before it.
    """
    notes = list[str]()
    with opened(source) as container, whole_file(path, overwrite) as file:
        stream = video_stream(container, printable(source))
        frames = Decoder(container, stream, source, strict, notes).frames()
        first = next(frames, None)
        if first is None:
            raise PictureError(
                f"{printable(source)} has no frame that can be decoded: use another file"
            )
        suffix = path.suffix.lower()
        encoder = FrameEncoder(stream, first, size, encoding, suffix, printable(path))
        begin = (file.name, suffix, container, stream, first, encoder, made)
        with closing(Output(*begin)) as trial:  # errors come before any work
            notes.extend(trial.notes)
        work = WorkFolder(path, {**made, **_identity(source), **_settings(encoder)})
        if changed := work.resume():
            notice(
                f"{printable(work.path)} was made with another {', '.join(changed)}: started again"
            )
        n_kept = work.n_frames
        if isinstance(enlarge, Elsewhere) and (
            spans := None if strict else spans_of(source, notes)
        ):
            for _ in _encoded_elsewhere(enlarge, spans, work, notes):
                progress(work.n_frames, n_kept)
        else:
            make = enlarge.enlarge if isinstance(enlarge, Elsewhere) else enlarge
            _encode(chain([first], frames), make, encoder, work, progress)
        n_frames = work.n_frames
        with closing(Output(*begin)) as out, opened(source) as again:
            out.join(work, again, lambda: progress(n_frames, n_kept))
    work.remove()
    return Written(n_frames, notes)


def _encode(
    frames: Iterator[Any],
    enlarge: Callable[[Samples], Samples],
    encoder: FrameEncoder,
    work: WorkFolder,
    progress: Callable[[int, int], None],
) -> None:
    """Enlarges and encodes the frames whose segments the work lacks."""
    n_kept = n_done = work.n_frames

    def enlarged() -> Iterator[tuple[Samples, Any]]:
        nonlocal n_done
        for number, frame in enumerate(frames):
            progress(n_done, n_kept)
            if number >= n_kept:
                n_done += 1
                yield enlarge(rgb_of(frame)), frame

    while_made(
        enlarged(), lambda items: encoder.write(items, work.add), cut=lambda item: [item],
        keeps_work=True,
    )  # fmt: skip


def _encoded_elsewhere(
    place: Elsewhere, spans: list[Span], work: WorkFolder, notes: list[str]
) -> Iterator[None]:
    """Keeps the segments of all spans that the work lacks, one span after the other."""
    is_damaged = False
    last = int(work.times().max()) if work.n_frames else None
    for span in place.encode(spans_after(spans, last)):
        for segment in span.segments:
            work.add(segment)
        is_damaged |= span.is_damaged
        yield
    if is_damaged:
        notes.append(f"damaged: {work.n_frames} frames could be decoded")


def _identity(source: Path) -> dict[str, str]:
    with source.open("rb") as file:  # takes far less time than enlarging
        return {"input": file_digest(file, "blake2b").hexdigest()}


def _settings(encoder: FrameEncoder) -> dict[str, str]:
    """Everything that determines the output of an encoder."""
    return {
        "size": f"{encoder.size[1]}x{encoder.size[0]}",
        "codec": encoder.codec,
        "encoder options": json.dumps(encoder.options, sort_keys=True),
        "PyAV": pyav().__version__,
    }
