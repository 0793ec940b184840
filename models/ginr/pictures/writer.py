"""Write pictures under a temporary name next to the target, which is renamed when complete.

PNG and TIFF are encoded as the rows come, by libvips and by `ginr.pictures.tiff`; Pillow encodes
the other formats from all rows at once.
"""

import errno
import io
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from ginr.errors import PictureError, printable
from ginr.part_files import part_of
from ginr.pictures.exif import resized_exif, without_orientation
from ginr.pictures.formats import (
    Format,
    check_place,
    check_target,
    jpeg_comment,
    output_format,
    unfit_reason,
)
from ginr.pictures.other_readers import register_jxl
from ginr.pictures.png import write_png
from ginr.pictures.samples import Picture, Samples, eight_bit
from ginr.pictures.tiff import TiffWriter
from ginr.pictures.writer_thread import while_made
from ginr.pictures.xmp import resized_xmp

if TYPE_CHECKING:
    from PIL import Image


_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_BAND = 1 << 20  # bytes of samples converted at a time


def write_picture(
    picture: Picture, path: str | Path, *, overwrite: bool = False, quality: int | None = None
) -> None:
    """Writes a picture in the format of the path's suffix, all or nothing; raises PictureError.

    `quality` (1 to 100) is for JPEG (default 95), AVIF (90) and WebP (lossless by default).
    """
    height, width = picture.height, picture.width
    with _checked_file(Path(path), picture, height, width, overwrite, quality) as encode:
        encode(iter([picture.samples]))


def write_bands(
    bands: Iterable[Samples],
    like: Picture,
    height: int,
    width: int,
    path: Path,
    *,
    overwrite: bool = False,
    quality: int | None = None,
) -> None:
    """Writes a picture from bands of rows (h, width, C), from top to bottom, as `write_picture`.

    `like` gives channels, depth and metadata. PNG and TIFF are written in a second thread while
    the bands are made; the other formats need all of them first.
    """
    with _checked_file(path, like, height, width, overwrite, quality) as encode:
        while_made(bands, encode)


@dataclass(frozen=True)
class Page:
    """A page of a TIFF to write: bands of rows, and what `write_bands` needs besides."""

    bands: Iterable[Samples]
    like: Picture
    height: int
    width: int


def write_pages(
    pages: Iterable[Page], n_bytes: int, path: Path, *, overwrite: bool = False
) -> None:
    """Writes pages of `n_bytes` of samples together into a TIFF, as `write_bands` does one.

    Each page is taken when the one before is written.
    """
    with whole_file(path, overwrite) as file:
        writer = TiffWriter(file, n_bytes)
        for page in pages:
            like = with_sizes(page.like, page.height, page.width)

            def add(bands: Iterable[Samples], page: Page = page, like: Picture = like) -> None:
                writer.add(bands, like, page.height, page.width)

            while_made(page.bands, add)


def encoded(picture: Picture, suffix: str, quality: int | None = None) -> bytes:
    """A file of the picture, in the format of a suffix that `write_picture` knows."""
    file = io.BytesIO()
    format, size = output_format(Path("a" + suffix)), (picture.height, picture.width)
    _encoder(file, picture, format, *size, quality)(iter([picture.samples]))
    return file.getvalue()


@contextmanager
def _checked_file(
    path: Path, like: Picture, height: int, width: int, overwrite: bool, quality: int | None
) -> Iterator[Callable[[Iterator[Samples]], None]]:
    """Yields a function that encodes the rows of a picture into the path, all or nothing."""
    format, kind = output_format(path), {"channels": like.channels, "depth": like.depth}
    check_target(path, height, width, overwrite=overwrite, quality=quality, **kind)
    like = with_sizes(like, height, width)
    with whole_file(path, overwrite) as file:
        yield _encoder(file, like, format, height, width, quality)


def _encoder(
    file: BinaryIO, like: Picture, format: Format, height: int, width: int, quality: int | None
) -> Callable[[Iterator[Samples]], None]:
    """A function that encodes the rows of a picture into an open file."""
    if format.name == "PNG":
        if like.icc and unfit_reason(format, "ICC profile", like.icc, like.is_grey):
            like = replace(like, icc=None)
        return lambda bands: write_png(file, bands, like, height, width)
    if format.name == "TIFF":
        n_bytes = height * width * like.channels * like.depth // 8
        return lambda bands: TiffWriter(file, n_bytes).add(bands, like, height, width)
    return lambda bands: _write_with_pillow(
        file, replace(like, samples=_whole(bands, height)), format, quality
    )


