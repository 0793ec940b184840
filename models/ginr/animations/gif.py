"""GIF: its blocks read and written; Pillow codes the samples of single frames."""

import io
import struct
from fractions import Fraction
from mmap import mmap
from typing import BinaryIO

from ginr.animations.pieces import Disposal, Piece, Scan
from ginr.pictures.other_readers import AFTER_XMP, XMP_IN_GIF
from ginr.pictures.rules import UnsupportedError

_DISPOSALS: dict[int, Disposal] = {2: "background", 3: "previous"}
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_GREYS = bytes(level for level in range(256) for _ in range(3))  # if there is no table of colours
MAX_DELAY = 65_535
"""Hundredths of a second."""


def scan_gif(data: mmap | bytes, limited: bool) -> Scan:
    """The frames of a GIF."""
    width, height, flags = struct.unpack("<HHB", data[6:11])
    scan = Scan(height, width, limited)
    palette, at = _table(data, 13, flags)
    control = (0, 0, 0)  # flags, delay and transparent colour of the next frame
    while at < len(data) and data[at] in (0x21, 0x2C):
        if data[at] == 0x2C:
            at = _add_frame(scan, data, at, control, palette)
            control = (0, 0, 0)
            if scan.is_truncated:
                break
            continue
        label, body = data[at + 1 : at + 2], data[at + 3 : at + 19]
        if label == b"\xf9" and len(body) >= 4:
            control = struct.unpack("<BHB", body[:4])
        elif label == b"\xff" and body[:11] in _LOOPS and body[12:13] == b"\1":
            n = int.from_bytes(body[13:15], "little")
            scan.plays = n + 1 if n else 0
        end = _end_of_blocks(data, at + 2)
        if end is None:
            scan.is_truncated = True
            break
        at = end
    return scan


def _table(data: mmap | bytes, at: int, flags: int) -> tuple[bytes, int]:
    """A table of colours, empty if the flags name none, and where it ends."""
    end = at + (6 << (flags & 7) if flags & 0x80 else 0)
    return data[at:end], end


def _end_of_blocks(data: mmap | bytes, at: int) -> int | None:
    """Where a chain of blocks ends, None if the file ends in it."""
    while at < len(data):
        if data[at] == 0:
            return at + 1
        at += 1 + data[at]
    return None


def _add_frame(
    scan: Scan, data: mmap | bytes, at: int, control: tuple[int, int, int], palette: bytes
) -> int:
    """Take the frame whose descriptor is at `at`; returns where it ends."""
    head = data[at + 1 : at + 10]
    if len(head) < 9:
        scan.is_truncated = True
        return at
    left, top, width, height, flags = struct.unpack("<HHHHB", head)
    own, start = _table(data, at + 10, flags)
    end = _end_of_blocks(data, start + 1)
    if end is None:
        scan.is_truncated = True
        return at
    colours = own or palette or _GREYS
    bits = (len(colours) // 3 - 1).bit_length() - 1
    control_flags, delay, transparent = control

    def still() -> bytes:
        parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0x80 | bits, 0, 0), colours]
        if control_flags & 1:
            parts.append(struct.pack("<BBBBHBB", 0x21, 0xF9, 4, 1, 0, transparent, 0))
        parts.append(struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, flags & 0x40))
        return b"".join([*parts, data[start:end], b";"])

    disposal = _DISPOSALS.get(control_flags >> 2 & 7, "keep")
    box = (top, left, top + height, left + width)
    scan.add(Piece(box, Fraction(delay, 100), disposal, True, still))
    return end


def write_head(
    file: BinaryIO, height: int, width: int, plays: int, xmp: bytes | None = None
) -> None:
    """The start of a GIF that is played `plays` times, 0 for ever."""
    file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0))
    if plays != 1:
        loops = min(plays - 1, 65_535) if plays else 0
        file.write(b"\x21\xff\x0bNETSCAPE2.0" + struct.pack("<BBHB", 3, 1, loops, 0))
    if xmp:
        file.write(XMP_IN_GIF + xmp + AFTER_XMP)


def write_frame(
    file: BinaryIO,
    indices: bytes,
    colours: bytes,
    place: tuple[int, int, int, int],
    transparent: int,
    delay: int,
    *,
    is_cleared: bool,
) -> None:
    """A frame of indices into `colours` (RGB of 256) at a box; `delay` in hundredths of a second.

    `is_cleared` makes its box transparent before the next frame.
    """
    from PIL import Image

    top, left, bottom, right = place
    image = Image.frombytes("P", (right - left, bottom - top), indices)
    image.putpalette(colours)
    packed = io.BytesIO()
    image.save(packed, "GIF", optimize=False, interlace=0)
    written = packed.getvalue()
    flags = written[10]
    _, at = _table(written, 13, flags)
    while written[at] == 0x21:
        at = _end_of_blocks(written, at + 2) or 0
    _, start = _table(written, at + 10, written[at + 9])
    end = _end_of_blocks(written, start + 1)
    if end is None:  # it would be a fault of the encoder
        raise UnsupportedError("has a frame that cannot be packed")
    control = 1 | (8 if is_cleared else 4)
    file.write(struct.pack("<BBBBHBB", 0x21, 0xF9, 4, control, delay, transparent, 0))
    file.write(struct.pack("<BHHHHB", 0x2C, left, top, right - left, bottom - top, 0x87))
    file.write(colours)
    file.write(written[start:end])


def write_end(file: BinaryIO) -> None:
    file.write(b";")
