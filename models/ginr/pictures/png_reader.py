"""Chunks of PNG files: header and metadata, and where the samples are."""

import struct
import zlib
from collections.abc import Callable, Iterable
from mmap import mmap

from ginr.errors import printable
from ginr.pictures import colour
from ginr.pictures.opened_png import CHANNELS, OpenedPng
from ginr.pictures.rules import UnsupportedError

XMP_KEYWORD = "XML:com.adobe.xmp"
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_MAX_CHUNKS = 10_000  # besides the samples
_MAX_UNPACKED = 1 << 25  # bytes of all texts and the profile
_HDR = (b"mDCV", b"mDCv", b"cLLI", b"cLLi")


def open_png(data: mmap) -> OpenedPng:
    """Reads all chunks but the samples; raises ValueError for a damaged header."""
    length, kind = struct.unpack(">I4s", data[8:16])
    if kind == b"CgBI":
        raise UnsupportedError("is an iOS PNG (CgBI), which is not supported: convert it first")
    if kind != b"IHDR" or length != 13 or len(data) < 33:
        raise ValueError("its header chunk is missing")
    head = data[16:29]
    width, height, bits, colour_type, packing, filtering, _ = struct.unpack(">IIBBBBB", head)
    if bits not in _DEPTHS.get(colour_type, ()) or packing or filtering:
        raise ValueError(f"its header claims {bits} bits of colour type {colour_type}")
    opened = OpenedPng("PNG", height, width, CHANNELS[colour_type], max(8, bits))
    opened.colour_type, opened.bits, opened.head = colour_type, bits, head
    if struct.unpack(">I", data[29:33])[0] != zlib.crc32(b"IHDR" + head):
        opened.faults.append("wrong checksum of the header chunk")
    _read_metadata(opened, _read_chunks(opened, data))
    return opened


def _read_chunks(opened: OpenedPng, data: mmap) -> list[tuple[bytes, bytes]]:
    """The chunks with metadata; notes the pieces with samples."""
    found: list[tuple[bytes, bytes]] = []
    position, size, n_left, seen = 33, len(data), 0, set[bytes]()
    while True:
        if position + 8 > size:
            opened.is_incomplete = True
            opened.faults.append("the end chunk is missing")
            return found
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 12 + length
        if kind == b"IEND":
            return found
        if not kind.isalpha() or not kind.isascii():
            opened.is_incomplete = True
            opened.faults.append("data between the chunks: the rest is left out")
            return found
        if kind == b"IDAT":
            _add_piece(opened, data, position, end)
        elif end > size:
            opened.is_incomplete = True
            opened.faults.append(f"chunk {_name(kind)} is incomplete")
            return found
        elif kind == b"IHDR":
            opened.faults.append("a second header chunk is left out")
        elif kind != b"fdAT" and len(found) < _MAX_CHUNKS and length <= _MAX_UNPACKED:
            contents = data[position + 8 : end - 4]
            if struct.unpack(">I", data[end - 4 : end])[0] == zlib.crc32(kind + contents):
                found.append((kind, contents))
            elif kind in (b"PLTE", b"tRNS"):
                opened.faults.append(f"wrong checksum of chunk {_name(kind)}")
                found.append((kind, contents))
            else:
                opened.faults.append(f"chunk {_name(kind)} with a wrong checksum left out")
        elif kind != b"fdAT":
            n_left += 1
            if n_left == 1:
                opened.faults.append("chunks left out: they are too many or too large")
        if kind[:1].isupper() and kind not in (b"IHDR", b"IDAT", b"PLTE") and kind not in seen:
            seen.add(kind)
            opened.faults.append(f"unknown chunk {_name(kind)} left out")
        position = end


def _add_piece(opened: OpenedPng, data: mmap, start: int, end: int) -> None:
    if end > len(data):
        opened.cut = data[start + 8 : end - 4]
    elif opened.pieces and opened.pieces[-1][1] == start:
        opened.pieces[-1] = opened.pieces[-1][0], end
    else:
        opened.pieces.append((start, end))


def _name(kind: bytes) -> str:
    return printable(kind.decode("latin-1"))


def _read_metadata(opened: OpenedPng, every: list[tuple[bytes, bytes]]) -> None:
    first: dict[bytes, bytes] = {}
    texts: list[tuple[bytes, bytes]] = []
    for kind, data in every:
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            texts.append((kind, data))
        else:
            first.setdefault(kind, data)
    opened.palette = first.get(b"PLTE", b"")
    if opened.colour_type == 3 and not opened.palette:
        raise ValueError("its palette is missing")
    room = _Room()

    def read(kind: bytes, data: bytes) -> None:
        _READERS[kind](opened, data, room)

    known = [(kind, first[kind]) for kind in _READERS if kind in first]
    _read_each(opened, known, read)
    _read_each(opened, texts, lambda kind, data: _read_text(opened, kind, data, room))
    if opened.icc is None and b"cICP" not in first and b"sRGB" not in first:
        _read_each(
            opened,
            [(kind, first[kind]) for kind in (b"gAMA", b"cHRM") if kind in first][:1],
            lambda kind, data: _read_gamma(opened, first),
        )
    if len(first.get(b"acTL", b"")) >= 4:
        opened.note_frames(struct.unpack(">I", first[b"acTL"][:4])[0])
    hdr = [_name(kind) for kind in _HDR if kind in first]
    if hdr:
        opened.notes.append(f"{', '.join(hdr)} (HDR metadata) dropped")


