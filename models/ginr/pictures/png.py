"""Write PNG files row by row.

libvips encodes, but reads rows one by one only from a file. So it gets them as a PNG with stored
instead of deflated samples, made while it reads.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np

from ginr.pictures.opened_png import PNG_MARK, chunk
from ginr.pictures.png_reader import XMP_KEYWORD
from ginr.pictures.samples import Picture, Samples, strips

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_STRIP = 1 << 20  # bytes of samples handed to the encoder at a time


def _metadata_chunks(like: Picture) -> bytes:
    """The chunks for between the header and the samples."""
    parts = []
    if like.cicp is not None:
        parts.append(chunk(b"cICP", bytes(like.cicp)))
    if like.icc is not None:
        parts.append(chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(like.icc)))
    if like.dpi is not None:
        x, y = (round(side / 0.0254) for side in like.dpi)
        parts.append(chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
    if like.exif is not None:
        parts.append(chunk(b"eXIf", like.exif))
    if like.xmp is not None:
        parts.append(chunk(b"iTXt", XMP_KEYWORD.encode() + b"\0\0\0\0\0" + like.xmp))
    for keyword, words in like.text:
        try:
            packed = chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + words.encode("latin-1"))
        except UnicodeEncodeError:
            packed = chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + words.encode())
        parts.append(packed)
    return b"".join(parts)


def write_png(
    file: BinaryIO, bands: Iterable[Samples], like: Picture, height: int, width: int
) -> None:
    """Encodes rows as they come, with the picture's metadata."""
    from ginr.pictures.vips import pyvips

    chunks = _metadata_chunks(like)
    head, rest = bytearray(), memoryview(b"")
    failures: list[BaseException] = []  # raised below: they must not cross C code
    stored = _stored_png(bands, like, height, width)

    def read(size: int) -> bytes:
        nonlocal rest
        try:
            rest = rest or memoryview(next(stored, b""))
        except BaseException as error:
            failures.append(error)
        piece, rest = rest[:size], rest[size:]
        return bytes(piece)

    def write(data: Any) -> int:
        """Writes the output of libvips, with our chunks instead of its own before the samples."""
        try:
            if b"IDAT" in head:
                file.write(data)
                return len(data)
            head.extend(data)
            if b"IDAT" in head:
                file.write(head[:33] + chunks)  # 33 bytes: the mark and the IHDR chunk
                file.write(head[head.index(b"IDAT") - 4 :])
        except BaseException as error:
            failures.append(error)
            return -1
        return len(data)

    source, target = pyvips.SourceCustom(), pyvips.TargetCustom()
    source.on_read(read)
    target.on_write(write)
    try:
        image = pyvips.Image.pngload_source(
            source, access="sequential", fail_on="error", unlimited=True
        )
        # Level 4 with adaptive filters: four times as fast as level 6, files 5 % larger.
        image.write_to_target(target, ".png", compression=4, filter="all", keep="none")
    except pyvips.Error as error:
        raise failures[0] if failures else OSError(" ".join(str(error).split())) from error
    if failures:
        raise failures[0]


def _stored_png(
    bands: Iterable[Samples], like: Picture, height: int, width: int
) -> Iterator[bytes]:
    """The rows as a PNG, not filtered or deflated, in pieces of about a megabyte."""
    head = struct.pack(">IIBBBBB", width, height, like.depth, _COLOUR_TYPES[like.channels], 0, 0, 0)
    yield PNG_MARK + chunk(b"IHDR", head)
    row_bytes = width * like.channels * like.depth // 8
    packer = zlib.compressobj(0)
    for strip in strips(bands, max(1, _STRIP // row_bytes)):
        rows = np.zeros((len(strip), 1 + row_bytes), np.uint8)  # first byte: no filter
        rows[:, 1:] = strip.astype(f">u{like.depth // 8}").reshape(len(strip), -1).view(np.uint8)
        yield chunk(b"IDAT", packer.compress(rows.data))
    yield chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b"")
