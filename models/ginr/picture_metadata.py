"""EXIF, XMP and the TIFF directories and PNG chunks they live in, as bytes.

An EXIF block is a small TIFF file: a header, then directories of (tag, type, count, value)
entries. One reader and one packer serve both.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import BinaryIO

Entry = tuple[int, int, bytes]
"""(TIFF type, count, raw value in the file's byte order)."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_CODES |= {16: "Q", 17: "q", 18: "Q"}

ORIENTATION = 0x112
RESOLUTION = _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x11A, 0x11B, 0x128
_EXIF_DIRECTORY, _GPS_DIRECTORY, _INTEROP_DIRECTORY = 0x8769, 0x8825, 0xA005
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xA002, 0xA003
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x201, 0x202

# What a TIFF's first directory says about the picture rather than about how it is stored.
_DESCRIPTIVE = {0x10D, 0x10E, 0x10F, 0x110, ORIENTATION, 0x131, 0x132, 0x13B, 0x13C}
_DESCRIPTIVE |= {0x4746, 0x4749, 0x8298, *range(0x9C9B, 0x9CA0)}

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))\s*[2-8]")


@dataclass(frozen=True)
class Directories:
    """Reads the directories of a TIFF file or EXIF block; raises ValueError on a damaged one."""

    data: bytes | mmap
    order: str
    """"<" or ">"."""
    first: int
    """Offset of the first directory."""
    is_big: bool = False
    """BigTIFF: 64-bit offsets."""

    @classmethod
    def of(cls, data: bytes | mmap) -> "Directories":
        head = data[:16]
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise ValueError("no TIFF header")
        magic, first = struct.unpack(order + "HI", head[2:8])
        if magic == 42:
            return cls(data, order, first)
        if magic != 43 or len(head) < 16:
            raise ValueError("no TIFF header")
        return cls(data, order, struct.unpack(order + "Q", head[8:16])[0], is_big=True)

    def _unpack(self, code: str, offset: int) -> tuple[int, ...]:
        code = self.order + code
        raw = self.data[offset : offset + struct.calcsize(code)]
        if len(raw) < struct.calcsize(code):
            raise ValueError(f"a directory points past the end, to byte {offset}")
        return struct.unpack(code, raw)

    def slots(self, offset: int) -> Iterator[tuple[int, int, int, int]]:
        """Yields (tag, type, count, position of the value field) for the directory at an offset."""
        count_code, entry_code = ("Q", "HHQ") if self.is_big else ("H", "HHI")
        n_entries = self._unpack(count_code, offset)[0]
        start, step = (offset + 8, 20) if self.is_big else (offset + 2, 12)
        for position in range(start, start + step * n_entries, step):
            tag, kind, count = self._unpack(entry_code, position)
            yield tag, kind, count, position + step - (8 if self.is_big else 4)

    def read(self, offset: int) -> dict[int, Entry]:
        """The entries of the directory at an offset by tag, without those that make no sense."""
        room, pointer = (8, "Q") if self.is_big else (4, "I")
        entries = {}
        for tag, kind, count, position in self.slots(offset):
            size = _SIZES.get(kind, 0) * count
            if size > room:
                position = self._unpack(pointer, position)[0]
            raw = self.data[position : position + size]
            if size and len(raw) == size:
                entries[tag] = (kind, count, raw)
        return entries

    def link(self, offset: int) -> int:
        """Position of the pointer to the directory that follows the one at an offset."""
        n_entries = self._unpack("Q" if self.is_big else "H", offset)[0]
        return offset + (8 + 20 * n_entries if self.is_big else 2 + 12 * n_entries)

    def after(self, offset: int) -> int:
        """Offset of the directory that follows the one at an offset; 0 if it is the last."""
        return self._unpack("Q" if self.is_big else "I", self.link(offset))[0]

    def numbers(self, entry: Entry) -> tuple[float, ...]:
        """The values of a numeric entry; empty for text."""
        kind, count, raw = entry
        if kind in (5, 10):
            parts = struct.unpack(f"{self.order}{2 * count}{'I' if kind == 5 else 'i'}", raw)
            return tuple(
                top / bottom if bottom else 0.0
                for top, bottom in zip(parts[::2], parts[1::2], strict=True)
            )
        if kind not in _CODES:
            return ()
        return struct.unpack(f"{self.order}{count}{_CODES[kind]}", raw)


def pack_directory(entries: dict[int, Entry], offset: int, order: str) -> bytes:
    """A directory that stands at an offset, followed by the values its entries have no room for."""
    table = struct.pack(order + "H", len(entries))
    values = b""
    values_offset = offset + 2 + 12 * len(entries) + 4
    for tag, (kind, count, raw) in sorted(entries.items()):
        field = raw.ljust(4, b"\0")
        if len(raw) > 4:
            field = struct.pack(order + "I", values_offset + len(values))
            values += raw + b"\0" * (len(raw) % 2)
        table += struct.pack(order + "HHI", tag, kind, count) + field
    return table + b"\0\0\0\0" + values


def exif_orientation(exif: bytes | None) -> int:
    """How the stored picture must be turned, 1 to 8; 1 where nothing sensible is said."""
    if exif is None:
        return 1
    directories = Directories.of(exif)
    return tiff_orientation(directories, directories.read(directories.first))


