"""APNG: its chunks read and written; the samples of a frame are those of a PNG."""

import struct
from fractions import Fraction
from mmap import mmap
from typing import BinaryIO

from ginr.animations.changes import Changes
from ginr.animations.pieces import Box, Disposal, Frame, Piece, Scan
from ginr.pictures import Picture
from ginr.pictures.opened_png import PNG_MARK, chunk, chunks_of
from ginr.pictures.writer import encoded

_DISPOSALS: dict[int, Disposal] = {1: "background", 2: "previous"}
_CONTROL = ">IIIIIHHBB"


def scan_apng(data: mmap | bytes, limited: bool) -> Scan:
    """The frames of an APNG. Raises ValueError for one outside of the picture."""
    width, height = struct.unpack(">II", data[16:24])
    scan = Scan(height, width, limited)
    head, shared, control = data[24:29], list[bytes](), None
    places: list[tuple[int, int]] = []
    claimed = 0
    for kind, start, end in chunks_of(data):
        if end + 4 > len(data):
            scan.is_truncated = True
            places = []
            break
        if kind == b"acTL" and end - start >= 8:
            claimed, scan.plays = struct.unpack(">II", data[start : start + 8])
        elif kind in (b"PLTE", b"tRNS") and not scan.pieces and not places:
            shared.append(chunk(kind, data[start:end]))
        elif kind == b"fcTL" and end - start == 26:
            _add_frame(scan, data, control, places, head, shared)
            control, places = data[start:end], []
        elif kind == b"IDAT" and control is not None:
            places.append((start, end))
        elif kind == b"fdAT" and control is not None:
            places.append((start + 4, end))
    _add_frame(scan, data, control, places, head, shared)
    scan.is_truncated |= len(scan.pieces) < claimed
    return scan


def _add_frame(
    scan: Scan,
    data: mmap | bytes,
    control: bytes | None,
    places: list[tuple[int, int]],
    head: bytes,
    shared: list[bytes],
) -> None:
    if control is None or not places:
        return
    _, width, height, left, top, number, unit, disposal, blending = struct.unpack(_CONTROL, control)
    if not (0 < width <= scan.width - left and 0 < height <= scan.height - top):
        raise ValueError(f"frame {len(scan.pieces) + 1} lies outside of the picture")

    def still() -> bytes:
        parts = [PNG_MARK, chunk(b"IHDR", struct.pack(">II", width, height) + head), *shared]
        parts += [chunk(b"IDAT", data[start:end]) for start, end in places]
        return b"".join([*parts, chunk(b"IEND", b"")])

    box = (top, left, top + height, left + width)
    delay = Fraction(number, unit or 100)
    scan.add(Piece(box, delay, _DISPOSALS.get(disposal, "keep"), blending == 1, still))


class ApngFile:
    """Writes an APNG frame by frame, from PNG files of what each frame replaces."""

    def __init__(self, file: BinaryIO, like: Picture, plays: int) -> None:
        self._file, self._plays, self._changes = file, plays, Changes(like)
        self._n_frame = self._n_chunk = self._counts_at = 0

    def add(self, frame: Frame) -> None:
        """The first frame is the whole picture, and its chunks of metadata are kept."""
        picture, box = self._changes.of(frame.samples)
        still, samples = encoded(picture, ".png"), False
        for kind, start, end in chunks_of(still):
            if kind == b"IDAT" and not samples:
                samples = True
                self._begin(box, frame.delay)
            if kind == b"IDAT" and self._n_frame > 1:
                number = struct.pack(">I", self._next())
                self._file.write(chunk(b"fdAT", number + still[start:end]))
            elif kind == b"IHDR" and not self._n_frame:
                self._file.write(PNG_MARK + chunk(kind, still[start:end]))
                self._counts_at = self._file.tell()
                self._file.write(self._counts())
            elif kind not in (b"IHDR", b"IEND") and self._n_frame < 2:
                self._file.write(chunk(kind, still[start:end]))

    def finish(self) -> list[str]:
        """Write the end; returns what could not be held."""
        self._file.write(chunk(b"IEND", b""))
        self._file.seek(self._counts_at)
        self._file.write(self._counts())
        return []

    def _begin(self, box: Box, delay: Fraction) -> None:
        top, left, bottom, right = box
        self._n_frame += 1
        shown = _short(delay)
        control = struct.pack(
            _CONTROL, self._next(), right - left, bottom - top, left, top,
            shown.numerator, shown.denominator, 0, 0,
        )  # fmt: skip
        self._file.write(chunk(b"fcTL", control))

    def _next(self) -> int:
        self._n_chunk += 1
        return self._n_chunk - 1

    def _counts(self) -> bytes:
        return chunk(b"acTL", struct.pack(">II", self._n_frame, self._plays))


def _short(delay: Fraction) -> Fraction:
    """The nearest fraction of two 16-bit numbers."""
    unit = 65_535 if delay <= 1 else max(1, int(65_535 / delay))
    return min(delay.limit_denominator(unit), Fraction(65_535))
