"""EXIF blocks: small TIFF files without samples, changed in place where possible.

Camera makers store offsets into the block, so values keep their places.
"""

import struct
from operator import mul, truediv

from ginr.pictures.directories import Directories, Entry, pack_directory, tiff_header

ORIENTATION = 0x112
RESOLUTION = _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x11A, 0x11B, 0x128
_EXIF_DIRECTORY, _GPS_DIRECTORY, _INTEROP_DIRECTORY = 0x8769, 0x8825, 0xA005
NESTED = (_EXIF_DIRECTORY, _GPS_DIRECTORY)
_SIZES = {0xA002: 1, 0xA003: 0, 0x100: 1, 0x101: 0}  # of the picture: tag -> axis, 0 is y
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x201, 0x202
_DESCRIPTION = 0x10E

_PIXEL_SCALE, _TIE_POINTS, _TRANSFORM = 0x830E, 0x8482, 0x85D8
GEO = {_PIXEL_SCALE, _TIE_POINTS, _TRANSFORM, 0x87AF, 0x87B0, 0x87B1, 0xA480, 0xA481}
"""Tags of GeoTIFF and GDAL."""

DESCRIPTIVE = {0x10D, _DESCRIPTION, 0x10F, 0x110, 0x11D, ORIENTATION, 0x131, 0x132, 0x13B, 0x13C}
DESCRIPTIVE |= {0x4746, 0x4749, 0x8298, *range(0x9C9B, 0x9CA0), 0xC4A5, *GEO, *RESOLUTION}
"""Tags of a TIFF's first directory that describe the picture, not how it is stored."""

_EXPECTED = {ORIENTATION: {3}, _RESOLUTION_UNIT: {3}, _X_RESOLUTION: {5}, _Y_RESOLUTION: {5}}
_EXPECTED |= {tag: {4, 13} for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY, _INTEROP_DIRECTORY)}
_EXPECTED |= {tag: {3, 4} for tag in _SIZES}
"""Types of the tags that are read or changed here; they have one value."""


def sound_exif(exif: bytes) -> tuple[bytes, bool]:
    """The block, and whether it was sound; if not, one made of its valid entries.

    Raises ValueError if nothing of it can be kept.
    """
    exif = exif[exif.find(b"Exif\0\0") + 6 :] if exif[:10].find(b"Exif\0\0") >= 0 else exif
    directories = Directories.of(exif)
    if _is_sound(directories, exif):
        return exif, True
    kept = {
        tag: entry
        for tag, entry in directories.read(directories.first).items()
        if _is_expected(tag, *entry[:2])
    }
    kept, _ = repacked(directories, kept, 0)
    if not kept:
        raise ValueError("no entry is valid")
    return _block(directories, kept), False


def _is_expected(tag: int, kind: int, count: int) -> bool:
    return tag not in _EXPECTED or (kind in _EXPECTED[tag] and count == 1)


def _is_sound(directories: Directories, exif: bytes) -> bool:
    """Whether all entries are valid and no value lies where a directory is."""
    tables, values = [(0, 8)], list[tuple[int, int]]()
    places = [directories.first]
    try:
        for place in places:  # grows below
            start, end = directories.table(place)
            tables.append((place, end + 4))
            seen = set[int]()
            for tag, kind, count, position in directories.slots(place):
                value = directories.place(kind, count, position)
                if tag in seen or not _is_expected(tag, kind, count):
                    return False
                seen.add(tag)
                if not start <= value[0] < end:
                    values.append(value)
                if tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY, _INTEROP_DIRECTORY):
                    places += struct.unpack(directories.order + "I", exif[value[0] : value[1]])
            if len(places) > 4:
                return False
            directories.after(place)
    except ValueError:
        return False
    return not any(
        start < table_end and table_start < end
        for start, end in values
        for table_start, table_end in tables
    )


def exif_orientation(exif: bytes) -> int:
    """The orientation of the stored picture, 1 to 8; 1 if not or not validly stated."""
    directories = Directories.of(exif)
    return tiff_orientation(directories, directories.read(directories.first, {ORIENTATION}))


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
        return tiff_dpi(directories, directories.read(directories.first, RESOLUTION))
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
        try:
            places = directories.read(thumbnail)
            start = directories.integer(places, _THUMBNAIL_OFFSET, 0)
            length = directories.integer(places, _THUMBNAIL_LENGTH, 0)
        except ValueError:
            return bytes(block)
        if start > thumbnail and start + length == len(block):
            del block[start:]
    return bytes(block)


def without_orientation(exif: bytes) -> bytes:
    """The block without its entry for the orientation: otherwise Pillow rewrites the block of an AVIF."""
    directories = Directories.of(exif)
    block = bytearray(exif)
    _, end = directories.table(directories.first)
    for tag, _, _, position in directories.slots(directories.first):
        if tag == ORIENTATION:
            block[position - 8 : end + 4] = block[position + 4 : end + 4] + bytes(12)
            n_entries = struct.unpack_from(directories.order + "H", exif, directories.first)[0]
            struct.pack_into(directories.order + "H", block, directories.first, n_entries - 1)
    return bytes(block)


