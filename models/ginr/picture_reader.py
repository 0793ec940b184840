"""Picture files into memory: Pillow decodes 8-bit samples, libvips 16-bit PNG and TIFF.

Pillow reads 16-bit colour as 8 bit without a word, so the depth is taken from the file's own header
before a decoder is chosen.
"""

import io
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
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ginr import picture_metadata as metadata
from ginr.errors import PictureError
from ginr.picture_samples import Picture, PictureHeader, Samples

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 1_000_000_000
"""Pixels a file may claim, by its header; more is taken for a decompression bomb."""

_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "GIF")
_CHANNELS = {"1": 1, "L": 1, "LA": 2, "P": 3, "RGB": 3, "RGBX": 3, "YCbCr": 3, "CMYK": 3}
_CHANNELS |= {"La": 2, "PA": 4, "RGBA": 4, "RGBa": 4}
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_CMYK_BY_PROFILE = "its CMYK colours are converted to sRGB through its ICC profile"
_CMYK_ROUGHLY = "its CMYK colours are converted to RGB without its own profile, so roughly"
_DAMAGED_EXIF = "its EXIF block is damaged and left out"
_BAND = 1 << 22  # samples converted at a time: the decoder's copy and ours overlap by this much


@dataclass
class _Opened:
    """A file's header and metadata, its samples not yet decoded; sizes are as stored."""

    format: str
    height: int
    width: int
    channels: int
    depth: int
    turn: int = 1
    """EXIF orientation still to be applied to the decoded samples."""
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()
    notes: list[str] = field(default_factory=list)
    transparent: bytes | None = None
    """tRNS chunk of a 16-bit PNG, whose alpha libvips gets wrong for grey."""


def probe_picture(path: Path) -> PictureHeader:
    """Reads the header of a picture file; raises PictureError as read_picture does."""
    with _reading(path) as (file, data):
        opened = _open(path, file, data)
    height, width = opened.height, opened.width
    if opened.turn > 4:
        height, width = width, height
    return PictureHeader(height, width, opened.channels, opened.depth, opened.format)


def read_picture(path: Path) -> Picture:
    """Reads the first frame of a picture file the right way up; raises PictureError."""
    with _reading(path) as (file, data):
        opened = _open(path, file, data)
        samples = _decode(file, data, opened)
        exif, xmp = _upright(opened)
        return Picture(
            _turned(samples, opened.turn),
            icc=opened.icc,
            exif=exif,
            xmp=xmp,
            dpi=opened.dpi,
            text=opened.text,
            notes=tuple(opened.notes),
        )


def printable(path: Path) -> str:
    """A path as one line that any terminal can show."""
    name = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


@contextmanager
def _reading(path: Path) -> Iterator[tuple[BinaryIO, mmap.mmap]]:
    """Opens a file and says in words what is wrong with it."""
    name = printable(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise PictureError(f"{name} is a folder, not a picture: name a file in it")
        if not stat.S_ISREG(mode):
            raise PictureError(f"{name} is not a regular file: save the picture to one first")
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise PictureError(f"{name} is empty (0 bytes): get a whole copy")
            with _pillow_on_our_terms:
                yield file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise PictureError(f"{name} does not exist: check the name") from error
    except PermissionError as error:
        raise PictureError(f"{name} may not be read: check its permissions") from error
    except MemoryError as error:
        raise PictureError(
            f"{name} needs more memory than is free: close other programs"
        ) from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        LookupError,
        RuntimeError,
        struct.error,
        zlib.error,
    ) as error:  # all of them are what the decoders raise on damaged data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(
            f"{name} is damaged or cut short ({reason}): get a whole copy"
        ) from error


