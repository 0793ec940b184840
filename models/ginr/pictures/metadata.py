"""EXIF, XMP and TIFF directories, as bytes.

An EXIF block is a small TIFF file: a header, then directories of (tag, type, count, value)
entries.
"""

import contextlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

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

# Tags of a TIFF's first directory that describe the picture, not how it is stored.
_DESCRIPTIVE = {0x10D, 0x10E, 0x10F, 0x110, ORIENTATION, 0x131, 0x132, 0x13B, 0x13C}
_DESCRIPTIVE |= {0x4746, 0x4749, 0x8298, *range(0x9C9B, 0x9CA0)}

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))\s*[2-8]")


@dataclass(frozen=True)
class Directories:
    """Reads directories of a TIFF file or EXIF block; raises ValueError for a damaged one."""

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
        """The valid entries of the directory at an offset, by tag."""
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
        """Position of the offset of the next directory."""
        n_entries = self._unpack("Q" if self.is_big else "H", offset)[0]
        return offset + (8 + 20 * n_entries if self.is_big else 2 + 12 * n_entries)

    def after(self, offset: int) -> int:
        """Offset of the next directory; 0 after the last one."""
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


def pack_directory(
    entries: dict[int, Entry], offset: int, order: str, is_big: bool = False
) -> bytes:
    """A directory for an offset, followed by the values that do not fit into its entries."""
    n_code, entry_code, pointer, room = ("Q", "HHQ", "Q", 8) if is_big else ("H", "HHI", "I", 4)
    table = [struct.pack(order + n_code, len(entries))]
    values: list[bytes] = []
    end = offset + len(table[0]) + (4 + 2 * room) * len(entries) + room
    for tag, (kind, count, raw) in sorted(entries.items()):
        field = raw.ljust(room, b"\0")
        if len(raw) > room:
            field = struct.pack(order + pointer, end)
            values.append(raw + b"\0" * (len(raw) % 2))
            end += len(values[-1])
        table.append(struct.pack(order + entry_code, tag, kind, count) + field)
    return b"".join([*table, bytes(room), *values])


def exif_orientation(exif: bytes | None) -> int:
    """The orientation of the stored picture, 1 to 8; 1 if not or not validly stated."""
    if exif is None:
        return 1
    directories = Directories.of(exif)
    return tiff_orientation(directories, directories.read(directories.first))


def tiff_orientation(directories: Directories, entries: dict[int, Entry]) -> int:
    value = directories.numbers(entries[ORIENTATION])[:1] if ORIENTATION in entries else (1,)
    return int(value[0]) if value and value[0] in range(1, 9) else 1


def tiff_dpi(directories: Directories, entries: dict[int, Entry]) -> tuple[float, float] | None:
    """Dots per inch, (x, y); None without a resolution in units of length."""
    unit = directories.numbers(entries[_RESOLUTION_UNIT]) if _RESOLUTION_UNIT in entries else (2,)
    if unit not in ((2,), (3,)) or not {_X_RESOLUTION, _Y_RESOLUTION} <= entries.keys():
        return None
    x, y = (directories.numbers(entries[tag]) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    inch = 1.0 if unit == (2,) else 2.54
    return (x[0] * inch, y[0] * inch) if x and y and x[0] > 0 and y[0] > 0 else None


def exif_dpi(exif: bytes) -> tuple[float, float] | None:
    """Dots per inch stated in an EXIF block; None if there are none or it is damaged."""
    try:
        directories = Directories.of(exif)
        return tiff_dpi(directories, directories.read(directories.first))
    except ValueError:
        return None


def upright_exif(exif: bytes) -> bytes:
    """The block with orientation 1 and without the outdated thumbnail.

    Raises ValueError for a damaged block.
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
    """The block with its stated picture size, if any, set to this one."""
    directories = Directories.of(exif)
    block = bytearray(exif)
    sizes = {_PIXEL_WIDTH: width, _PIXEL_HEIGHT: height, 0x100: width, 0x101: height}
    nested = directories.read(directories.first).get(_EXIF_DIRECTORY)
    slots = list(directories.slots(directories.first))
    if nested is not None:
        with contextlib.suppress(ValueError):  # a damaged directory is kept as it is
            slots += directories.slots(int(directories.numbers(nested)[0]))
    for tag, kind, count, position in slots:
        if tag in sizes and count == 1:
            size = sizes[tag]
            if kind == 3 and size < 65536:
                struct.pack_into(directories.order + "H", block, position, size)
            else:  # as a LONG, which fits the field
                struct.pack_into(directories.order + "HII", block, position - 6, 4, 1, size)
    return bytes(block)


def exif_at_dpi(exif: bytes, dpi: float) -> bytes:
    """The block with its stated resolution, if any, set to `dpi` dots per inch."""
    directories = Directories.of(exif)
    block = bytearray(exif)
    for tag, kind, count, position in directories.slots(directories.first):
        if tag in (_X_RESOLUTION, _Y_RESOLUTION) and (kind, count) == (5, 1):
            (place,) = struct.unpack_from(directories.order + "I", block, position)
            struct.pack_into(directories.order + "II", block, place, round(dpi * 10_000), 10_000)
        elif tag == _RESOLUTION_UNIT:
            struct.pack_into(directories.order + "HH", block, position, 2, 0)  # inches
    return bytes(block)


def exif_of_tiff(directories: Directories, first: dict[int, Entry]) -> bytes | None:
    """An EXIF block of the descriptive entries of a TIFF's first directory; None without any."""
    kept = {tag: entry for tag, entry in first.items() if tag in _DESCRIPTIVE}
    kept |= {tag: first[tag] for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY) if tag in first}
    kept, _ = moved(directories, kept, 0)  # without empty directories
    if not kept.keys() - {ORIENTATION}:
        return None
    order = directories.order
    body = len(pack_directory(kept, 8, order))
    kept, nested = moved(directories, {tag: first[tag] for tag in kept}, 8 + body)
    return tiff_header(order, 8) + pack_directory(kept, 8, order) + nested


def moved(
    directories: Directories, entries: dict[int, Entry], offset: int, is_big: bool = False
) -> tuple[dict[int, Entry], bytes]:
    """The entries, and their EXIF and GPS directories packed anew for an offset."""
    order, tail = directories.order, b""
    entries = dict(entries)
    for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY):
        if tag not in entries:
            continue
        nested = directories.read(int(directories.numbers(entries.pop(tag))[0]))
        nested.pop(_INTEROP_DIRECTORY, None)  # an offset in the original file
        if nested:
            place = struct.pack(order + ("Q" if is_big else "I"), offset + len(tail))
            entries[tag] = (16 if is_big else 4, 1, place)
            tail += pack_directory(nested, offset + len(tail), order, is_big)
    return entries, tail


def tiff_header(order: str, first: int, is_big: bool = False) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    if is_big:
        return mark + struct.pack(order + "HHHQ", 43, 8, 0, first)
    return mark + struct.pack(order + "HI", 42, first)


def upright_xmp(xmp: bytes) -> bytes:
    """The packet with its orientation, if stated, set to 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def icc_space(icc: bytes) -> str:
    """The colour space of a profile: "RGB", "GRAY", "CMYK", ..."""
    return icc[16:20].decode("ascii", "replace").strip()
