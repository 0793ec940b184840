"""Headers and metadata of picture files, and the errors of reading them."""

import mmap
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ginr.errors import PictureError, printable
from ginr.pictures import metadata, png

MAX_PIXELS = 1_000_000_000
"""Pixels that a header may claim; more counts as a decompression bomb."""

PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "AVIF", "GIF")
_CHANNELS = {"1": 1, "L": 1, "LA": 2, "P": 3, "RGB": 3, "RGBX": 3, "YCbCr": 3, "CMYK": 3}
_CHANNELS |= {"La": 2, "PA": 4, "RGBA": 4, "RGBa": 4}
DAMAGED_EXIF = "damaged EXIF block dropped"
_IPTC = "IPTC block dropped"
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, LookupError, RuntimeError, struct.error)
"""What decoders raise on damaged data, besides zlib.error."""


@dataclass
class OpenedFile:
    """Header and metadata of a file, before decoding; sizes are as stored."""

    format: str
    height: int
    width: int
    channels: int
    depth: int
    turn: int = 1
    """EXIF orientation, to be applied to the decoded samples."""
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()
    notes: list[str] = field(default_factory=list)
    transparent: bytes | None = None
    """tRNS chunk of a 16-bit PNG: libvips gets the alpha of grey wrong."""


class _UnsupportedError(Exception):
    """What a file has that cannot be read, and what to do, to follow its name."""


