"""What each output format can hold, and whether a picture can be written to a path."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from ginr.errors import PictureError, printable
from ginr.pictures import colour
from ginr.pictures.exif import exif_dpi
from ginr.pictures.samples import Picture
from ginr.pictures.xmp import is_xmp


@dataclass(frozen=True)
class Format:
    """What an output format can hold."""

    name: str
    suffixes: tuple[str, ...]
    max_side: int
    max_pixels: int | None = None
    max_bytes: int | None = None
    """Limit on the file, compared with the size of the samples."""
    has_alpha: bool = True
    has_depth_16: bool = False
    has_grey: bool = True
    has_metadata: bool = True
    """EXIF and XMP."""
    has_exif: bool = True
    has_icc: bool = True
    has_dpi: bool = True
    quality: int | None = None
    """Default quality, 1 to 100; 0: lossless by default; None: always lossless."""
    pixel_bytes: int | None = None
    """Memory of the encoder per pixel besides the samples, as measured; None: rows at a time."""


FORMATS = (
    # PNG allows 2^31 - 1, but most readers stop at a million.
    Format("PNG", (".png",), 1_000_000, has_depth_16=True),
    # libjpeg refuses more than 65500, though the format allows 65535.
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), 65_500, has_alpha=False, quality=95, pixel_bytes=7),
    Format("WEBP", (".webp",), 16_383, has_grey=False, has_dpi=False, quality=0, pixel_bytes=23),
    Format("TIFF", (".tif", ".tiff"), 2**31 - 1, has_depth_16=True),
    Format(
        "BMP", (".bmp",), 2**31 - 1, max_bytes=2**32 - 2**10, has_alpha=False, has_metadata=False,
        has_icc=False, pixel_bytes=7,
    ),
    # libavif decodes no more than 32768 a side and 2^28 in all by default.
    Format("AVIF", (".avif",), 32_768, 2**28, has_dpi=False, quality=90, pixel_bytes=43),
    Format(
        "JPEG2000", (".jp2",), 2**31 - 1, has_dpi=False, has_metadata=False, has_icc=False,
        pixel_bytes=44,
    ),
    Format("JXL", (".jxl",), 2**30, 2**28, has_dpi=False, has_icc=False, quality=0, pixel_bytes=30),
)  # fmt: skip

_MODULES = {"AVIF": "PIL._avif", "JXL": "pillow_jxl"}
_BY_SUFFIX = {
    suffix: format
    for format in FORMATS
    if format.name not in _MODULES or importlib.util.find_spec(_MODULES[format.name])
    for suffix in format.suffixes
}
WRITABLE = frozenset(_BY_SUFFIX)
_HEIC = frozenset((".heic", ".heif", ".hif"))
_HAS_HEIC = any(map(importlib.util.find_spec, ("pi_heif", "pillow_heif")))
READABLE = (
    WRITABLE | {".gif", ".apng", ".j2k", ".jpx", ".jpf"} | (_HEIC if _HAS_HEIC else frozenset())
)
_RAW = ".arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .nef .nrw .orf .pef .raf .raw .rw2 .sr2 .srw .x3f"
_OTHER = ".exr .hdr .ico .pbm .pcx .pgm .ppm .psb .psd .qoi .svg .tga .xcf"
UNREADABLE = _HEIC.union((".jxl", ".avif"), _RAW.split(), _OTHER.split()) - READABLE
"""Suffixes of pictures that cannot be read, which a folder may hold."""

_JPEG_BLOCK = 65_500  # bytes of EXIF or XMP one JPEG marker holds, less its prefixes


def why_unreadable(path: Path) -> str:
    """Why a picture with one of the suffixes `UNREADABLE` is not read, and what to do."""
    suffix = path.suffix.lower()
    if suffix in _HEIC | {".jxl"}:
        return f'{suffix} needs a plug-in: pip install "ginr[formats]"'
    if suffix in _RAW.split():
        return f"{suffix} is a raw file of a camera: develop it first"
    if suffix == ".avif":
        return ".avif is not supported by this Pillow: update Pillow"
    return f"{suffix} is not supported: convert it first"


def jpeg_comment(picture: Picture) -> bytes | None:
    """The picture's comment if a JPEG can hold it."""
    comments = [words.encode() for keyword, words in picture.text if keyword == "Comment"]
    return comments[0] if comments and len(comments[0]) <= 65_000 else None


def output_format(path: Path) -> Format:
    """The format of a path's suffix; raises PictureError for an unknown one."""
    format = _BY_SUFFIX.get(path.suffix.lower())
    if format is None:
        name, known = printable(path), ", ".join(sorted(WRITABLE))
        if not path.suffix:
            raise PictureError(f"{name} has no suffix: add one of {known}")
        raise PictureError(f"{name}: {path.suffix!r} is not an output format: use {known}")
    return format


