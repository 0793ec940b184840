"""TIFF directories, as files and EXIF blocks have them: (tag, type, count, value) entries."""

import math
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from mmap import mmap

Entry = tuple[int, int, bytes]
"""(TIFF type, count, raw value in the file's byte order)."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8, 129: 1}  # 129: UTF-8, of EXIF 3
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_CODES |= {16: "Q", 17: "q", 18: "Q"}
_INTEGERS = {1, 3, 4, 6, 8, 9, 13, 16, 17, 18}

_MAX_ENTRIES = 4096  # of one directory
_MAX_VALUES = 1 << 26  # bytes of the values of one directory, and no more than twice the file


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

    def table(self, offset: int) -> tuple[int, int]:
        """Start and end of the entries of the directory at an offset."""
        n_entries = self._unpack("Q" if self.is_big else "H", offset)[0]
        if n_entries > _MAX_ENTRIES:
            raise ValueError(f"a directory has {n_entries} entries, over {_MAX_ENTRIES}")
        start, step = (offset + 8, 20) if self.is_big else (offset + 2, 12)
        return start, start + step * n_entries

    def slots(self, offset: int) -> Iterator[tuple[int, int, int, int]]:
        """Yields (tag, type, count, position of the value field) for the directory at an offset."""
        start, end = self.table(offset)
        code, step, field = ("HHQ8x", 20, 12) if self.is_big else ("HHI4x", 12, 8)
        raw = self.data[start:end]
        if len(raw) < end - start:
            raise ValueError(f"the directory at byte {offset} is cut off")
        for index, (tag, kind, count) in enumerate(struct.iter_unpack(self.order + code, raw)):
            yield tag, kind, count, start + step * index + field

    def place(self, kind: int, count: int, position: int) -> tuple[int, int]:
        """Start and end of the value of a slot, which may be empty; raises ValueError."""
        if kind not in _SIZES:
            raise ValueError(f"an entry has the unknown type {kind}")
        size = _SIZES[kind] * count
        if size > (8 if self.is_big else 4):
            position = self._unpack("Q" if self.is_big else "I", position)[0]
        if position + size > len(self.data):
            raise ValueError("a value lies past the end")
        return position, position + size

    def read(self, offset: int, tags: Collection[int] | None = None) -> dict[int, Entry]:
        """The valid entries of the directory at an offset, or some, by tag; the first one counts.

        Raises ValueError for values of over 64 MB together, or so many that they must overlap.
        """
        entries: dict[int, Entry] = {}
        left = min(_MAX_VALUES, 2 * len(self.data) + 4096)
        for tag, kind, count, position in self.slots(offset):
            if tag in entries or (tags is not None and tag not in tags):
                continue
            try:
                start, end = self.place(kind, count, position)
            except ValueError:
                continue
            if start == end:
                continue
            left -= end - start
            if left < 0:
                raise ValueError("the values of a directory overlap or exceed 64 MB")
            entries[tag] = (kind, count, self.data[start:end])
        return entries

    def chain(self) -> Iterator[int]:
        """Offsets of the directories of a file, each once."""
        offset, seen = self.first, set[int]()
        while offset and offset not in seen:
            seen.add(offset)
            yield offset
            offset = self.after(offset)

    def link(self, offset: int) -> int:
        """Position of the offset of the next directory."""
        return self.table(offset)[1]

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

    def integers(self, entries: dict[int, Entry], tag: int) -> tuple[int, ...]:
        """The values of a tag; empty without it; raises ValueError if they are not integers."""
        if tag not in entries:
            return ()
        values = self.numbers(entries[tag])
        if not all(map(math.isfinite, values)) or entries[tag][0] not in {*_INTEGERS, 11, 12}:
            raise ValueError(f"tag {tag} is not a number")
        return tuple(int(value) for value in values)

    def integer(self, entries: dict[int, Entry], tag: int, default: int) -> int:
        """The first value of a tag."""
        return (*self.integers(entries, tag), default)[0]

    def pointer(self, entries: dict[int, Entry], tag: int) -> int | None:
        """The offset of a nested directory; None without one."""
        values = self.integers(entries, tag)
        return values[0] if values and entries[tag][0] in (4, 13, 16, 18) else None


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


def tiff_header(order: str, first: int, is_big: bool = False) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    if is_big:
        return mark + struct.pack(order + "HHHQ", 43, 8, 0, first)
    return mark + struct.pack(order + "HI", 42, first)
