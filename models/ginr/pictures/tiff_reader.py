"""TIFF files: which page is the picture, how its samples are stored, and its metadata."""

import struct
from contextlib import suppress
from dataclasses import dataclass
from mmap import mmap

from ginr.pictures import exif
from ginr.pictures.directories import Directories, Entry
from ginr.pictures.opened import DAMAGED_EXIF, OpenedFile
from ginr.pictures.rules import MAX_PAGES, WAY_ROUND, ReadRules, UnsupportedError

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
LAB = (8, 9, 10)
_RAW = (32803, 34892)  # colour filter array, linear raw
_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, CMYK: 4}
_REDUCED_OR_MASK = 0b101
_SUBFILE, _OLD_SUBFILE, _SUB_DIRECTORIES, _DNG = 254, 255, 330, 50706
_PAGE_TAGS = {_SUBFILE, _OLD_SUBFILE, 256, 257, exif.ORIENTATION}
_XMP, _IPTC, _PHOTOSHOP, _ICC, _DESCRIPTION = 700, 33723, 34377, 34675, 270
_MAX_CHANNELS = 64
_MAX_ENTRIES = 400_000  # of all directories
_DEVELOP = "develop it first, for example with darktable or RawTherapee"


@dataclass
class OpenedTiff(OpenedFile):
    """A page of a TIFF."""

    index: int = 0
    """Of the page among all directories of the file."""
    bits: int = 8
    photometric: int = RGB
    compression: int = 1
    alpha: int = 0
    """1: premultiplied, 2: straight, 0: none."""
    end: int = 0
    """Of the strips or tiles in the file."""


@dataclass(frozen=True)
class _Page:
    index: int
    offset: int
    size: tuple[int, int]
    """H, W, upright."""
    is_whole: bool


def open_tiff(data: mmap, page: int | None, rules: ReadRules) -> OpenedTiff:
    """Reads a page, counted from 0 without reduced copies; None is the first one."""
    if data[8:10] == b"CR" and data[:2] == b"II":
        raise UnsupportedError(f"is a raw file of a camera (CR2): {_DEVELOP}")
    directories = Directories.of(data)
    pages = _pages(directories, rules)
    chosen = pages[page or 0]
    first = directories.read(chosen.offset)
    _refuse_raw(directories, first, chosen)
    opened = _layout(directories, first, chosen.index)
    opened.pages = tuple(entry.size for entry in pages)
    if page is None and len(pages) > 1:
        opened.note_frames(len(pages))
    opened.icc = first[_ICC][2] if _ICC in first else None
    opened.add_xmp(first[_XMP][2] if _XMP in first else None)
    opened.dpi = exif.tiff_dpi(directories, first)
    _add_description(opened, first)
    try:
        opened.exif = exif.exif_of_tiff(directories, first)
    except (ValueError, LookupError, struct.error):
        opened.faults.append(DAMAGED_EXIF)
    opened.turn = exif.tiff_orientation(directories, first)
    for tag, name in ((_IPTC, "IPTC block"), (_PHOTOSHOP, "Photoshop block")):
        if first.pop(tag, None):
            opened.notes.append(f"{name} dropped")
    private = first.keys() - exif.DESCRIPTIVE - {_ICC, *exif.NESTED}
    if n_private := sum(tag >= 0x8000 for tag in private):
        opened.notes.append(f"{n_private} private TIFF tag(s) dropped")
    return opened


def _pages(directories: Directories, rules: ReadRules) -> list[_Page]:
    """The pages, without reduced copies and masks if there are others."""
    every: list[_Page] = []
    n_entries = 0
    try:
        for index, offset in enumerate(directories.chain()):
            start, end = directories.table(offset)
            n_entries += (end - start) // 12
            if not rules.allow_large and (n_entries > _MAX_ENTRIES or index >= MAX_PAGES):
                raise UnsupportedError(f"has over {index} pages or too many entries: {WAY_ROUND}")
            entries = directories.read(offset, _PAGE_TAGS)
            kind = directories.integer(entries, _SUBFILE, 0)
            is_whole = not kind & _REDUCED_OR_MASK
            is_whole &= directories.integer(entries, _OLD_SUBFILE, 1) != 2
            width, height = (directories.integer(entries, tag, 0) for tag in (256, 257))
            if exif.tiff_orientation(directories, entries) > 4:
                height, width = width, height
            every.append(_Page(index, offset, (height, width), is_whole))
    except ValueError:
        if not every:
            raise
    if not every:
        raise ValueError("it has no page")
    return [page for page in every if page.is_whole] or every[:1]


