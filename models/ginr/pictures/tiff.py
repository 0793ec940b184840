"""Write TIFF files strip by strip; BigTIFF where 4 GiB may not be enough."""

import struct
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np

from ginr.pictures import metadata
from ginr.pictures.samples import Picture, Samples, strips

_STRIP = 1 << 20  # bytes of samples in a strip
CLASSIC_BYTES = 2**32 - 2**24
"""Largest size of samples for 32-bit offsets, even if deflate does not shrink them."""


def write_tiff(
    file: BinaryIO,
    bands: Iterable[Samples],
    like: Picture,
    height: int,
    width: int,
    exif: bytes | None,
) -> None:
    """Writes deflated strips with horizontal differences.

    The file begins with the EXIF block, a TIFF file without samples, so that its offsets stay
    valid; only its first directory is replaced by one with the samples. In a BigTIFF, whose
    directories have another format, the block is packed anew.
    """
    n_bytes = height * width * like.channels * like.depth // 8
    is_big = n_bytes > CLASSIC_BYTES
    exif = exif or metadata.tiff_header("<", 8) + bytes(6)
    directories = metadata.Directories.of(exif)
    order = directories.order
    if is_big:
        file.write(metadata.tiff_header(order, 0, is_big))
    else:
        file.write(exif + bytes(len(exif) % 2))
    n_rows = max(1, _STRIP * height // n_bytes)
    offsets, sizes = _write_strips(
        file, strips(bands, n_rows), np.dtype(f"{order}u{like.depth // 8}")
    )
    file.write(bytes(file.tell() % 2))
    entries = directories.read(directories.first)
    if is_big:
        entries, nested = metadata.moved(directories, entries, file.tell(), is_big)
        file.write(nested)
    for tag in (0x100, 0x101, *metadata.RESOLUTION):
        entries.pop(tag, None)
    entries |= _image_entries(like, height, width, order)
    entries |= {
        273: _numbers(order, "Q" if is_big else "I", *offsets),
        278: _numbers(order, "I", n_rows),
        279: _numbers(order, "I", *sizes),
    }
    start = file.tell()
    file.write(metadata.pack_directory(entries, start, order, is_big))
    file.seek(0)
    file.write(metadata.tiff_header(order, start, is_big))


def _write_strips(
    file: BinaryIO, rows: Iterable[Samples], stored: np.dtype[Any]
) -> tuple[list[int], list[int]]:
    """Writes the strips; returns their offsets and sizes in bytes."""
    offsets, sizes = [], []
    for strip in rows:
        differences = strip.copy()
        differences[:, 1:] -= strip[:, :-1]  # wraps around, as TIFF requires
        packed = zlib.compress(differences.astype(stored, copy=False).data, 4)
        offsets.append(file.tell())
        sizes.append(len(packed))
        file.write(packed)
    return offsets, sizes


def _image_entries(like: Picture, height: int, width: int, order: str) -> dict[int, metadata.Entry]:
    """Entries on how the samples are stored, and all metadata but EXIF."""
    entries = {
        256: _numbers(order, "I", width),
        257: _numbers(order, "I", height),
        258: _numbers(order, "H", *[like.depth] * like.channels),
        259: _numbers(order, "H", 8),  # deflate
        262: _numbers(order, "H", 1 if like.is_grey else 2),
        277: _numbers(order, "H", like.channels),
        284: _numbers(order, "H", 1),
        317: _numbers(order, "H", 2),  # horizontal differences
        339: _numbers(order, "H", *[1] * like.channels),
    }
    if like.has_alpha:
        entries[338] = _numbers(order, "H", 2)  # straight alpha
    if like.dpi is not None:
        for tag, side in zip((282, 283), like.dpi, strict=True):
            entries[tag] = 5, 1, struct.pack(order + "II", round(side * 10_000), 10_000)
        entries[296] = _numbers(order, "H", 2)
    if like.xmp is not None:
        entries[700] = (1, len(like.xmp), like.xmp)
    if like.icc is not None:
        entries[34675] = (7, len(like.icc), like.icc)
    return entries


def _numbers(order: str, code: str, *values: int) -> metadata.Entry:
    """Unsigned numbers of 16 bits (H), 32 (I) or 64 (Q)."""
    kind = {"H": 3, "I": 4, "Q": 16}[code]
    return kind, len(values), struct.pack(f"{order}{len(values)}{code}", *values)