@contextmanager
def reading(path: Path) -> Iterator[tuple[BinaryIO, mmap.mmap]]:
    """Opens a file; raises PictureError for whatever goes wrong in the block."""
    name = printable(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise PictureError(f"{name} is a folder: name a file in it")
        if not stat.S_ISREG(mode):
            raise PictureError(f"{name} is not a regular file: save the picture to one first")
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise PictureError(f"{name} is empty (0 bytes): download or copy it again")
            with _unlimited_pillow():
                yield file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise PictureError(f"{name} does not exist: check the name") from error
    except PermissionError as error:
        raise PictureError(f"{name} cannot be read: check its permissions") from error
    except _UnsupportedError as error:
        raise PictureError(f"{name} {error}") from error
    except MemoryError as error:
        raise PictureError(
            f"{name} needs more memory than is free: close other programs"
        ) from error
    except (*_DAMAGE, zlib.error) as error:
        if isinstance(error, OSError) and error.filename is not None:  # the system, not a decoder
            raise PictureError(
                f"{name} cannot be opened ({error.strerror}): check the name"
            ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(
            f"{name} is damaged or incomplete ({reason}): download or copy it again"
        ) from error


_pillow_lock, _pillow_restore = threading.Lock(), ExitStack()
_pillow_readers: list[int] = []


@contextmanager
def _unlimited_pillow() -> Iterator[None]:
    """Lifts Pillow's size limit and mutes its warnings while a thread of ours reads.

    Both are process-wide: the first reader sets them, the last one restores them.
    """
    from PIL import Image

    with _pillow_lock:
        if not _pillow_readers:
            _pillow_restore.enter_context(warnings.catch_warnings(action="ignore"))
            _pillow_restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = None
        _pillow_readers.append(threading.get_ident())
    try:
        yield
    finally:
        with _pillow_lock:
            _pillow_readers.pop()
            if not _pillow_readers:
                _pillow_restore.close()


def open_header(file: BinaryIO, data: mmap.mmap) -> OpenedFile:
    """Reads the header and metadata of an open file."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        opened = _open_png(file)
    elif data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        opened = _open_tiff(data)
    else:
        opened = _open_with_pillow(file, data)
    n_pixels = opened.height * opened.width
    if n_pixels == 0:
        raise ValueError(f"its header claims {opened.width}x{opened.height} pixels")
    if n_pixels > MAX_PIXELS:
        raise _UnsupportedError(
            f"claims {opened.width}x{opened.height} pixels, above the limit of"
            f" {MAX_PIXELS / 1e9:g} gigapixel: split it into parts"
        )
    return opened


def _open_png(file: BinaryIO) -> OpenedFile:
    every = png.read_chunks(file)
    chunks = dict(every)
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[colour]
    transparent = chunks.get(b"tRNS")
    if transparent is not None and channels in (1, 3):
        channels += 1
    opened = OpenedFile("PNG", height, width, channels, max(8, depth), transparent=transparent)
    opened.dpi = png.dpi_of(chunks)
    if b"iCCP" in chunks:
        opened.icc = png.inflated(chunks[b"iCCP"].partition(b"\0")[2][1:])
    for keyword, text in png.texts_of(every):
        if keyword == png.XMP_KEYWORD:
            opened.xmp = text.encode()
        else:
            opened.text += ((keyword, text),)
    _add_exif(opened, chunks.get(b"eXIf"))
    if b"acTL" in chunks:
        _note_frames(opened, struct.unpack(">I", chunks[b"acTL"][:4])[0])
    if not png.is_plain_srgb(chunks) and opened.icc is None:
        opened.notes.append("cICP or gamma chunk dropped: colours are read as sRGB")
    return opened


def _open_tiff(data: mmap.mmap) -> OpenedFile:
    directories = metadata.Directories.of(data)
    first = directories.read(directories.first)

    def number(tag: int, default: int) -> int:
        return int(directories.numbers(first[tag])[0]) if tag in first else default

    bits = {int(n) for n in directories.numbers(first[258])} if 258 in first else {1}
    kinds = {int(n) for n in directories.numbers(first[339])} if 339 in first else {1}
    photometric, n_samples = number(262, 1), number(277, 1)
    if kinds - {1, 4} or bits not in ({1}, {2}, {4}, {8}, {16}):
        kind = {2: "signed integer", 3: "floating point", 5: "complex"}.get(max(kinds), "integer")
        raise _UnsupportedError(
            f"has {max(bits)}-bit {kind} samples: convert it to unsigned 8 or 16 bit"
        )
    if photometric not in (0, 1, 2, 3, 5, 6):
        raise _UnsupportedError(
            f"is not grey, RGB or CMYK (TIFF photometric {photometric}): convert it to RGB"
        )
    colours = {0: 1, 1: 1, 5: 4}.get(photometric, 3)
    stored_colours = 1 if photometric == 3 else colours
    has_alpha = n_samples > stored_colours and number(338, 0) in (1, 2)
    channels = min(colours, 3) + has_alpha
    opened = OpenedFile("TIFF", number(257, 0), number(256, 0), channels, max(8, *bits))
    if n_samples > stored_colours + has_alpha:
        opened.notes.append(f"{n_samples - stored_colours - has_alpha} extra channel(s) dropped")
    opened.icc = first[34675][2] if 34675 in first else None
    opened.xmp = first[700][2] if 700 in first else None
    opened.dpi = metadata.tiff_dpi(directories, first)
    try:
        opened.exif = metadata.exif_of_tiff(directories, first)
    except (ValueError, LookupError, struct.error):
        opened.notes.append(DAMAGED_EXIF)
    opened.turn = metadata.tiff_orientation(directories, first)
    if 33723 in first:
        opened.notes.append(_IPTC)
    _note_frames(opened, _n_pages(directories))
    return opened


def _n_pages(directories: metadata.Directories) -> int:
    """The number of pages of a TIFF, without reduced copies and masks."""
    offset, seen, n_pages = directories.first, set[int](), 0
    while offset and offset not in seen and len(seen) < 65536:
        seen.add(offset)
        subfile = directories.read(offset).get(254)
        n_pages += subfile is None or not int(directories.numbers(subfile)[0]) & 0b101
        offset = directories.after(offset)
    return max(1, n_pages)


def _open_with_pillow(file: BinaryIO, data: mmap.mmap) -> OpenedFile:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(file, formats=PILLOW_FORMATS)
    except UnidentifiedImageError as error:
        if _has_known_start(data):
            raise OSError("its header cannot be read") from error
        raise _UnsupportedError(
            "is not a supported picture: use a PNG, JPEG, WebP, TIFF, BMP, AVIF or GIF file"
        ) from error
    if image.mode not in _CHANNELS:
        raise _UnsupportedError(f"has {image.mode} samples: convert it to 8-bit RGB")
    channels = _CHANNELS[image.mode]
    if image.has_transparency_data and channels in (1, 3):
        channels += 1
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    opened = OpenedFile(kind, image.height, image.width, channels, 8)
    info: Mapping[Any, Any] = image.info
    opened.icc, opened.xmp = info.get("icc_profile") or None, info.get("xmp") or None
    dpi = info.get("dpi")
    opened.dpi = (float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None
    _add_exif(opened, info.get("exif"))
    _note_frames(opened, getattr(image, "n_frames", 1))
    if "APP13" in getattr(image, "app", {}):
        opened.notes.append(_IPTC)
    if kind == "AVIF" and (bits := _avif_bits(data)) > 8:
        opened.notes.append(f"{bits}-bit samples are read as 8-bit")
    return opened


def _has_known_start(data: mmap.mmap) -> bool:
    head = data[:12]
    return head.startswith((b"\xff\xd8\xff", b"BM", b"GIF8")) or head[8:] == b"WEBP"


def _avif_bits(data: mmap.mmap) -> int:
    """Bits of a sample, from the AV1 configuration box."""
    at = data.find(b"av1C", 0, 1 << 16)
    if at < 0 or at + 7 > len(data):
        return 8
    flags = data[at + 6]
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _add_exif(opened: OpenedFile, exif: bytes | None) -> None:
    if not exif:
        return
    exif = exif.removeprefix(b"Exif\0\0")
    try:
        opened.turn = metadata.exif_orientation(exif)
    except (ValueError, struct.error):
        opened.notes.append(DAMAGED_EXIF)
    else:
        opened.exif = exif


def _note_frames(opened: OpenedFile, n_frames: int) -> None:
    if n_frames > 1:
        opened.notes.append(f"only the first of {n_frames} frames is read")