def check_target(
    path: Path,
    height: int,
    width: int,
    *,
    overwrite: bool = False,
    quality: int | None = None,
    channels: int = 3,
    depth: int = 8,
) -> None:
    """Raises PictureError if a picture of this size could not be written to the path."""
    format = output_format(path)
    name = printable(path)
    if quality is not None and format.quality is None:
        raise PictureError(f"{name}: quality {quality} does not apply: {format.name} is lossless")
    if quality is not None and not 1 <= quality <= 100:
        raise PictureError(f"{name}: quality {quality} is out of range: give 1 to 100")
    n_bytes = height * width * channels * (depth if format.has_depth_16 else 8) // 8
    other = "" if format.name == "PNG" else ".png or "
    check_size(name, format, height, width, n_bytes, f"use {other}a smaller size")
    check_place(path, overwrite)


def memory_needed(path: Path, height: int, width: int) -> int:
    """Bytes of memory for writing an 8-bit RGB picture; 0 if it is written row by row."""
    pixel_bytes = output_format(path).pixel_bytes
    return 0 if pixel_bytes is None else height * width * (3 + pixel_bytes)


def check_size(
    name: str, format: Format, height: int, width: int, n_bytes: int, remedy: str
) -> None:
    """Raises PictureError if the format cannot hold a picture of this size."""
    if max(height, width) > format.max_side:
        limit = f"{format.max_side} pixels a side"
    elif format.max_pixels is not None and height * width > format.max_pixels:
        limit = f"{format.max_pixels / 1e6:.0f} megapixels"
    elif format.max_bytes is not None and n_bytes > format.max_bytes:
        limit = f"{format.max_bytes / 2**30:.0f} GiB of samples"
    else:
        return
    raise PictureError(
        f"{name}: {width}x{height} is too large for {format.name} (at most {limit}): {remedy}"
    )


def check_place(path: Path, overwrite: bool) -> None:
    """Raises PictureError if no file can be written to the path."""
    name, folder = printable(path), path.parent
    try:
        if path.is_dir():
            raise PictureError(f"{name} is a folder: name a file in it")
        if path.exists():
            if not path.is_file():
                raise PictureError(f"{name} is not a regular file: choose another name")
            if not overwrite:
                raise PictureError(f"{name} already exists: add --overwrite to replace it")
            if not os.access(path, os.W_OK):
                raise PictureError(
                    f"{name} is read-only: change its permissions, or choose another name"
                )
        if not folder.is_dir():
            raise PictureError(
                f"{name}: folder {printable(folder)} does not exist: create it first"
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PictureError(f"{name}: its folder is not writable: choose another")
    except OSError as error:
        raise PictureError(f"{name} is not a valid name ({error.strerror}): change it") from error


def losses(picture: Picture, path: Path) -> list[str]:
    """What the format of the path's suffix cannot hold of this picture, each as a phrase."""
    return losses_in(picture, output_format(path))


def losses_in(picture: Picture, format: Format) -> list[str]:
    """What a format cannot hold of a picture, each as a phrase."""
    lost = []
    if not format.has_alpha and not picture.is_opaque:
        lost.append(f"{format.name} has no transparency: placed on white")
    if not format.has_depth_16 and picture.depth == 16:
        lost.append(f"{format.name} has 8 bits per sample: rounded from 16")
    blocks = {"ICC profile": picture.icc, "EXIF": picture.exif, "XMP": picture.xmp}
    for label, block in blocks.items():
        reason = None if block is None else unfit_reason(format, label, block, picture.is_grey)
        if reason is not None:
            lost.append(f"{label} dropped: {format.name} {reason}")
    says_dpi = picture.dpi is None or format.has_dpi
    if not says_dpi and (picture.exif is None or exif_dpi(picture.exif) is None):
        lost.append(f"resolution (dpi) dropped: {format.name} has none")
    n_texts = len(picture.text)
    if format.name == "JPEG" and jpeg_comment(picture) is not None:
        n_texts -= 1
    if n_texts and format.name != "PNG":
        only_comment = {keyword for keyword, _ in picture.text} == {"Comment"}
        lost.append("comment dropped" if only_comment else f"{n_texts} PNG text chunk(s) dropped")
    if picture.cicp is not None and format.name != "PNG":
        lost.append(f"colour space {colour.name_of(picture.cicp)} dropped: only a PNG can say it")
    return lost


def network_losses(picture: Picture) -> list[str]:
    """What a network cannot keep of this picture, each as a phrase."""
    if not picture.has_alpha:
        return []
    hidden = picture.samples[..., -1] == 0  # (H, W)
    if not hidden.any() or not picture.samples[hidden][:, :-1].any():
        return []
    return ["colour of fully transparent pixels set to 0"]


def unfit_reason(format: Format, label: str, block: bytes, is_grey: bool) -> str | None:
    """Why a format cannot hold a block, to follow its name; None if it can."""
    if not (format.has_icc if label == "ICC profile" else format.has_metadata):
        return "has no metadata" if not format.has_metadata else "is written without"
    if label == "EXIF" and not format.has_exif:
        return "is written without"
    if label == "XMP" and not is_xmp(block):
        return "needs UTF-8 text"
    if label == "ICC profile":
        space = colour.icc_space(block)
        if not format.has_grey and space == "GRAY":
            return "stores RGB, and this is a grey profile"
        if format.name == "PNG" and is_grey and space == "RGB":
            return "does not allow one for RGB in a grey picture"
    elif format.name == "JPEG" and len(block) > _JPEG_BLOCK:
        return f"holds 64 KB, and this is {len(block)} bytes"
    return None
