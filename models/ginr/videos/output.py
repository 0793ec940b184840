"""The output of a video: its streams, and the packets of all of them joined."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from heapq import merge
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ginr.errors import PictureError
from ginr.videos.encoder import FrameEncoder, opening
from ginr.videos.provenance import with_tag
from ginr.videos.reader import pyav
from ginr.videos.segments import WorkFolder
from ginr.videos.writer import created, format_of

if TYPE_CHECKING:
    from av.container import InputContainer

_HDR = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DOVI_METADATA", "DYNAMIC_HDR_PLUS")


class Output:
    """A file with a stream for the encoded video, and one for each that is copied."""

    def __init__(
        self,
        file: str,
        suffix: str,
        container: "InputContainer",
        stream: Any,
        first: Any,
        encoder: FrameEncoder,
        made: Mapping[str, str],
    ) -> None:
        """Begins the file; raises PictureError if that fails."""
        is_mp4 = format_of(suffix) in ("mp4", "mov")
        self._encoder, self.notes = encoder, list[str]()
        self._out = created(file, suffix)
        with encoder.failing():
            # Its own encoder encodes nothing: it describes the stream.
            self._video = self._out.add_stream(encoder.codec, rate=encoder.rate)
            context = self._video.codec_context
            encoder.configure(context)
            if encoder.codec == "libx265" and is_mp4:
                context.codec_tag = "hvc1"  # without it, Apple's players refuse HEVC
            texts = {k: v for k, v in stream.metadata.items() if k != "encoder"}
            self._video.metadata.update(texts)
            if first.rotation:
                self._video.set_display_rotation(first.rotation)
            self._note(first)
            self._copied = self._copies(container)
            self._out.metadata.update(with_tag(container.metadata, made))
            self._out.set_chapters(container.chapters())
            with opening():
                self._out.start_encoding()
            encoder.check(context)

    def join(
        self, work: WorkFolder, container: "InputContainer", advance: Callable[[], None]
    ) -> None:
        """Write the segments, and the streams that are copied from `container`; calls `advance` often."""
        streams = [container.streams[index] for index in self._copied]
        parts = [self._packets(work)] + ([self._others(container, streams)] if streams else [])
        with self._encoder.failing():
            for packet in merge(*parts, key=lambda packet: packet.dts * packet.time_base):
                self._out.mux(packet)
                advance()

    def close(self) -> None:
        """Write the end of the file."""
        with self._encoder.failing():
            self._out.close()

    def _packets(self, work: WorkFolder) -> Iterator[Any]:
        times = decoding_times(work.times()).tolist()
        at = 0
        for segment in work.segments():
            shown = segment.times.tolist()
            for k, (data, duration, is_key) in enumerate(segment.packets()):
                packet = pyav().Packet(data)
                packet.pts, packet.dts, packet.duration = shown[k], times[at], duration
                packet.time_base, packet.is_keyframe = self._encoder.time_base, is_key
                packet.stream = self._video
                at += 1
                yield packet

    def _others(self, container: "InputContainer", streams: list[Any]) -> Iterator[Any]:
        with suppress(pyav().error.FFmpegError):  # damage, which decoding has met as well
            for packet in container.demux(*streams):
                if packet.dts is not None:
                    packet.stream = self._copied[packet.stream.index]
                    yield packet

    def _note(self, first: Any) -> None:
        kinds = {str(part.type).rpartition(".")[2] for part in first.side_data}
        if kinds.intersection(_HDR):
            self.notes.append("HDR metadata (mastering display) dropped")
        if first.interlaced_frame:
            self.notes.append("interlaced: both fields are enlarged as one picture")

    def _copies(self, container: "InputContainer") -> dict[int, Any]:
        """The streams for those that are copied, by the number of these."""
        copied = {}
        for stream in (*container.streams.audio, *container.streams.subtitles):
            codec = stream.codec_context
            kind = codec.codec.canonical_name if codec is not None else "unknown"
            if kind in self._out.supported_codecs:
                copy = self._out.add_stream_from_template(stream, opaque=True)
                copy.metadata.update(stream.metadata)
                copy.disposition = stream.disposition
                copied[stream.index] = copy
            elif stream.type == "audio":
                raise PictureError(f"{self._encoder.output} cannot hold {kind} audio: use .mkv")
            else:
                self.notes.append(f"subtitles ({kind}) left out: .mkv holds more kinds")
        return copied


def decoding_times(shown: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """When packets (N,), shown at these times, are decoded: ascending, and none after it is shown.

    As few packets ahead as the order of the packets allows, so that all segments have the same delay.
    """
    order = np.sort(shown)
    place = np.arange(len(shown))
    ahead = int((place - np.searchsorted(order, shown)).max())
    before = order[:ahead] - (order[ahead] - order[0])
    return np.concatenate([before, order[: len(order) - ahead]])
