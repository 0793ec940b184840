"""Decode, enlarge and encode a video side by side; other streams are copied, time stamps kept."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ginr.errors import PictureError, printable
from ginr.pictures.samples import Samples
from ginr.pictures.writer import whole_file
from ginr.pictures.writer_thread import while_made
from ginr.videos.reader import SCALER, SPECIFIED, opened, rgb_of, the_av, video_stream
from ginr.videos.writer import FORMATS, Encoding, pixel_format, stretched

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

_STATED = ("matroska", "mov")  # formats whose files state how long they are
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_HDR = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DOVI_METADATA", "DYNAMIC_HDR_PLUS")


class _Enlarged(NamedTuple):
    """A frame to encode, and the decoded one, which has its times."""

    samples: Samples
    frame: Any


def write_video(
    source: Path,
    path: Path,
    enlarge: Callable[[Samples], Samples],
    size: tuple[int, int],
    encoding: Encoding,
    *,
    overwrite: bool = False,
    strict: bool = False,
) -> list[str]:
    """Writes the video with every frame enlarged to `size` (H, W), all or nothing.

    `enlarge` maps RGB (H, W, 3), uint8 or uint16, to the same at the new size; it runs in this thread,
    while frames are encoded in a second one and decoded in FFmpeg's. Audio and subtitles are copied.
    Returns what was lost. Raises PictureError; for damage in the file only if `strict`, or if there
    is no frame before it.
    """
    name, notes = printable(path), list[str]()
    with opened(source) as container, whole_file(path, overwrite) as file:
        stream = video_stream(container, printable(source))
        frames = _Frames(container, stream, source, strict, notes)
        first = next(frames.decoded(), None)
        if first is None:
            raise PictureError(
                f"{printable(source)} has no frame that can be decoded: use another file"
            )
        suffix = path.suffix.lower()
        with _output(file.name, FORMATS.get(suffix, suffix[1:]), name) as out:
            sink = _Sink(out, container, stream, first, size, encoding, name)
            frames.copied = sink.copied
            notes.extend(sink.notes)

            def made() -> Iterator[Any]:
                for item in frames.all(first):
                    is_packet = frames.is_packet(item)
                    yield item if is_packet else _Enlarged(enlarge(rgb_of(item)), item)

            while_made(made(), sink.write, cut=lambda item: [item])
    return notes


def _output(file: str, format: str, name: str) -> Any:
    av = the_av()
    options = {"movflags": "+faststart+use_metadata_tags"} if format in ("mp4", "mov") else {}
    return av.open(f"file:{file}", "w", format=format, options=options)


class _Frames:
    """The frames of the video, and the packets that are copied, in the order of the file."""

    def __init__(
        self,
        container: "InputContainer",
        stream: Any,
        source: Path,
        strict: bool,
        notes: list[str],
    ) -> None:
        self._container, self._stream, self._strict = container, stream, strict
        self._name, self._notes = printable(source), notes
        self.copied: dict[int, Any] = {}
        self._early: list[Any] = []
        self._n_damaged = self._n_frames = 0
        self._end = Fraction(0)  # seconds, of all packets
        self._size = stream.codec_context.height, stream.codec_context.width
        self._items = self._demuxed()

    def is_packet(self, item: Any) -> bool:
        return isinstance(item, the_av().Packet)

    def decoded(self) -> Iterator[Any]:
        """The first frame; packets before it are kept for `all`."""
        for item in self._items:
            if not self.is_packet(item):
                yield item
                return
            self._early.append(item)

    def all(self, first: Any) -> Iterator[Any]:
        """Packets of the streams that are copied, and frames."""
        for item in (*self._early, first):
            if not self.is_packet(item) or item.stream.index in self.copied:
                yield item
        self._early.clear()
        for item in self._items:
            if not self.is_packet(item) or item.stream.index in self.copied:
                yield item
        self._report()

    def _demuxed(self) -> Iterator[Any]:
        av, stream = the_av(), self._stream
        other = (*self._container.streams.audio, *self._container.streams.subtitles)
        packets = self._container.demux(stream, *other)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self._damaged(error)
                packet = None
            if packet is None:
                return
            if packet.pts is not None and packet.time_base is not None:
                self._end = max(self._end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream is not stream:
                if packet.dts is not None:
                    yield packet
                continue
            try:
                found = packet.decode()
            except av.error.FFmpegError as error:
                self._damaged(error)
                continue
            for frame in found:
                self._check(frame)
                self._n_frames += 1
                yield frame

    def _check(self, frame: Any) -> None:
        size = frame.height, frame.width
        if size != self._size:
            at = f" at {frame.time:.2f} s" if frame.time is not None else ""
            raise PictureError(
                f"{self._name} changes its size from {self._size[1]}x{self._size[0]} to "
                f"{size[1]}x{size[0]}{at}: cut it there first"
            )

    def _damaged(self, error: Exception) -> None:
        if self._strict:
            reason = getattr(error, "strerror", None) or str(error)
            raise PictureError(
                f"{self._name} is damaged ({reason}): leave out --strict to keep what there is"
            ) from error
        self._n_damaged += 1

    def _report(self) -> None:
        container, claimed = self._container, self._stream.frames
        if self._n_damaged:
            self._notes.append(f"damaged: {self._n_frames} frames could be decoded")
            return
        seconds = Fraction(0)
        if container.duration and container.format.name.startswith(_STATED):
            start = max(0, container.start_time or 0)
            seconds = Fraction(container.duration + start, 1_000_000)
        if seconds - self._end > 2 / (self._stream.average_rate or 25) or self._n_frames < claimed:
            at = f"at {float(self._end):.2f} of {float(seconds):.2f} s"
            words = f"ends early, {at}: its {self._n_frames} frames are kept"
            if self._strict:
                raise PictureError(f"{self._name} ends early, {at}: leave out --strict to keep it")
            self._notes.append(words)


class _Sink:
    """The output: its streams, and the encoder."""

    def __init__(
        self,
        out: "OutputContainer",
        container: "InputContainer",
        stream: Any,
        first: Any,
        size: tuple[int, int],
        encoding: Encoding,
        name: str,
    ) -> None:
        self._out, self._name = out, name
        self.copied: dict[int, Any] = {}
        self.notes: list[str] = []
        self._matrix, self._range = int(first.colorspace), int(first.color_range)
        suffix = Path(name).suffix.lower()
        depth = max(c.bits for c in first.format.components)
        encoder = encoding.encoder(suffix, depth)
        rate = stream.average_rate or stream.guessed_rate or 25
        target = out.add_stream(encoder, rate=Fraction(rate).limit_denominator(1 << 16))
        self._stream, self._last = target, -(1 << 62)
        target.height, target.width = size
        target.pix_fmt = pixel_format(first.format, encoder)
        context = target.codec_context
        context.time_base = stream.time_base
        context.options = encoding.settings(encoder)
        if encoder == "libx265" and out.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # without it, Apple's players refuse HEVC
        for part in ("color_primaries", "color_trc", "colorspace", "color_range"):
            setattr(context, part, getattr(stream.codec_context, part))
        was = first.height, first.width
        if ratio := stretched(stream.sample_aspect_ratio, was, size):
            context.sample_aspect_ratio = ratio
        target.metadata.update({k: v for k, v in stream.metadata.items() if k != "encoder"})
        if first.rotation:
            target.set_display_rotation(first.rotation)
        self._note(first)
        self._copy(container)
        out.metadata.update(container.metadata)
        out.set_chapters(container.chapters())
        with self._failing():
            out.start_encoding()
            if unknown := set(encoding.options).intersection(context.options):
                raise ValueError(f"it has no option {', '.join(sorted(unknown))}")

    def _note(self, first: Any) -> None:
        kinds = {str(part.type).rpartition(".")[2] for part in first.side_data}
        if kinds.intersection(_HDR):
            self.notes.append("HDR metadata (mastering display) dropped")
        if first.interlaced_frame:
            self.notes.append("interlaced: both fields are enlarged as one picture")

    def _copy(self, container: "InputContainer") -> None:
        for stream in (*container.streams.audio, *container.streams.subtitles):
            codec = stream.codec_context
            kind = codec.codec.canonical_name if codec is not None else "unknown"
            if kind in self._out.supported_codecs:
                copy = self._out.add_stream_from_template(stream, opaque=True)
                copy.metadata.update(stream.metadata)
                copy.disposition = stream.disposition
                self.copied[stream.index] = copy
            elif stream.type == "audio":
                raise PictureError(f"{self._name} cannot hold {kind} audio: use .mkv")
            else:
                self.notes.append(f"subtitles ({kind}) left out: .mkv holds more kinds")

    def write(self, items: Iterator[Any]) -> None:
        """Encode frames and copy packets as they come."""
        for item in items:
            with self._failing():
                if isinstance(item, _Enlarged):
                    self._out.mux(self._stream.encode(self._converted(item)))
                else:
                    item.stream = self.copied[item.stream.index]
                    self._out.mux(item)
        with self._failing():
            self._out.mux(self._stream.encode(None))

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turns errors of the encoder and of writing into one line."""
        av = the_av()
        try:
            yield
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
                raise OSError(error.errno, error.strerror) from error
            reason = getattr(error, "strerror", None) or str(error)
            raise PictureError(
                f"{self._name}: the encoder {self._stream.codec_context.name} failed ({reason}): "
                "choose another --codec or --encoder-option"
            ) from error

    def _converted(self, item: _Enlarged) -> Any:
        """The frame in the encoder's pixel format, with the times of the one it is made of."""
        deep = item.samples.dtype == np.uint16
        rgb = the_av().VideoFrame.from_ndarray(item.samples, format="rgb48le" if deep else "rgb24")
        settings: dict[str, Any] = {"format": self._stream.pix_fmt}
        if self._matrix in SPECIFIED:
            settings["dst_colorspace"] = self._matrix
        if self._range in (1, 2):
            settings["dst_color_range"] = self._range
        frame = rgb.reformat(**settings, interpolation=SCALER)
        source = item.frame
        pts = source.pts if source.pts is not None else self._last + 1
        frame.pts = self._last = max(pts, self._last + 1)
        frame.time_base, frame.duration = source.time_base, source.duration or 0
        return frame
