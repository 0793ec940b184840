"""A PNG before decoding, and a clean file of nothing but its samples for the decoder.

Decoders differ in which headers, checksums and chunks they check. They get a file with one header and
the samples only, so that the size that was checked is the size that is decoded.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from mmap import mmap

from ginr.pictures.opened import OpenedFile

PNG_MARK = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""By the colour type."""
_PIECE = 1 << 16  # bytes unpacked at a time


@dataclass
class OpenedPng(OpenedFile):
    """A PNG, whose samples are in pieces of the file."""

    colour_type: int = 2
    bits: int = 8
    head: bytes = b""
    """Contents of the header chunk."""
    palette: bytes = b""
    transparent: bytes | None = None
    """Contents of the tRNS chunk: the colour that is transparent, or alpha of the palette."""
    pieces: list[tuple[int, int]] = field(default_factory=list)
    """Start and end of the runs of sample chunks."""
    cut: bytes | None = None
    """Contents of the last sample chunk if the file ends in it."""
    is_incomplete: bool = False

    def clean(self, data: mmap) -> bytes:
        """A file with only what decides about the samples."""
        pieces = [data[start:end] for start, end in self.pieces]
        return self._file(pieces if self.cut is None else [*pieces, chunk(b"IDAT", self.cut)])

    def restored(self, data: mmap) -> tuple[bytes, bool]:
        """The same, with the samples unpacked as far as they go, and whether a checksum is right.

        Those of the chunks or that of zlib will do, and that the file ends before zlib's.
        """
        places = [place for piece in self.pieces for _, *place in chunks_of(data, *piece)]
        packed = [data[start:end] for start, end in places]
        is_right = all(
            zlib.crc32(b"IDAT" + contents).to_bytes(4) == data[end : end + 4]
            for contents, (_, end) in zip(packed, places, strict=True)
        )
        stream = memoryview(b"".join([*packed, self.cut or b""]))[2:]  # without its header
        row_bytes = (self.width * CHANNELS[self.colour_type] * self.bits + 7) // 8 + 1
        left = 2 * self.height * (row_bytes + 8)  # twice, as interlaced rows are more and shorter
        unpacker, rows, sum_of_rows = zlib.decompressobj(-15), list[bytes](), 1
        with suppress(zlib.error):
            for start in range(0, len(stream), _PIECE):
                rows.append(unpacker.decompress(stream[start : start + _PIECE], left))
                left, sum_of_rows = left - len(rows[-1]), zlib.adler32(rows[-1], sum_of_rows)
                if unpacker.eof:  # the checksum follows
                    rest = unpacker.unused_data + stream[start + _PIECE : start + _PIECE + 4]
                    is_right |= rest[:4] == sum_of_rows.to_bytes(4) or len(rest) < 4
                if left <= 0 or unpacker.eof:
                    break
        return self._file([chunk(b"IDAT", zlib.compress(b"".join(rows), 0))]), is_right

    def _file(self, samples: list[bytes]) -> bytes:
        parts = [PNG_MARK, chunk(b"IHDR", self.head)]
        if self.colour_type == 3:
            parts.append(chunk(b"PLTE", self.palette))
            if self.transparent:
                parts.append(chunk(b"tRNS", self.transparent))
        return b"".join([*parts, *samples, chunk(b"IEND", b"")])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks_of(
    data: mmap | bytes, at: int = len(PNG_MARK), end: int | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the contents of each chunk; the last may end behind the file."""
    end = len(data) if end is None else end
    while at + 8 <= end:
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, at + 8, at + 8 + length
        if kind == b"IEND":
            return
        at += 12 + length