@contextmanager
def whole_file(path: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """Yields a file that gets the path's name if the block succeeds, and is deleted if not."""
    target = Path(os.path.realpath(path))  # a link stays a link
    with disk_errors(path), part_of(target) as part:
        with part.file as file:
            yield file
        check_place(path, overwrite)  # again: the work took time
        if target.exists():
            part.path.chmod(target.stat().st_mode & 0o7777)
        part.rename()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raises PictureError, which names the path, for what fails in writing it."""
    name = printable(path)
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PictureError(
                f"{name}: the disk is full: free some space and try again"
            ) from error
        reason = error.strerror or str(error)
        raise PictureError(f"{name} cannot be written ({reason}): choose another place") from error
    except MemoryError as error:
        raise PictureError(f"{name} needs more memory than is free: use a smaller size") from error


def with_sizes(like: Picture, height: int, width: int) -> Picture:
    """The picture with what its EXIF and XMP state about its size."""
    size, former = (height, width), (like.height, like.width)
    exif, xmp = like.exif, like.xmp
    try:
        exif = exif and resized_exif(exif, size, former)
    except (ValueError, LookupError, struct.error) as error:
        raise PictureError(f"the EXIF block is damaged ({error}): remove it") from error
    return replace(like, exif=exif, xmp=xmp and resized_xmp(xmp, size, former))


def _whole(bands: Iterator[Samples], height: int) -> Samples:
    """All rows in one array, which is the first band if there is no other."""
    first = next(bands)
    if len(first) == height:
        return first
    samples = np.empty((height, *first.shape[1:]), first.dtype)
    top = 0
    for band in chain([first], bands):
        samples[top : top + len(band)] = band
        top += len(band)
    return samples


class _Stream(io.RawIOBase):
    """A file without a descriptor, which Pillow would write to directly, losing the cause of errors."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)


def _write_with_pillow(
    file: BinaryIO, picture: Picture, format: Format, quality: int | None
) -> None:
    options: dict[str, Any] = {}
    if picture.dpi is not None and format.has_dpi:
        options["dpi"] = picture.dpi
    blocks = {"ICC profile": picture.icc, "EXIF": picture.exif, "XMP": picture.xmp}
    for label, block in blocks.items():
        if block is not None and unfit_reason(format, label, block, picture.is_grey) is None:
            if label == "EXIF":
                # Pillow packs the block of an AVIF anew to take its orientation, which is 1, out.
                block = without_orientation(block) if format.name == "AVIF" else block
                block = b"Exif\0\0" + block
            options[{"ICC profile": "icc_profile"}.get(label, label.lower())] = block
    if format.name == "JPEG" and (comment := jpeg_comment(picture)) is not None:
        options["comment"] = comment
    if format.name == "JXL":
        register_jxl()
        options |= {"lossless": True, "effort": 3} if quality is None else {"quality": quality}
    elif format.name == "WEBP":
        # exact keeps the colours of transparent pixels; method 2 is as small as 4 on photographs.
        lossless = {"lossless": True, "exact": True, "method": 2, "quality": 50}
        options |= lossless if quality is None else {"quality": quality}
    elif format.quality:
        sampling = "4:0:0" if format.name == "AVIF" and picture.channels == 1 else "4:4:4"
        options |= {"quality": quality or format.quality, "subsampling": sampling}
    # OpenJPEG hangs if the file fails.
    stream = io.BytesIO() if format.name == "JPEG2000" else cast(BinaryIO, _Stream(file))
    try:
        _image(picture, format).save(stream, format.name, **options)
    except ValueError as error:  # an encoder that failed
        raise OSError(str(error)) from error
    if isinstance(stream, io.BytesIO):
        file.write(stream.getbuffer())


def _image(picture: Picture, format: Format) -> "Image.Image":
    """The samples as an 8-bit Pillow image, on white if the format has no alpha."""
    from PIL import Image

    samples = picture.samples
    if picture.depth == 16 or (picture.has_alpha and not format.has_alpha):
        samples = _by_bands(samples, lambda band: as_stored(band, picture, format))
    height, width, channels = samples.shape
    mode = _MODES[channels]
    return Image.frombuffer(mode, (width, height), samples, "raw", mode, 0, 1)


def _by_bands(samples: Samples, convert: Callable[[Samples], Samples]) -> Samples:
    """Converts (H, W, C) samples some rows at a time, so that only the result is a whole copy."""
    first = convert(samples[:1])
    result = np.empty((samples.shape[0], *first.shape[1:]), first.dtype)
    n_rows = max(1, _BAND // (samples[0].nbytes))
    for top in range(0, samples.shape[0], n_rows):
        result[top : top + n_rows] = convert(samples[top : top + n_rows])
    return result


def as_stored(band: Samples, picture: Picture, format: Format) -> Samples:
    """(h, w, C) samples as an 8-bit format stores them."""
    peak = 2**picture.depth - 1
    if picture.has_alpha and not format.has_alpha:
        alpha = band[..., -1:].astype(np.uint64)
        level = band[..., :-1] * alpha + peak * (peak - alpha) + peak // 2
        band = (level // peak).astype(band.dtype)
    return eight_bit(band)
