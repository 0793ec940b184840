"""Pictures into files: written under a temporary name beside the target and renamed when whole.

libvips encodes PNG, straight from the samples; TIFF is packed here, so that an EXIF block goes in
byte for byte; Pillow encodes the rest.
"""

import contextlib
import errno
import io
import os
import secrets
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from ginr import picture_metadata as metadata
from ginr.errors import PictureError
from ginr.picture_formats import (
    Format,
    check_place,
    check_target,
    output_format,
    printable,
    unfit_reason,
)
from ginr.picture_png import png_chunks
from ginr.picture_samples import Picture, Samples

if TYPE_CHECKING:
    from PIL import Image


_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_BAND = 1 << 20  # bytes of samples in a TIFF strip, or converted at a time


def write_picture(
    picture: Picture, path: Path, *, overwrite: bool = False, quality: int | None = None
) -> None:
    """Writes a picture in the format its suffix names; raises PictureError, leaving nothing behind.

    quality (1 to 100) is for JPEG (95 unless given), AVIF (90) and WebP (lossless unless given).
    """
    format = output_format(path)
    height, width, channels = picture.samples.shape
    check_target(
        path,
        height,
        width,
        overwrite=overwrite,
        quality=quality,
        channels=channels,
        depth=picture.depth,
    )
    with _whole_file(path, overwrite) as file:
        if format.name == "PNG":
            _write_png(picture, file)
        elif format.name == "TIFF":
            _write_tiff(picture, file)
        else:
            _write_with_pillow(picture, file, format, quality)


@contextmanager
def _whole_file(path: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """Yields a file that takes the path's name when the block ends well, and vanishes if not."""
    name = printable(path)
    target = Path(os.path.realpath(path))  # a link stays a link
    # No picture's suffix: whoever walks the folder meanwhile must not take it for one.
    temporary = target.with_name(f".ginr-{secrets.token_hex(8)}.part")
    try:
        try:
            with temporary.open("xb") as file:
                yield file
            check_place(path, overwrite)  # the work took time
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o7777)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PictureError(f"{name}: the disk is full: free some space and repeat") from error
        reason = error.strerror or str(error)
        raise PictureError(f"{name} cannot be written ({reason}): choose another place") from error
    except MemoryError as error:
        raise PictureError(f"{name} needs more memory than is free: use a smaller size") from error


def _sized_exif(picture: Picture) -> bytes | None:
    if picture.exif is None:
        return None
    try:
        return metadata.resized_exif(picture.exif, picture.height, picture.width)
    except (ValueError, LookupError, struct.error) as error:
        raise PictureError(f"the EXIF block is damaged ({error}): leave it out") from error


def _write_png(picture: Picture, file: BinaryIO) -> None:
    import pyvips

    chunks = png_chunks(picture.icc, _sized_exif(picture), picture.xmp, picture.dpi, picture.text)
    head = bytearray()
    failures: list[BaseException] = []

    def take(data: Any) -> int:
        """Writes what libvips hands over, with our chunks for its own between header and samples."""
        try:
            if b"IDAT" in head:
                file.write(data)
                return len(data)
            head.extend(data)
            if b"IDAT" in head:
                file.write(head[:33] + chunks)  # 33 bytes: the mark and the IHDR chunk
                file.write(head[head.index(b"IDAT") - 4 :])
        except BaseException as error:  # it must not cross C code; it is raised again below
            failures.append(error)
            return -1
        return len(data)

    kind = "uchar" if picture.depth == 8 else "ushort"
    space = ("b-w" if picture.is_grey else "srgb") if picture.depth == 8 else None
    space = space or ("grey16" if picture.is_grey else "rgb16")
    target = pyvips.TargetCustom()
    target.on_write(take)
    try:
        image = pyvips.Image.new_from_memory(
            picture.samples, picture.width, picture.height, picture.channels, kind
        )
        # Level 4 with adaptive filters: four times as fast as level 6, files 5 % larger.
        image.copy(interpretation=space).write_to_target(
            target, ".png", compression=4, filter="all", keep="none"
        )
    except pyvips.Error as error:
        raise failures[0] if failures else OSError(" ".join(str(error).split())) from error
    if failures:
        raise failures[0]


