"""Markers of JPEG files: header and metadata, up to the samples."""

import struct
from collections.abc import Iterator
from mmap import mmap

from ginr.pictures import xmp
from ginr.pictures.directories import Directories
from ginr.pictures.exif import exif_dpi
from ginr.pictures.opened import GAIN_MAP, MOTION, OpenedFile
from ginr.pictures.rules import UnsupportedError

END = b"\xff\xd9"
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_UNSUPPORTED = {0xF7: "JPEG-LS", 0xC3: "lossless JPEG", 0xCB: "lossless JPEG"}
_UNSUPPORTED |= dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical JPEG")
_SCAN, _COMMENT, _TABLES = 0xDA, 0xFE, 0xDB
_XMP, _MORE_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_PROFILE = b"ICC_PROFILE\0"
_ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496"
LUMA_SUM = 3688  # of ITU-T T.81's table of luminance, Annex K.1, which quality 50 uses as it is
_MAX_SEGMENTS = 10_000


def open_jpeg(data: mmap) -> OpenedFile:
    """Reads all markers before the samples; raises ValueError for a damaged header."""
    segments: list[tuple[int, bytes]] = []
    frame, scan = None, 0
    for marker, start, end in _segments(data):
        if marker == _SCAN:
            scan = end
        elif marker in _FRAMES and frame is None:
            frame = marker, data[start:end]
        elif (marker >= 0xE0 or marker == _TABLES) and len(segments) < _MAX_SEGMENTS:
            segments.append((marker, data[start:end]))
    if frame is None or len(frame[1]) < 6:
        raise ValueError("it has no frame header")
    bits, height, width, n_channels = struct.unpack(">BHHB", frame[1][:6])
    if frame[0] in _UNSUPPORTED or bits != 8:
        kind = _UNSUPPORTED.get(frame[0], f"{bits}-bit JPEG")
        raise UnsupportedError(f"has {kind} compression, which is not supported: convert it first")
    if n_channels not in (1, 3, 4):
        raise UnsupportedError(
            f"has {n_channels} channels, which is not supported: convert it to RGB"
        )
    if height == 0:
        raise UnsupportedError(
            "states its height after the samples (DNL), which is not supported: convert it"
        )
    opened = OpenedFile("JPEG", height, width, min(n_channels, 3), 8)
    _read_segments(opened, segments)
    if not scan:
        raise ValueError("it ends before the samples")
    # Samsung's, behind the picture; others are not searched, which would read all of the file.
    if data[-4:] == b"SEFT" and data.rfind(b"MotionPhoto_Data", scan) >= 0:
        opened.note_once(MOTION)
    if data.rfind(END, scan) < 0:
        opened.faults.append("the end marker is missing")
    return opened


def _segments(data: mmap) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the contents of each segment up to the first scan."""
    position = 2
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            return
        marker = data[position + 1]
        if marker < 0xC0 or 0xD0 <= marker <= 0xD9 or marker == 0xFF:  # no contents, or filling
            position += 1 if marker == 0xFF else 2
            continue
        end = position + 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
        if end < position + 4:
            position += 2
            continue
        yield marker, position + 4, min(end, len(data))
        if marker == _SCAN:
            return
        position = end


def _read_segments(opened: OpenedFile, segments: list[tuple[int, bytes]]) -> None:
    profile: dict[int, bytes] = {}
    packets: list[bytes] = []
    more_xmp = False
    for marker, data in segments:
        if marker == 0xE0 and data[:5] == b"JFIF\0" and len(data) >= 12:
            unit, x, y = struct.unpack(">BHH", data[7:12])
            inch = {1: 1.0, 2: 2.54}.get(unit)
            opened.dpi = (x * inch, y * inch) if inch and x and y else None
        elif marker == 0xE1 and data[:6] == b"Exif\0\0" and opened.exif is None:
            opened.add_exif(data[6:])
        elif marker == 0xE1 and data.startswith(_XMP):
            packets.append(data[len(_XMP) :])
        elif marker == 0xE1 and data.startswith(_MORE_XMP):
            more_xmp = True
        elif marker == 0xE2 and data.startswith(_PROFILE) and len(data) > 14:
            profile.setdefault(data[12], data[14:])
        elif marker == 0xE2 and data[:4] == b"MPF\0":
            _read_frames(opened, data[4:])
        elif marker == 0xE2 and data.startswith(_ISO_GAIN_MAP):
            opened.note_once(GAIN_MAP)
        elif marker == 0xED:
            opened.note_once(
                "IPTC block dropped" if b"8BIM\x04\x04" in data else "Photoshop block dropped"
            )
        elif marker == _TABLES and opened.jpeg_quality is None:
            opened.jpeg_quality = _quality(data)
        elif marker == _COMMENT:
            opened.add_comment(data)
    opened.icc = b"".join(profile[number] for number in sorted(profile)) or None
    packet = packets[0] if packets else None
    if packet and (more_xmp or xmp.EXTENDED_MARK in packet):
        packet = xmp.without(packet, xmp.EXTENSION)
        more_xmp = True
    opened.add_xmp(packet)
    if more_xmp:
        opened.notes.append("extended XMP dropped")
    if opened.dpi is None and opened.exif is not None:
        opened.dpi = exif_dpi(opened.exif)


def _quality(tables: bytes) -> int | None:
    """The quality, 1 to 100, of a table of luminance, as the Independent JPEG Group scales it."""
    width = 1 + (tables[0] >> 4) if tables else 1  # bytes of an entry
    if len(tables) < 1 + 64 * width or tables[0] & 15:
        return None
    entries = struct.unpack(f">64{'BH'[width == 2]}", tables[1 : 1 + 64 * width])
    percent: float = 100 * sum(entries) / LUMA_SUM
    return round(max(1.0, 5000 / percent if percent > 100 else 100 - percent / 2))


def _read_frames(opened: OpenedFile, block: bytes) -> None:
    """Notes the number of pictures that a multi-picture file states."""
    try:
        directories = Directories.of(block)
        entries = directories.read(directories.first, {0xB001})
        opened.note_frames(directories.integer(entries, 0xB001, 1))
    except ValueError:
        opened.faults.append("damaged index of more pictures left out")