class _PillowOnOurTerms:
    """Lifts Pillow's own size limit and mutes its warnings while any thread of ours reads.

    Both are process-wide, so they are set by the first reader in and restored by the last one out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_readers = 0
        self._restore = ExitStack()

    def __enter__(self) -> None:
        from PIL import Image

        with self._lock:
            if self._n_readers == 0:
                self._restore.enter_context(warnings.catch_warnings(action="ignore"))
                self._restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None
            self._n_readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_readers -= 1
            if self._n_readers == 0:
                self._restore.close()


_pillow_on_our_terms = _PillowOnOurTerms()


def _open(path: Path, file: BinaryIO, data: mmap.mmap) -> _Opened:
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        opened = _open_png(file)
    elif data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        opened = _open_tiff(path, data)
    else:
        opened = _open_with_pillow(path, file, data)
    n_pixels = opened.height * opened.width
    if n_pixels == 0:
        raise ValueError(f"it claims {opened.width} x {opened.height} pixels")
    if n_pixels > MAX_PIXELS:
        raise PictureError(
            f"{printable(path)} claims {opened.width} x {opened.height} pixels, more than the"
            f" {MAX_PIXELS / 1e9:g} gigapixel that is trusted: cut it into parts"
        )
    return opened


def _open_png(file: BinaryIO) -> _Opened:
    chunks = metadata.read_png_chunks(file)
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[chunks.colour]
    if chunks.transparent is not None and channels in (1, 3):
        channels += 1
    opened = _Opened("PNG", chunks.height, chunks.width, channels, max(8, chunks.depth))
    opened.icc, opened.xmp, opened.dpi = chunks.icc, chunks.xmp, chunks.dpi
    opened.text, opened.transparent = chunks.text, chunks.transparent
    _take_exif(opened, chunks.exif)
    _note_frames(opened, chunks.n_frames)
    if not chunks.is_plain_srgb and chunks.icc is None:
        opened.notes.append("its cICP or gamma chunk is not carried: colours are read as sRGB")
    return opened


def _open_tiff(path: Path, data: mmap.mmap) -> _Opened:
    directories = metadata.Directories.of(data)
    first = directories.read(directories.first)

    def number(tag: int, default: int) -> int:
        return int(directories.numbers(first[tag])[0]) if tag in first else default

    bits = {int(n) for n in directories.numbers(first[258])} if 258 in first else {1}
    kinds = {int(n) for n in directories.numbers(first[339])} if 339 in first else {1}
    photometric, n_samples = number(262, 1), number(277, 1)
    if kinds - {1, 4} or bits not in ({1}, {2}, {4}, {8}, {16}):
        kind = {2: "signed integer", 3: "floating point", 5: "complex"}.get(max(kinds), "integer")
        raise PictureError(
            f"{printable(path)} holds {max(bits)}-bit {kind} samples:"
            " convert it to unsigned 8 or 16 bit"
        )
    if photometric not in (0, 1, 2, 3, 5, 6):
        raise PictureError(
            f"{printable(path)} stores colours another way than grey, RGB or CMYK (TIFF photometric"
            f" {photometric}): convert it to RGB"
        )
    colours = {0: 1, 1: 1, 5: 4}.get(photometric, 3)
    stored_colours = 1 if photometric == 3 else colours
    has_alpha = n_samples > stored_colours and number(338, 0) in (1, 2)
    channels = min(colours, 3) + has_alpha
    opened = _Opened("TIFF", number(257, 0), number(256, 0), channels, max(8, *bits))
    if n_samples > stored_colours + has_alpha:
        opened.notes.append(f"{n_samples - stored_colours - has_alpha} extra channel(s) left out")
    opened.icc = first[34675][2] if 34675 in first else None
    opened.xmp = first[700][2] if 700 in first else None
    opened.dpi = metadata.tiff_dpi(directories, first)
    try:
        opened.exif = metadata.exif_of_tiff(directories, first)
    except (ValueError, LookupError, struct.error):
        opened.notes.append(_DAMAGED_EXIF)
    opened.turn = metadata.tiff_orientation(directories, first)
    if 33723 in first:
        opened.notes.append("its IPTC block is not carried")
    _note_frames(opened, _n_pages(directories))
    return opened


def _n_pages(directories: metadata.Directories) -> int:
    """Pages of a TIFF, its reduced copies and masks aside."""
    offset, seen, n_pages = directories.first, set[int](), 0
    while offset and offset not in seen and len(seen) < 65536:
        seen.add(offset)
        subfile = directories.read(offset).get(254)
        n_pages += subfile is None or not int(directories.numbers(subfile)[0]) & 0b101
        offset = directories.after(offset)
    return max(1, n_pages)


def _open_with_pillow(path: Path, file: BinaryIO, data: mmap.mmap) -> _Opened:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(file, formats=_PILLOW_FORMATS)
    except UnidentifiedImageError as error:
        if _has_known_start(data):
            raise OSError("its header cannot be read") from error
        raise PictureError(
            f"{printable(path)} is not a picture that can be read:"
            " give a PNG, JPEG, WebP, TIFF, BMP, AVIF or GIF file"
        ) from error
    if image.mode not in _CHANNELS:
        raise PictureError(
            f"{printable(path)} has samples of kind {image.mode}: convert it to 8-bit RGB"
        )
    channels = _CHANNELS[image.mode]
    if image.has_transparency_data and channels in (1, 3):
        channels += 1
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    opened = _Opened(kind, image.height, image.width, channels, 8)
    info: Mapping[Any, Any] = image.info
    opened.icc, opened.xmp = info.get("icc_profile") or None, info.get("xmp") or None
    dpi = info.get("dpi")
    opened.dpi = (float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None
    _take_exif(opened, info.get("exif"))
    _note_frames(opened, getattr(image, "n_frames", 1))
    if "APP13" in getattr(image, "app", {}):
        opened.notes.append("its IPTC block is not carried")
    if kind == "AVIF" and (bits := _avif_bits(data)) > 8:
        opened.notes.append(f"its {bits}-bit samples are read as 8 bit")
    return opened


def _has_known_start(data: mmap.mmap) -> bool:
    head = data[:12]
    return head.startswith((b"\xff\xd8\xff", b"BM", b"GIF8")) or head[8:] == b"WEBP"


def _avif_bits(data: mmap.mmap) -> int:
    """Bits of a sample by the AV1 configuration box."""
    at = data.find(b"av1C", 0, 1 << 16)
    if at < 0 or at + 7 > len(data):
        return 8
    flags = data[at + 6]
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _take_exif(opened: _Opened, exif: bytes | None) -> None:
    if not exif:
        return
    exif = exif.removeprefix(b"Exif\0\0")
    try:
        opened.turn = metadata.exif_orientation(exif)
    except (ValueError, struct.error):
        opened.notes.append(_DAMAGED_EXIF)
    else:
        opened.exif = exif


def _note_frames(opened: _Opened, n_frames: int) -> None:
    if n_frames > 1:
        opened.notes.append(f"only the first of its {n_frames} frames is read")


def _upright(opened: _Opened) -> tuple[bytes | None, bytes | None]:
    """The EXIF block and XMP packet to carry on, once the samples are the right way up."""
    exif, xmp = opened.exif, opened.xmp
    if exif is not None:
        try:
            exif = metadata.upright_exif(exif)
        except (ValueError, LookupError, struct.error):
            opened.notes.append(_DAMAGED_EXIF)
            exif = None
    if xmp is not None and opened.turn != 1:
        xmp = metadata.upright_xmp(xmp)
    return exif, xmp


def _decode(file: BinaryIO, data: mmap.mmap, opened: _Opened) -> Samples:
    """(H, W, C) samples as stored, but for the turn that opened.turn no longer asks for."""
    from PIL import Image, UnidentifiedImageError

    if opened.depth == 16:
        return _decode_with_vips(data, opened)
    file.seek(0)
    try:
        image = Image.open(file, formats=_PILLOW_FORMATS)
    except UnidentifiedImageError:
        if opened.format != "TIFF":
            raise
        return _decode_with_vips(data, opened)  # it knows more arrangements of channels
    if opened.format == "TIFF":
        # Pillow turns a TIFF by itself, and by its XMP too if it may; it is to turn it by the tag.
        image.info.pop("xmp", None)
        opened.turn = 1
    return _decode_with_pillow(image, opened)


def _decode_with_pillow(image: "Image.Image", opened: _Opened) -> Samples:
    image.load()
    if image.mode == "CMYK":
        image = _rgb_of_cmyk(image, opened)
    mode = _MODES[opened.channels]
    samples = np.empty((image.height, image.width, opened.channels), np.uint8)
    n_rows = max(1, _BAND // (image.width * opened.channels))
    for top in range(0, image.height, n_rows):
        bottom = min(top + n_rows, image.height)
        band = image.crop((0, top, image.width, bottom))
        if band.mode != mode:
            band = band.convert(mode)
        samples[top:bottom] = np.asarray(band).reshape(bottom - top, image.width, opened.channels)
    return samples


def _rgb_of_cmyk(image: "Image.Image", opened: _Opened) -> "Image.Image":
    from PIL import ImageCms

    srgb = ImageCms.createProfile("sRGB")
    profile, opened.icc = opened.icc, None
    if profile is not None and metadata.icc_space(profile) == "CMYK":
        try:
            turned = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
        except ImageCms.PyCMSError:
            pass
        else:
            assert turned is not None
            opened.icc = ImageCms.ImageCmsProfile(srgb).tobytes()
            opened.notes.append(_CMYK_BY_PROFILE)
            return turned
    opened.notes.append(_CMYK_ROUGHLY)
    return image.convert("RGB")


def _decode_with_vips(data: mmap.mmap, opened: _Opened) -> Samples:
    import pyvips

    try:
        # From memory, not by name: libvips takes "[...]" in a name for options.
        image = pyvips.Image.new_from_source(
            pyvips.Source.new_from_memory(data), "", access="sequential", fail_on="truncated"
        )
        if image.interpretation == "cmyk":
            opened.notes.append(_CMYK_ROUGHLY if opened.icc is None else _CMYK_BY_PROFILE)
            image = image.icc_transform(
                "srgb", embedded=True, input_profile="cmyk", depth=opened.depth
            )
            opened.icc = image.get("icc-profile-data")
        samples: Samples = image.numpy()
    except pyvips.Error as error:
        raise OSError(str(error)) from error
    samples = samples.reshape(opened.height, opened.width, -1)  # (H, W, C)
    if samples.dtype.itemsize * 8 != opened.depth or samples.shape[2] < opened.channels:
        raise ValueError(f"its samples decode to {samples.shape[2]} channels of {samples.dtype}")
    if opened.format == "PNG" and opened.transparent is not None:
        key = np.frombuffer(opened.transparent, ">u2")
        opaque = (samples[..., : key.size] != key).any(-1)  # (H, W)
        samples[..., -1] = np.where(opaque, np.uint16(65535), np.uint16(0))
    return np.ascontiguousarray(samples[..., : opened.channels])


def _turned(samples: Samples, turn: int) -> Samples:
    """Applies an EXIF orientation, 1 to 8, to (H, W, C) samples."""
    if turn > 4:
        samples = samples.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if turn in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)
