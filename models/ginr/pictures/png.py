"""PNG files: reading all chunks but the samples, and writing row by row.

libvips encodes, but reads rows one by one only from a file. So it gets them as a PNG with stored
instead of deflated samples, made while it reads.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from ginr.pictures.samples import Picture, Samples, strips

_PNG_MARK = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = "XML:com.adobe.xmp"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_STRIP = 1 << 20  # bytes of samples handed to the encoder at a time
_TEXT_LIMIT = 1 << 26  # bytes of an unpacked text chunk or profile


def read_chunks(file: BinaryIO) -> list[tuple[bytes, bytes]]:
    """Type and contents of all chunks but the samples; raises ValueError for an incomplete file."""
    chunks: list[tuple[bytes, bytes]] = []
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
        chunks.append((kind, data))


def is_plain_srgb(chunks: Mapping[bytes, bytes]) -> bool:
    """Whether no chunk but iCCP gives colours other than sRGB."""
    gamma = struct.unpack(">I", chunks[b"gAMA"])[0] if b"gAMA" in chunks else 45_455
    return abs(gamma - 45_455) < 1000 and chunks.get(b"cICP", b"\1\r")[:2] == b"\1\r"


def dpi_of(chunks: Mapping[bytes, bytes]) -> tuple[float, float] | None:
    """Dots per inch, (x, y); None without a resolution in units of length."""
    x, y, unit = struct.unpack(">IIB", chunks.get(b"pHYs", bytes(9)))
    return (x * 0.0254, y * 0.0254) if unit == 1 and x and y else None


def texts_of(chunks: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    """Keyword and text of the text chunks."""
    for kind, data in chunks:
        keyword, _, rest = data.partition(b"\0")
        if kind == b"tEXt":
            yield keyword.decode("latin-1"), rest.decode("latin-1")
        elif kind == b"zTXt":
            yield keyword.decode("latin-1"), inflated(rest[1:]).decode("latin-1")
        elif kind == b"iTXt":
            _, _, text = rest[2:].split(b"\0", 2)
            text = inflated(text) if rest[:1] == b"\1" else text
            yield keyword.decode("latin-1"), text.decode("utf-8")


def inflated(data: bytes) -> bytes:
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
        parts.append(_chunk(b"iTXt", XMP_KEYWORD.encode() + b"\0\0\0\0\0" + xmp))
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
