"""Decode the frames of a video, and say what is damaged."""

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ginr.errors import PictureError, printable
from ginr.videos.reader import pyav

if TYPE_CHECKING:
    from av.container import InputContainer

_STATED = ("matroska", "mov")  # formats whose files state how long they are


def _stated_end(container: "InputContainer") -> Fraction:
    """When a file says that it ends, in seconds; 0 if it does not."""
    if not container.duration or not container.format.name.startswith(_STATED):
        return Fraction(0)
    return Fraction(container.duration + max(0, container.start_time or 0), 1_000_000)


def early_end(container: "InputContainer", stream: Any, end: Fraction, n_frames: int) -> str | None:
    """Where a stream breaks off, as a phrase, if its `n_frames` and its `end` in seconds fall short of
    what the file states."""
    seconds = _stated_end(container)
    if seconds - end > 2 / (stream.average_rate or 25) or n_frames < stream.frames:
        return f"ends early, at {float(end):.2f} of {float(seconds):.2f} s"
    return None


class Decoder:
    """Decodes the frames of a stream; adds to `notes` what is damaged."""

    def __init__(
        self, container: "InputContainer", stream: Any, source: Path, strict: bool, notes: list[str]
    ) -> None:
        self._container, self._stream, self._strict = container, stream, strict
        self._name, self._notes = printable(source), notes
        self._n_damaged = self._n_frames = 0
        self._last = -(1 << 62)  # time stamp, in ticks of the stream
        self._end = Fraction(0)  # seconds, of all packets
        self._size = stream.codec_context.height, stream.codec_context.width

    def frames(self) -> Generator[Any, None, None]:
        """The frames, their time stamps ascending.

        Raises PictureError for damage if `strict`, and for a size that changes.
        """
        try:
            yield from self._all()
        except GeneratorExit:  # whoever takes them needs no more
            if self._n_damaged:
                self._notes.append(f"damaged: {self._n_frames} frames could be decoded")
            raise

    def _all(self) -> Iterator[Any]:
        for packet in self._packets():
            try:
                found = packet.decode()
            except pyav().error.FFmpegError as error:
                self._damaged(error)
                continue
            for frame in found:
                self._check(frame)
                pts = frame.pts if frame.pts is not None else self._last + 1
                frame.pts = self._last = max(pts, self._last + 1)
                self._n_frames += 1
                yield frame
        self._report()

    def _packets(self) -> Iterator[Any]:
        """The packets of the video; those of sound and subtitles say where the file ends."""
        other = (*self._container.streams.audio, *self._container.streams.subtitles)
        try:
            for packet in self._container.demux(self._stream, *other):
                if packet.pts is not None and packet.time_base is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._end = max(self._end, end)
                if packet.stream is self._stream:
                    yield packet
        except pyav().error.FFmpegError as error:
            self._damaged(error)

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
        if self._n_damaged:
            self._notes.append(f"damaged: {self._n_frames} frames could be decoded")
            return
        if words := early_end(self._container, self._stream, self._end, self._n_frames):
            if self._strict:
                raise PictureError(f"{self._name} {words}: leave out --strict to keep it")
            self._notes.append(f"{words}: its {self._n_frames} frames are kept")
