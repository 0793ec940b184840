"""PNG files: reading all chunks but the samples, and writing row by row.

libvips encodes, but reads rows one by one only from a file. So it gets them as a PNG with stored
instead of deflated samples, made while it reads.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ginr.pictures.samples import Picture, Samples, strips

_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = "XML:com.adobe.xmp"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_STRIP = 1 << 20  # bytes of samples handed to the encoder at a time
_TEXT_LIMIT = 1 << 26  # bytes of an unpacked text chunk or profile


@dataclass
class PngChunks:
    """The contents of a PNG but its samples, from chunks before and after them."""

    width: int = 0
    height: int = 0
    depth: int = 0
    """Bits of a stored sample: 1, 2, 4, 8 or 16."""
    colour: int = 0
    """Colour type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    transparent: bytes | None = None
    """The tRNS chunk."""
    n_frames: int = 1
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()
    is_plain_srgb: bool = True
    """Whether no chunk but iCCP gives colours other than sRGB."""


def read_png_chunks(file: BinaryIO) -> PngChunks:
    """Reads all chunks but the samples; raises ValueError for a damaged or incomplete file."""
    chunks = PngChunks()
    file.seek(len(_PNG_MARK))
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("the end chunk is missing")
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return chunks
        if kind in (b"IDAT", b"fdAT") or length > _TEXT_LIMIT:
            file.seek(length + 4, 1)
            continue
        data = file.read(length)
        if len(data) < length or len(file.read(4)) < 4:
            raise ValueError(f"chunk {kind.decode('ascii', 'replace')} is incomplete")
        _read_chunk(chunks, kind, data)


def _read_chunk(chunks: PngChunks, kind: bytes, data: bytes) -> None:
    if kind == b"IHDR":
        chunks.width, chunks.height, chunks.depth, chunks.colour = struct.unpack(">IIBB", data[:10])
    elif kind == b"tRNS":
        chunks.transparent = data
    elif kind == b"acTL":
        chunks.n_frames = max(1, struct.unpack(">I", data[:4])[0])
    elif kind == b"eXIf":
        chunks.exif = data.removeprefix(b"Exif\0\0")
    elif kind == b"iCCP":
        _, _, packed = data.partition(b"\0")
        chunks.icc = _inflate(packed[1:])
    elif kind == b"pHYs":
        x, y, unit = struct.unpack(">IIB", data)
        if unit == 1 and x and y:
            chunks.dpi = (x * 0.0254, y * 0.0254)
    elif kind == b"cICP":
        chunks.is_plain_srgb &= data[:2] == b"\1\r"
    elif kind == b"gAMA":
        chunks.is_plain_srgb &= abs(struct.unpack(">I", data)[0] - 45_455) < 1000
    elif kind in (b"tEXt", b"zTXt", b"iTXt"):
        keyword, text = _text_chunk(kind, data)
        if keyword == _XMP_KEYWORD:
            chunks.xmp = text.encode()
        else:
            chunks.text += ((keyword, text),)


def _text_chunk(kind: bytes, data: bytes) -> tuple[str, str]:
    keyword, _, rest = data.partition(b"\0")
    if kind == b"tEXt":
        return keyword.decode("latin-1"), rest.decode("latin-1")
    if kind == b"zTXt":
        return keyword.decode("latin-1"), _inflate(rest[1:]).decode("latin-1")
    packed = rest[:1] == b"\1"
    _, _, text = rest[2:].split(b"\0", 2)
    return keyword.decode("latin-1"), (_inflate(text) if packed else text).decode("utf-8")


def _inflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, _TEXT_LIMIT)
    if not unpacker.eof:
        raise ValueError(f"a packed chunk is damaged or unpacks to over {_TEXT_LIMIT >> 20} MB")
    return unpacked


def png_chunks(
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
    text: Iterable[tuple[str, str]],
) -> bytes:
    """The chunks with these, for between the header and the samples."""
    parts = []
    if icc is not None:
        parts.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if dpi is not None:
        x, y = (round(side / 0.0254) for side in dpi)
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
    if exif is not None:
        parts.append(_chunk(b"eXIf", exif))
    if xmp is not None:
        parts.append(_chunk(b"iTXt", _XMP_KEYWORD.encode() + b"\0\0\0\0\0" + xmp))
    for keyword, words in text:
        try:
            chunk = _chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + words.encode("latin-1"))
        except UnicodeEncodeError:
            chunk = _chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + words.encode())
        parts.append(chunk)
    return b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(
    file: BinaryIO,
    bands: Iterable[Samples],
    like: Picture,
    height: int,
    width: int,
    exif: bytes | None,
) -> None:
    """Encodes rows as they come, with the picture's metadata."""
    import pyvips

    chunks = png_chunks(like.icc, exif, like.xmp, like.dpi, like.text)
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
    yield _PNG_MARK + _chunk(b"IHDR", head)
    row_bytes = width * like.channels * like.depth // 8
    packer = zlib.compressobj(0)
    for strip in strips(bands, max(1, _STRIP // row_bytes)):
        rows = np.zeros((len(strip), 1 + row_bytes), np.uint8)  # first byte: no filter
        rows[:, 1:] = strip.astype(f">u{like.depth // 8}").reshape(len(strip), -1).view(np.uint8)
        yield _chunk(b"IDAT", packer.compress(rows.data))
    yield _chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b"")