def resized_exif(exif: bytes, size: tuple[int, int], former: tuple[int, int]) -> bytes:
    """The block with all that depends on the picture's size (H, W) set to another one.

    These are the stated size, a resolution without a unit of length, and a map's pixel scale, tie
    points and transformation. Raises ValueError for a damaged block.
    """
    directories = Directories.of(exif)
    block = bytearray(exif)
    order, scale = directories.order, [new / old for new, old in zip(size, former, strict=True)]
    first = directories.read(directories.first)
    slots = list(directories.slots(directories.first))
    if (nested := directories.pointer(first, _EXIF_DIRECTORY)) is not None:
        slots += directories.slots(nested)
    has_unit = directories.integer(first, _RESOLUTION_UNIT, 2) != 1
    for tag, kind, count, position in slots:
        start, _ = directories.place(kind, count, position)
        if tag in _SIZES and count == 1:
            side = size[_SIZES[tag]]
            if kind == 3 and side < 65536:
                struct.pack_into(order + "H", block, position, side)
            else:  # as a LONG, which fits the field
                struct.pack_into(order + "HII", block, position - 6, 4, 1, side)
        elif tag in (_X_RESOLUTION, _Y_RESOLUTION) and not has_unit and kind == 5:
            axis = 1 if tag == _X_RESOLUTION else 0
            top, bottom = struct.unpack_from(order + "II", exif, start)
            if bottom and (value := scale[axis] * top / bottom) * 10_000 < 2**32:
                struct.pack_into(order + "II", block, start, round(value * 10_000), 10_000)
        elif tag in _MAP_SCALING and kind == 12:
            values = list(struct.unpack_from(f"{order}{count}d", exif, start))
            change, step, n_more = _MAP_SCALING[tag]
            for k in range(0, count - n_more, step):
                for axis in (1, 0):  # x, y
                    values[k + 1 - axis] = change(values[k + 1 - axis], scale[axis])
            struct.pack_into(f"{order}{count}d", block, start, *values)
    return bytes(block)


_MAP_SCALING = {
    _PIXEL_SCALE: (truediv, 3, 1),
    _TIE_POINTS: (mul, 6, 5),
    _TRANSFORM: (truediv, 4, 3),
}
"""How x and y, the first two of each group of numbers, change; the length of a group, and how many of
it must follow x."""


def exif_at_dpi(exif: bytes, dpi: float) -> bytes:
    """The block with its stated resolution, if any, set to `dpi` dots per inch."""
    directories = Directories.of(exif)
    block = bytearray(exif)
    for tag, kind, count, position in directories.slots(directories.first):
        if tag in (_X_RESOLUTION, _Y_RESOLUTION) and (kind, count) == (5, 1):
            start, _ = directories.place(kind, count, position)
            struct.pack_into(directories.order + "II", block, start, round(dpi * 10_000), 10_000)
        elif tag == _RESOLUTION_UNIT:
            struct.pack_into(directories.order + "HH", block, position, 2, 0)  # inches
    return bytes(block)


def without(exif: bytes, tags: set[int]) -> tuple[bytes | None, bool]:
    """The block without some tags, None if nothing is left; and whether there were any."""
    directories = Directories.of(exif)
    first = directories.read(directories.first)
    if not first.keys() & tags:
        return exif, False
    kept = {tag: entry for tag, entry in first.items() if tag not in tags}
    return (_block(directories, kept) if kept else None), True


def exif_of_tiff(directories: Directories, first: dict[int, Entry]) -> bytes | None:
    """An EXIF block of the descriptive entries of a TIFF's directory; None without any."""
    kept = {tag: entry for tag, entry in first.items() if tag in DESCRIPTIVE}
    kept = {tag: entry for tag, entry in kept.items() if _is_expected(tag, *entry[:2])}
    ratio = directories.numbers(kept[_X_RESOLUTION]) if _X_RESOLUTION in kept else ()
    if directories.integer(first, _RESOLUTION_UNIT, 2) != 1 or ratio == (1.0,):
        for tag in RESOLUTION:
            kept.pop(tag, None)  # the picture's dpi says it
    kept |= {tag: first[tag] for tag in NESTED if tag in first}
    kept, _ = repacked(directories, kept, 0)  # without empty directories
    if not kept.keys() - {ORIENTATION}:
        return None
    return _block(directories, {tag: first[tag] for tag in kept})


def _block(directories: Directories, entries: dict[int, Entry]) -> bytes:
    """The entries as a block of their own, with their nested directories."""
    order = directories.order
    body = len(pack_directory(repacked(directories, entries, 0)[0], 8, order))
    entries, nested = repacked(directories, entries, 8 + body)
    return tiff_header(order, 8) + pack_directory(entries, 8, order) + nested


def repacked(
    directories: Directories, entries: dict[int, Entry], offset: int, is_big: bool = False
) -> tuple[dict[int, Entry], bytes]:
    """The entries, and their EXIF and GPS directories repacked for an offset."""
    order, tail = directories.order, b""
    entries = dict(entries)
    for tag in NESTED:
        if tag not in entries:
            continue
        try:
            place = directories.pointer({tag: entries.pop(tag)}, tag)
            nested = {} if place is None else directories.read(place)
        except ValueError:
            continue
        nested.pop(_INTEROP_DIRECTORY, None)  # an offset in the original file
        nested = {tag: entry for tag, entry in nested.items() if _is_expected(tag, *entry[:2])}
        if nested:
            packed = struct.pack(order + ("Q" if is_big else "I"), offset + len(tail))
            entries[tag] = (16 if is_big else 4, 1, packed)
            tail += pack_directory(nested, offset + len(tail), order, is_big)
    return entries, tail