def tiff_orientation(directories: Directories, entries: dict[int, Entry]) -> int:
    value = directories.numbers(entries[ORIENTATION])[:1] if ORIENTATION in entries else (1,)
    return int(value[0]) if value and value[0] in range(1, 9) else 1


def tiff_dpi(directories: Directories, entries: dict[int, Entry]) -> tuple[float, float] | None:
    """Dots per inch, (x, y); None where the unit is not a length."""
    unit = directories.numbers(entries[_RESOLUTION_UNIT]) if _RESOLUTION_UNIT in entries else (2,)
    if unit not in ((2,), (3,)) or not {_X_RESOLUTION, _Y_RESOLUTION} <= entries.keys():
        return None
    x, y = (directories.numbers(entries[tag]) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    inch = 1.0 if unit == (2,) else 2.54
    return (x[0] * inch, y[0] * inch) if x and y and x[0] > 0 and y[0] > 0 else None


def exif_dpi(exif: bytes | None) -> tuple[float, float] | None:
    if exif is None:
        return None
    directories = Directories.of(exif)
    return tiff_dpi(directories, directories.read(directories.first))


def upright_exif(exif: bytes) -> bytes:
    """The block with its orientation set to 1 and without the thumbnail, which would be stale.

    Raises ValueError when the block is damaged.
    """
    directories = Directories.of(exif)
    block = bytearray(exif)
    for tag, _, _, position in directories.slots(directories.first):
        if tag == ORIENTATION:
            struct.pack_into(directories.order + "HH", block, position, 1, 0)
    thumbnail = directories.after(directories.first)
    if thumbnail:
        struct.pack_into(directories.order + "I", block, directories.link(directories.first), 0)
        places = directories.read(thumbnail)
        if {_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH} <= places.keys():
            start = int(directories.numbers(places[_THUMBNAIL_OFFSET])[0])
            length = int(directories.numbers(places[_THUMBNAIL_LENGTH])[0])
            if start > thumbnail and start + length == len(block):
                del block[start:]
    return bytes(block)


def resized_exif(exif: bytes, height: int, width: int) -> bytes:
    """The block with the picture's size, where it states one, set to the given size."""
    directories = Directories.of(exif)
    block = bytearray(exif)
    sizes = {_PIXEL_WIDTH: width, _PIXEL_HEIGHT: height, 0x100: width, 0x101: height}
    first = directories.read(directories.first)
    starts = [directories.first]
    if _EXIF_DIRECTORY in first:
        starts.append(int(directories.numbers(first[_EXIF_DIRECTORY])[0]))
    for start in starts:
        for tag, kind, count, position in directories.slots(start):
            if tag in sizes and count == 1:
                size = sizes[tag]
                if kind == 3 and size < 65536:
                    struct.pack_into(directories.order + "H", block, position, size)
                else:  # as a LONG, for which the field has room
                    struct.pack_into(directories.order + "HII", block, position - 6, 4, 1, size)
    return bytes(block)


def exif_of_tiff(directories: Directories, first: dict[int, Entry]) -> bytes | None:
    """An EXIF block of what a TIFF's first directory says about the picture; None if nothing."""
    kept = {tag: entry for tag, entry in first.items() if tag in _DESCRIPTIVE}
    nested = {}
    for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY):
        if tag in first:
            entries = directories.read(int(directories.numbers(first[tag])[0]))
            entries.pop(_INTEROP_DIRECTORY, None)  # a pointer into the file that is left behind
            if entries:
                nested[tag] = entries
    if not nested and not kept.keys() - {ORIENTATION}:
        return None
    order = directories.order
    blank = {tag: (4, 1, bytes(4)) for tag in nested}
    body = len(pack_directory(kept | blank, 8, order))
    tail = b""
    for tag, entries in nested.items():
        offset = 8 + body + len(tail)
        kept[tag] = (4, 1, struct.pack(order + "I", offset))
        tail += pack_directory(entries, offset, order)
    return tiff_header(order, 8) + pack_directory(kept, 8, order) + tail


def tiff_header(order: str, first: int) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + "HI", 42, first)


def upright_xmp(xmp: bytes) -> bytes:
    """The packet with a stated orientation set to 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def icc_space(icc: bytes) -> str:
    """The colour space a profile describes: "RGB", "GRAY", "CMYK", ..."""
    return icc[16:20].decode("ascii", "replace").strip()


_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = "XML:com.adobe.xmp"
_TEXT_LIMIT = 1 << 26  # bytes a text chunk or profile may unpack to


@dataclass
class PngChunks:
    """What a PNG says outside its samples; chunks after the samples count too."""

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
    """Whether no chunk but iCCP names other colours than sRGB's."""


def read_png_chunks(file: BinaryIO) -> PngChunks:
    """Walks a PNG's chunks without its samples; raises ValueError when it is cut short or damaged."""
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
            raise ValueError(f"chunk {kind.decode('ascii', 'replace')} is cut short")
        _take_chunk(chunks, kind, data)


def _take_chunk(chunks: PngChunks, kind: bytes, data: bytes) -> None:
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
    """The chunks that carry these, to stand between a PNG's header and its samples."""
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
