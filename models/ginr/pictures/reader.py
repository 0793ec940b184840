"""Picture files into memory."""

import struct
from pathlib import Path

import numpy as np

from ginr.errors import PictureError, printable
from ginr.pictures import exif as exif_blocks
from ginr.pictures.decoders import decode
from ginr.pictures.header import open_header, reading
from ginr.pictures.opened import DAMAGED_EXIF, OpenedFile
from ginr.pictures.rules import ReadRules, UnsupportedError
from ginr.pictures.samples import Picture, PictureHeader, Samples, is_credible
from ginr.pictures.xmp import upright_xmp

_USUAL = ReadRules()


def probe_picture(path: str | Path, rules: ReadRules = _USUAL) -> PictureHeader:
    """Reads the header of a picture file; raises PictureError."""
    with reading(Path(path), rules) as (file, data):
        opened = open_header(file, data, rules)
    height, width = opened.height, opened.width
    if opened.turn > 4:
        height, width = width, height
    pages = opened.pages or ((height, width),)
    kind = opened.channels, opened.depth, opened.format
    return PictureHeader(height, width, *kind, pages, opened.xmp, opened.n_frames)


def read_picture(
    path: str | Path, rules: ReadRules = _USUAL, *, page: int | None = None
) -> Picture:
    """Reads a picture file, upright; raises PictureError.

    `page` is one of `PictureHeader.pages`; None is the first, and a note says what is left out.
    """
    with reading(Path(path), rules) as (file, data):
        opened = open_header(file, data, rules, page)
        samples = decode(file, data, opened, rules)
        if rules.strict and opened.faults:
            raise UnsupportedError(
                f"has a fault ({opened.faults[-1]}): leave out --strict to read it"
            )
        exif, xmp = _upright(opened)
        if opened.dpi is not None and not is_credible(opened.dpi):
            opened.notes.append("implausible resolution (dpi) dropped")
            opened.dpi = None
        return Picture(
            turned(samples, opened.turn),
            icc=opened.icc,
            exif=exif,
            xmp=xmp,
            dpi=opened.dpi,
            text=tuple(opened.text),
            cicp=opened.cicp,
            jpeg_quality=opened.jpeg_quality,
            notes=(*opened.faults, *opened.notes),
        )


def check_whole(path: Path) -> None:
    """Raises PictureError for a picture whose header shows that its end is missing."""
    try:
        probe_picture(path, ReadRules(strict=True))
    except PictureError as error:
        raise PictureError(
            f"{printable(path)} already exists but is damaged or incomplete: "
            "add --overwrite to replace it"
        ) from error


def _upright(opened: OpenedFile) -> tuple[bytes | None, bytes | None]:
    """The EXIF block and XMP packet of the upright picture."""
    exif, xmp = opened.exif, opened.xmp
    if exif is not None:
        try:
            exif = exif_blocks.upright_exif(exif)
        except (ValueError, LookupError, struct.error):
            opened.faults.append(DAMAGED_EXIF)
            exif = None
    if xmp is not None and opened.turn != 1:
        xmp = upright_xmp(xmp)
    return exif, xmp


def turned(samples: Samples, turn: int) -> Samples:
    """Applies an EXIF orientation, 1 to 8, to (H, W, C) samples."""
    if turn > 4:
        samples = samples.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if turn in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)
