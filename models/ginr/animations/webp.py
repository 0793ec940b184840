"""Animated WebP: its chunks read and written; the samples of a frame are those of a WebP."""

import struct
from fractions import Fraction
from mmap import mmap
from typing import BinaryIO

from ginr.animations.changes import Changes, shortened
from ginr.animations.pieces import Frame, Piece, Scan
from ginr.pictures import Picture
from ginr.pictures.other_readers import chunks_of
from ginr.pictures.samples import eight_bit
from ginr.pictures.writer import encoded

MAX_DELAY = (1 << 24) - 1
"""Milliseconds."""
_SAMPLES = (b"ALPH", b"VP8 ", b"VP8L")


def _u24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def packed(kind: bytes, contents: bytes) -> bytes:
    """A chunk."""
    return kind + struct.pack("<I", len(contents)) + contents + bytes(len(contents) % 2)


def _file_of(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def scan_webp(data: mmap | bytes, limited: bool) -> Scan:
    """The frames of a WebP. Raises ValueError for a file without any, or for one outside."""
    if data[12:16] != b"VP8X":  # of a file with more than a frame
        raise ValueError("it has no frames")
    scan = Scan(_u24(data[20:30], 7) + 1, _u24(data[20:30], 4) + 1, limited)
    for kind, start, end in chunks_of(data, 12, len(data)):
        if end > len(data):
            scan.is_truncated = True
            break
        if kind == b"ANIM" and end - start >= 6:
            scan.plays = struct.unpack("<H", data[start + 4 : start + 6])[0]
        elif kind == b"ANMF" and end - start > 16:
            _add_frame(scan, data, start, end)
    riff_end = 8 + struct.unpack("<I", data[4:8])[0]
    scan.is_truncated |= riff_end > len(data)
    return scan


def _add_frame(scan: Scan, data: mmap | bytes, start: int, end: int) -> None:
    head = data[start : start + 16]
    left, top, width, height = 2 * _u24(head, 0), 2 * _u24(head, 3), _u24(head, 6), _u24(head, 9)
    width, height = width + 1, height + 1
    if left + width > scan.width or top + height > scan.height:
        raise ValueError(f"frame {len(scan.pieces) + 1} lies outside of the picture")
    flags = head[15]

    def still() -> bytes:
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        parts, has_alpha = [], False
        for kind, first, last in chunks_of(data, start + 16, end):
            if kind in _SAMPLES and last <= end:
                has_alpha |= kind == b"ALPH"
                parts.append(packed(kind, data[first:last]))
        if has_alpha:
            parts.insert(0, packed(b"VP8X", b"\x10\0\0\0" + size))
        return _file_of(b"".join(parts))

    box = (top, left, top + height, left + width)
    delay = Fraction(_u24(head, 12), 1000)
    scan.add(Piece(box, delay, "background" if flags & 1 else "keep", not flags & 2, still))


class WebpFile:
    """Writes an animated WebP frame by frame, from WebP files of what each frame replaces."""

    def __init__(self, file: BinaryIO, like: Picture, plays: int, quality: int | None) -> None:
        """Lossless without a `quality`."""
        self._file, self._plays, self._quality = file, min(plays, 65_535), quality
        self._changes = Changes(like, 2)  # boxes have even tops and lefts
        self._time, self._shown, self._n_shortened = Fraction(0), 0, 0  # milliseconds
        self._start, self._flags, self._after = file.tell(), 0x12, b""  # animated, with alpha

    def add(self, frame: Frame) -> None:
        """The first frame is the whole picture. Delays are rounded so that their sum is right."""
        picture, (top, left, bottom, right) = self._changes.of(eight_bit(frame.samples))
        self._time += frame.delay * 1000
        delay = round(self._time) - self._shown
        self._shown += delay
        self._n_shortened += delay > MAX_DELAY
        still = encoded(picture, ".webp", self._quality)
        found = {kind: still[start:end] for kind, start, end in chunks_of(still, 12, len(still))}
        if not self._file.tell() - self._start:
            self._begin(found, bottom, right)
        place = [left // 2, top // 2, right - left - 1, bottom - top - 1, min(delay, MAX_DELAY)]
        head = b"".join(number.to_bytes(3, "little") for number in place) + b"\2"  # replaces
        samples = b"".join(packed(kind, found[kind]) for kind in _SAMPLES if kind in found)
        self._file.write(packed(b"ANMF", head + samples))

    def finish(self) -> list[str]:
        """Write the end; returns what could not be held."""
        self._file.write(self._after)
        n_bytes = self._file.tell() - self._start
        self._file.seek(self._start + 4)
        self._file.write(struct.pack("<I", n_bytes - 8))
        return shortened(self._n_shortened, "WEBP")

    def _begin(self, found: dict[bytes, bytes], height: int, width: int) -> None:
        for kind, flag in ((b"ICCP", 0x20), (b"EXIF", 8), (b"XMP ", 4)):
            self._flags |= flag if kind in found else 0
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        parts = [packed(b"VP8X", bytes([self._flags, 0, 0, 0]) + sides)]
        if b"ICCP" in found:
            parts.append(packed(b"ICCP", found[b"ICCP"]))
        parts.append(packed(b"ANIM", struct.pack("<IH", 0, self._plays)))
        self._after = b"".join(packed(k, found[k]) for k in (b"EXIF", b"XMP ") if k in found)
        self._file.write(_file_of(b"".join(parts)))