def _read_each(
    opened: OpenedPng, chunks: Iterable[tuple[bytes, bytes]], read: Callable[[bytes, bytes], None]
) -> None:
    """Reads chunks, leaving out damaged ones."""
    for kind, data in chunks:
        try:
            read(kind, data)
        except (ValueError, struct.error, zlib.error, IndexError) as error:
            reason = printable(" ".join(str(error).split()))
            fault = f"damaged chunk {_name(kind)} left out ({reason})"
            if fault not in opened.faults:
                opened.faults.append(fault)


class _Room:
    """Unpacks chunks, as many as fit into a limit together."""

    left = _MAX_UNPACKED

    def unpacked(self, data: bytes) -> bytes:
        unpacker = zlib.decompressobj()
        contents = unpacker.decompress(data, self.left) if self.left > 0 else b""
        if self.left <= 0 or unpacker.unconsumed_tail:
            self.left = 0  # the next one would take as long
            raise ValueError(f"it unpacks to over {_MAX_UNPACKED >> 20} MB")
        if not unpacker.eof:
            raise ValueError("its packed data are cut off")
        self.left -= len(contents)
        return contents


def _read_text(opened: OpenedPng, kind: bytes, data: bytes, room: _Room) -> None:
    keyword, _, rest = data.partition(b"\0")
    name = keyword.decode("latin-1")
    if kind == b"tEXt":
        words = rest.decode("latin-1")
    elif kind == b"zTXt":
        words = room.unpacked(rest[1:]).decode("latin-1")
    else:
        if rest.count(b"\0", 2) < 2:
            raise ValueError("it is too short")
        _, _, text = rest[2:].split(b"\0", 2)
        text = room.unpacked(text) if rest[:1] == b"\1" else text
        if name == XMP_KEYWORD:
            opened.add_xmp(text)
            return
        words = text.decode("utf-8")
    if name.startswith("Raw profile type "):
        _read_raw_profile(opened, name.rpartition(" ")[2].lower(), words)
    else:
        opened.add_text(name, words)


def _read_raw_profile(opened: OpenedPng, kind: str, words: str) -> None:
    """Reads a block that ImageMagick or exiftool wrote as hexadecimal text."""
    _, _, *digits = words.strip().split("\n", 2)
    block = bytes.fromhex("".join(digits))
    if kind in ("exif", "app1") and not block.startswith(b"http://"):
        if opened.exif is None:
            opened.add_exif(block)
    elif kind in ("xmp", "app1"):
        if opened.xmp is None:
            opened.add_xmp(block.removeprefix(b"http://ns.adobe.com/xap/1.0/\0"))
    elif kind in ("icc", "icm"):
        if opened.icc is None and opened.cicp is None:
            opened.icc = block
    else:
        opened.note_once("IPTC block dropped")


def _read_profile(opened: OpenedPng, data: bytes, room: _Room) -> None:
    opened.icc = room.unpacked(data.partition(b"\0")[2][1:])
    opened.check_icc()


def _read_resolution(opened: OpenedPng, data: bytes, _: _Room) -> None:
    x, y, unit = struct.unpack(">IIB", data)
    opened.dpi = (x * 0.0254, y * 0.0254) if unit == 1 and x and y else None


def _read_cicp(opened: OpenedPng, data: bytes, _: _Room) -> None:
    primaries, transfer, matrix, full = struct.unpack(">BBBB", data)
    opened.set_cicp((primaries, transfer, matrix, full))
    if matrix or not full:
        opened.notes.append("cICP chunk for YCbCr or a limited range: read as full-range RGB")


def _read_gamma(opened: OpenedPng, first: dict[bytes, bytes]) -> None:
    gamma = struct.unpack(">I", first[b"gAMA"])[0] / 100_000 if b"gAMA" in first else None
    points = None
    if b"cHRM" in first:
        points = [value / 100_000 for value in struct.unpack(">8I", first[b"cHRM"])]
    opened.icc = colour.profile_of_gamma(gamma, points, opened.channels < 3)
    if opened.icc is not None:
        opened.notes.append("colour space (gamma and primaries) carried as an ICC profile")


def _read_transparency(opened: OpenedPng, data: bytes, _: _Room) -> None:
    if opened.colour_type == 3 and 0 < len(data) <= 256:
        opened.transparent = data[: len(opened.palette) // 3]
    elif opened.colour_type in (0, 2) and len(data) >= 2 * opened.channels:
        opened.transparent = data[: 2 * opened.channels]
    else:
        raise ValueError(f"{len(data)} bytes for colour type {opened.colour_type}")
    opened.channels += 1


_READERS: dict[bytes, Callable[[OpenedPng, bytes, _Room], None]] = {
    b"iCCP": _read_profile,
    b"cICP": _read_cicp,
    b"tRNS": _read_transparency,
    b"eXIf": lambda opened, data, _: opened.add_exif(data),
    b"pHYs": _read_resolution,
}
