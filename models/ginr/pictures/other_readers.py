"""Headers of WebP files and of those that Pillow opens, with metadata that it leaves out."""

import struct
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from mmap import mmap
from typing import Any, BinaryIO

from ginr.pictures.opened import GAIN_MAP, OpenedFile
from ginr.pictures.rules import (
    DAMAGE,
    Deadline,
    ReadRules,
    TimedFile,
    UnsupportedError,
    check_size,
    foreign_errors,
    reason_of,
)

_CHANNELS = {"1": 1, "L": 1, "LA": 2, "P": 3, "RGB": 3, "RGBX": 3, "YCbCr": 3, "CMYK": 3}
_CHANNELS |= {"La": 2, "PA": 4, "RGBA": 4, "RGBa": 4, "I;16": 1}
MAX_BOXES = 4096  # of a JPEG XL file
XMP_IN_GIF = b"\x21\xff\x0bXMP DataXMP"
AFTER_XMP = bytes([1, *range(255, -1, -1), 0])
"""Leads readers that take the text for blocks, each with its length in front, to its end."""
_EXTRA = 'pip install "ginr[formats]" to read it'


def open_webp(data: mmap) -> OpenedFile:
    """Reads the chunks of a WebP; raises ValueError for a damaged header."""
    opened = OpenedFile("WEBP", 0, 0, 3, 8)
    if len(data) < 8 + struct.unpack("<I", data[4:8])[0]:
        opened.faults.append("it is shorter than its header says")
    n_frames = 0
    for kind, start, end in chunks_of(data, 12, len(data)):
        head = data[start : start + 10]
        if kind == b"VP8X" and len(head) == 10:
            width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (4, 7))
            opened.width, opened.height = width, height
            opened.channels = 4 if head[0] & 0x10 else 3
        elif kind == b"VP8 " and not opened.width and head[3:6] == b"\x9d\x01\x2a":
            width, height = struct.unpack("<HH", head[6:10])
            opened.width, opened.height = width & 0x3FFF, height & 0x3FFF
        elif kind == b"VP8L" and not opened.width and head[:1] == b"\x2f":
            packed = int.from_bytes(head[1:5], "little")
            opened.width, opened.height = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
            opened.channels = 4 if packed >> 28 & 1 else 3
        elif kind == b"ICCP":
            opened.icc = data[start:end]
        elif kind == b"EXIF" and opened.exif is None:
            opened.add_exif(data[start:end])
        elif kind == b"XMP " and opened.xmp is None:
            opened.add_xmp(data[start:end])
        n_frames += kind == b"ANMF"
        if n_frames > 1 << 20:
            break
    opened.note_frames(n_frames)
    return opened