def _refuse_raw(directories: Directories, first: dict[int, Entry], chosen: _Page) -> None:
    """Raises UnsupportedError for a raw file, and for a preview of a picture that is elsewhere."""
    is_raw = _DNG in first or directories.integer(first, 262, 1) in _RAW
    larger = False
    for offset in directories.integers(first, _SUB_DIRECTORIES)[:16]:
        with suppress(ValueError):
            nested = directories.read(offset, {*_PAGE_TAGS, 262})
            is_raw |= directories.integer(nested, 262, 1) in _RAW
            larger |= directories.integer(nested, 256, 0) > max(chosen.size)
    if is_raw:
        raise UnsupportedError(f"is a raw file of a camera: {_DEVELOP}")
    if larger:
        raise UnsupportedError(
            "has only a preview as a page, and the full picture in a SubIFD, as raw files do: "
            "save that as a page of its own"
        )


def _layout(directories: Directories, first: dict[int, Entry], index: int) -> OpenedTiff:
    """How the samples are stored; raises UnsupportedError for what cannot be read."""

    def number(tag: int, default: int) -> int:
        return directories.integer(first, tag, default)

    photometric, n_samples = number(262, BLACK_IS_ZERO), number(277, 1)
    bits = set(directories.integers(first, 258)) or {1}
    kinds = set(directories.integers(first, 339)) or {1}
    depth = max(bits)
    if kinds - {1, 4} or len(bits) > 1 or not 1 <= depth <= 16:
        kind = {2: "signed integer", 3: "floating point", 5: "complex"}.get(max(kinds), "integer")
        raise UnsupportedError(
            f"has {depth}-bit {kind} samples: convert it to unsigned 8 or 16 bit"
        )
    if photometric not in {*range(4), CMYK, YCBCR, *LAB}:
        raise UnsupportedError(
            f"is not grey, RGB or CMYK (TIFF photometric {photometric}): convert it to RGB"
        )
    if depth < 8 and photometric not in (*range(2), PALETTE):
        raise UnsupportedError(
            f"has {depth}-bit RGB samples, which is not supported: convert it to 8 bit"
        )
    colours = _COLOURS.get(photometric, 3)
    stored = 1 if photometric == PALETTE else colours
    n_extra = n_samples - stored
    if n_samples > _MAX_CHANNELS:
        raise UnsupportedError(
            f"has {n_samples} channels, over {_MAX_CHANNELS}: keep 3 or 4 of them"
        )
    if n_extra < 0:
        raise ValueError(f"{n_samples} samples per pixel of photometric {photometric}")
    extra = directories.integers(first, 338)
    # Most readers take an extra channel without a meaning for alpha; 0 says that it is not.
    alpha = extra[0] if extra else 2
    has_alpha = n_extra > 0 and alpha in (1, 2) and (bool(extra) or n_extra == 1)
    opened = OpenedTiff(
        "TIFF", number(257, 0), number(256, 0), min(colours, 3) + has_alpha, 8 if depth <= 8 else 16
    )
    opened.index, opened.bits, opened.photometric = index, depth, photometric
    opened.compression, opened.alpha = number(259, 1), alpha if has_alpha else 0
    for start, length in ((273, 279), (324, 325)):
        places = (directories.integers(first, tag) for tag in (start, length))
        opened.end = max(map(sum, zip(*places, strict=False)), default=opened.end)
    if n_extra > has_alpha:
        opened.notes.append(f"{n_extra - has_alpha} extra channel(s) dropped")
    return opened


def _add_description(opened: OpenedFile, first: dict[int, Entry]) -> None:
    """Drops a description that states the sizes of arrays, which the output would contradict."""
    words = first[_DESCRIPTION][2].strip(b"\0 \n") if _DESCRIPTION in first else b""
    marks = {b"ImageJ=": "ImageJ", b'{"shape":': "tifffile", b"shape=(": "tifffile"}
    name = next((name for mark, name in marks.items() if words.startswith(mark)), None)
    if words.startswith(b"<") and b"<OME" in words[:1000]:
        name = "OME"
    if name:
        del first[_DESCRIPTION]
        opened.notes.append(f"{name} description dropped: it states other sizes")