def _write_tiff(picture: Picture, file: BinaryIO) -> None:
    """Packs deflated strips with horizontal differences.

    The EXIF block, a TIFF file without samples, is the file's beginning: what its entries point to
    stays where it was, and only its first directory is replaced by one that has the samples too.
    """
    exif = _sized_exif(picture) or metadata.tiff_header("<", 8) + bytes(6)
    directories = metadata.Directories.of(exif)
    order = directories.order
    file.write(exif + bytes(len(exif) % 2))

    height, width, channels = picture.samples.shape
    stored = np.dtype(f"{order}u{picture.depth // 8}")
    n_rows = max(1, _BAND // (width * channels * picture.depth // 8))
    offsets, sizes = [], []
    for top in range(0, height, n_rows):
        strip = picture.samples[top : top + n_rows].copy()
        strip[:, 1:] -= picture.samples[top : top + n_rows, :-1]  # wraps around, as TIFF wants
        packed = zlib.compress(strip.astype(stored, copy=False).data, 4)
        offsets.append(file.tell())
        sizes.append(len(packed))
        file.write(packed)

    def short(*values: int) -> metadata.Entry:
        return 3, len(values), struct.pack(f"{order}{len(values)}H", *values)

    def long(*values: int) -> metadata.Entry:
        return 4, len(values), struct.pack(f"{order}{len(values)}I", *values)

    def rational(value: float) -> metadata.Entry:
        return 5, 1, struct.pack(order + "II", round(value * 10_000), 10_000)

    entries = directories.read(directories.first)
    for tag in (0x100, 0x101, *metadata.RESOLUTION):
        entries.pop(tag, None)
    entries |= {
        256: long(width),
        257: long(height),
        258: short(*[picture.depth] * channels),
        259: short(8),  # deflate
        262: short(1 if picture.is_grey else 2),
        273: long(*offsets),
        277: short(channels),
        278: long(n_rows),
        279: long(*sizes),
        284: short(1),
        317: short(2),  # horizontal differences
        339: short(*[1] * channels),
    }
    if picture.has_alpha:
        entries[338] = short(2)  # straight alpha
    if picture.dpi is not None:
        x, y = picture.dpi
        entries |= {282: rational(x), 283: rational(y), 296: short(2)}
    if picture.xmp is not None:
        entries[700] = (1, len(picture.xmp), picture.xmp)
    if picture.icc is not None:
        entries[34675] = (7, len(picture.icc), picture.icc)
    file.write(bytes(file.tell() % 2))
    start = file.tell()
    file.write(metadata.pack_directory(entries, start, order))
    file.seek(0)
    file.write(metadata.tiff_header(order, start))


class _Stream(io.RawIOBase):
    """A file without a descriptor: Pillow, given one, writes past Python and loses the reason."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)


def _write_with_pillow(
    picture: Picture, file: BinaryIO, format: Format, quality: int | None
) -> None:
    options: dict[str, Any] = {}
    if picture.dpi is not None and format.has_dpi:
        options["dpi"] = picture.dpi
    blocks = {"ICC profile": picture.icc, "EXIF": _sized_exif(picture), "XMP": picture.xmp}
    for label, block in blocks.items():
        if block is not None and unfit_reason(format, label, block) is None:
            if label == "EXIF":
                block = b"Exif\0\0" + block
            options[{"ICC profile": "icc_profile"}.get(label, label.lower())] = block
    if format.name == "WEBP":
        # exact keeps the colours under full transparency; method 2 is as small as 4 on photographs.
        lossless = {"lossless": True, "exact": True, "method": 2, "quality": 50}
        options |= lossless if quality is None else {"quality": quality}
    elif format.takes_quality:
        sampling = "4:0:0" if format.name == "AVIF" and picture.channels == 1 else "4:4:4"
        options |= {"quality": quality or format.quality, "subsampling": sampling}
    try:
        _image(picture, format).save(cast(BinaryIO, _Stream(file)), format.name, **options)
    except ValueError as error:  # an encoder that gives up
        raise OSError(str(error)) from error


def _image(picture: Picture, format: Format) -> "Image.Image":
    """The samples as a Pillow image of 8 bits, on white where the format has no alpha."""
    from PIL import Image

    samples = picture.samples
    if picture.depth == 16 or (picture.has_alpha and not format.has_alpha):
        samples = _by_bands(samples, lambda band: _as_held(band, picture, format))
    height, width, channels = samples.shape
    mode = _MODES[channels]
    return Image.frombuffer(mode, (width, height), samples, "raw", mode, 0, 1)


def _by_bands(samples: Samples, convert: Callable[[Samples], Samples]) -> Samples:
    """Converts (H, W, C) samples some rows at a time, so that no whole copy but the result exists."""
    first = convert(samples[:1])
    result = np.empty((samples.shape[0], *first.shape[1:]), first.dtype)
    n_rows = max(1, _BAND // (samples[0].nbytes))
    for top in range(0, samples.shape[0], n_rows):
        result[top : top + n_rows] = convert(samples[top : top + n_rows])
    return result


def _as_held(band: Samples, picture: Picture, format: Format) -> Samples:
    """(h, w, C) samples as a format of 8 bits holds them."""
    peak = 2**picture.depth - 1
    if picture.has_alpha and not format.has_alpha:
        alpha = band[..., -1:].astype(np.uint64)
        level = band[..., :-1] * alpha + peak * (peak - alpha) + peak // 2
        band = (level // peak).astype(band.dtype)
    if picture.depth == 16:
        band = ((band.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return band