def chunks_of(data: mmap | bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the contents of each chunk of a WebP; the last may end behind `end`."""
    while at + 8 <= end:
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        yield kind, at + 8, at + 8 + length
        at += 8 + length + length % 2


@foreign_errors()
def open_with_pillow(file: BinaryIO, data: mmap, rules: ReadRules) -> OpenedFile:
    """Reads the header of a BMP, GIF, AVIF, JPEG 2000, HEIC or JPEG XL file."""
    from PIL import Image, UnidentifiedImageError

    kind = _kind_of(data[:64])
    if kind is None:
        raise UnsupportedError(
            "is not a supported picture: use a PNG, JPEG, WebP, TIFF, BMP, AVIF, GIF, JPEG 2000,"
            " HEIC or JPEG XL file"
        )
    if kind == "AVIF" and not find_spec("PIL._avif"):
        raise UnsupportedError("is AVIF, which this Pillow cannot read: update Pillow")
    if kind == "HEIF" and not register_heif():
        raise UnsupportedError(f"is HEIC: {_EXTRA}")
    bits = 8
    if kind == "JXL":
        if not register_jxl():
            raise UnsupportedError(f"is JPEG XL: {_EXTRA}")
        height, width, bits = _header_of_jxl(data)
        check_size(height, width, 3, len(data), rules)  # the plug-in decodes at once
    try:
        image = Image.open(TimedFile(file, Deadline(rules)), formats=(kind,))
    except UnidentifiedImageError as error:
        raise OSError("its header cannot be read") from error
    except OSError as error:
        if "nsupported" not in str(error):
            raise
        raise UnsupportedError(
            f"has samples that are not supported ({reason_of(error)}): convert it first"
        ) from error
    if image.mode not in _CHANNELS:
        raise UnsupportedError(f"has {image.mode} samples: convert it to 8-bit RGB")
    channels = _CHANNELS[image.mode]
    if image.has_transparency_data and channels in (1, 3):
        channels += 1
    depth = 16 if image.mode == "I;16" else 8
    opened = OpenedFile(str(image.format), image.height, image.width, channels, depth)
    info: dict[Any, Any] = dict(image.info)
    opened.icc = info.get("icc_profile") or None
    opened.add_exif(info.get("exif"))
    opened.add_xmp(info.get("xmp"))
    dpi = info.get("dpi")
    opened.dpi = (float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None
    comment = info.get("comment")
    if comment:
        opened.add_comment(comment if isinstance(comment, bytes) else str(comment).encode())
    try:
        opened.note_frames(getattr(image, "n_frames", 1))
    except DAMAGE:  # of a GIF whose later frames are cut
        opened.faults.append("its frames end early")
        opened.note_frames(image.tell() + 1)
    if kind in _ADD:
        _ADD[kind](opened, data)
    if kind == "JXL":
        opened.turn = 1  # the decoder has turned it
        if bits > opened.depth:
            opened.notes.append(f"{bits}-bit samples are read as {opened.depth}-bit")
    return opened


def _kind_of(head: bytes) -> str | None:
    """What a file is by its first bytes."""
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"avif", b"avis") or (brand in (b"mif1", b"msf1") and b"avif" in head[16:]):
            return "AVIF"
        if brand == b"crx ":
            raise UnsupportedError("is a raw file of a camera (CR3): develop it first")
        return (
            "HEIF"
            if brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
            else None
        )
    starts = {b"BM": "BMP", b"GIF8": "GIF", b"\xff\x4f\xff\x51": "JPEG2000", b"\xff\x0a": "JXL"}
    starts |= {b"\0\0\0\x0cjP  ": "JPEG2000", b"\0\0\0\x0cJXL ": "JXL"}
    return next((kind for start, kind in starts.items() if head.startswith(start)), None)


def register_heif() -> bool:
    """Lets Pillow read HEIC if a plug-in is installed."""
    try:
        import pi_heif
    except ImportError:
        try:
            import pillow_heif as pi_heif
        except ImportError:
            return False
    pi_heif.register_heif_opener()
    return True


def register_jxl() -> bool:
    """Lets Pillow read and write JPEG XL if a plug-in is installed."""
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        return False
    return True


def _add_bmp(opened: OpenedFile, data: mmap) -> None:
    """Takes the ICC profile of a BMP."""
    if data[30:34] in (b"\1\0\0\0", b"\2\0\0\0"):
        opened.slowness = 16  # Pillow decodes run lengths in Python
    size = struct.unpack("<I", data[14:18])[0]
    if size < 108:
        return
    space = data[70:74]
    if space == b"DEBM" and size >= 124:  # PROFILE_EMBEDDED, little-endian
        start, length = struct.unpack("<II", data[126:134])
        opened.icc = data[14 + start : 14 + start + length]
    elif space == b"KNIL" or (space == bytes(4) and any(data[74:122])):
        opened.notes.append("linked profile or calibration dropped: colours are read as sRGB")


def _add_gif(opened: OpenedFile, data: mmap) -> None:
    """Takes the XMP packet of a GIF, if it precedes the frames."""
    at = data.find(XMP_IN_GIF, 0, 1 << 16)
    end = data.find(AFTER_XMP[:3], at)
    if 0 <= at < end:
        opened.add_xmp(data[at + len(XMP_IN_GIF) : end])


def _add_nclx(opened: OpenedFile, data: mmap) -> None:
    """Takes the colour space that an AVIF or HEIC states by numbers, if it has no profile."""
    if any(data.find(mark, 0, 1 << 16) >= 0 for mark in (b"hdrgainmap", b"tmap")):
        opened.note_once(GAIN_MAP)
    at = data.find(b"colrnclx", 0, 1 << 16)
    if at >= 0 and opened.icc is None and at + 15 <= len(data):
        primaries, transfer, matrix, full = struct.unpack(">HHHB", data[at + 8 : at + 15])
        opened.set_cicp((primaries, transfer, matrix, full >> 7))
    if (bits := _bits_of(data)) > 8:
        opened.notes.append(f"{bits}-bit samples are read as 8-bit")


def _note_bits_of_jp2(opened: OpenedFile, data: mmap) -> None:
    at = data.find(b"\xff\x4f\xff\x51", 0, 1 << 20)  # start and size of the codestream
    if at >= 0 and opened.depth == 8 and at + 42 < len(data):
        bits = (data[at + 42] & 0x7F) + 1
        if bits > 8:
            opened.notes.append(f"{bits}-bit samples are read as 8-bit")


def _bits_of(data: mmap) -> int:
    """Bits of a sample of an AVIF or HEIC, from the configuration of its codec."""
    at = data.find(b"hvcC", 0, 1 << 16)
    if 0 <= at < len(data) - 22:
        return 8 + (data[at + 21] & 7)
    at = data.find(b"av1C", 0, 1 << 16)
    if at < 0 or at + 7 > len(data):
        return 8
    flags = data[at + 6]
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _header_of_jxl(data: mmap) -> tuple[int, int, int]:
    """Height, width and bits of a sample, from the first bits of a JPEG XL codestream."""
    start = 0
    if data[:2] != b"\xff\x0a":
        at = min((at for at in (data.find(b"jxlc"), data.find(b"jxlp")) if at >= 0), default=-1)
        start = data.find(b"\xff\x0a", at, at + 16)
        if at < 0 or start < 0:
            raise ValueError("it has no codestream")
    bits = int.from_bytes(data[start + 2 : start + 18], "little")

    def take(n_bits: int) -> int:
        nonlocal bits
        value = bits & ((1 << n_bits) - 1)
        bits >>= n_bits
        return value

    def side(is_small: int) -> int:
        return 8 * (1 + take(5)) if is_small else 1 + take((9, 13, 18, 30)[take(2)])

    is_small = take(1)
    height = side(is_small)
    top, bottom = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[take(3)]
    width = height * top // bottom if top else side(is_small)
    depth = 8
    # Not the default header, and without more fields than the orientation: integers of some bits.
    if not take(1) and not (take(1) and take(6) >> 3) and not take(1):
        choice = take(2)
        depth = 1 + take(6) if choice == 3 else (8, 10, 12)[choice]
    return height, width, depth


def _add_xmp_of_jxl(opened: OpenedFile, data: mmap) -> None:
    """Takes the XMP packet of a JPEG XL file with boxes, which the plug-in leaves out."""
    at = 0 if data[:2] != b"\xff\x0a" else len(data)
    for _ in range(MAX_BOXES):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        start = at + 8
        if length == 1:
            length, start = int.from_bytes(data[start : start + 8], "big"), at + 16
        end = at + length if length else len(data)
        if not start <= end <= len(data):
            return
        if kind == b"xml " and opened.xmp is None:
            opened.add_xmp(data[start:end])
        at = end


_ADD: dict[str, Callable[[OpenedFile, mmap], None]] = {
    "BMP": _add_bmp,
    "GIF": _add_gif,
    "AVIF": _add_nclx,
    "HEIF": _add_nclx,
    "JPEG2000": _note_bits_of_jp2,
    "JXL": _add_xmp_of_jxl,
}
