"""TIFF files, packed strip by strip as the rows come; BigTIFF where 4 GiB may not be enough."""

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from ginr.pictures import metadata
from ginr.pictures.samples import Picture, Samples, strips

_STRIP = 1 << 20  # bytes of samples in a strip
CLASSIC_BYTES = 2**32 - 2**24
"""Samples up to here fit a file with 32-bit offsets, even those that deflate makes no smaller."""


def write_tiff(
    file: BinaryIO,
    bands: Iterable[Samples],
    like: Picture,
    height: int,
    width: int,
    exif: bytes | None,
) -> None:
    """Packs deflated strips with horizontal differences.

    The EXIF block, a TIFF file without samples, is the file's beginning: what its entries point to
    stays where it was, and only its first directory is replaced by one that has the samples too.
    In a BigTIFF, whose directories are others, the block is packed anew.
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
    stored = np.dtype(f"{order}u{like.depth // 8}")
    offsets, sizes = [], []
    for strip in strips(bands, n_rows):
        differences = strip.copy()
        differences[:, 1:] -= strip[:, :-1]  # wraps around, as TIFF wants
        packed = zlib.compress(differences.astype(stored, copy=False).data, 4)
        offsets.append(file.tell())
        sizes.append(len(packed))
        file.write(packed)

    def short(*values: int) -> metadata.Entry:
        return 3, len(values), struct.pack(f"{order}{len(values)}H", *values)

    def long(*values: int) -> metadata.Entry:
        return 4, len(values), struct.pack(f"{order}{len(values)}I", *values)

    def rational(value: float) -> metadata.Entry:
        return 5, 1, struct.pack(order + "II", round(value * 10_000), 10_000)

    places = (16, len(offsets), struct.pack(f"{order}{len(offsets)}Q", *offsets))
    file.write(bytes(file.tell() % 2))
    entries = directories.read(directories.first)
    if is_big:
        entries, nested = metadata.moved(directories, entries, file.tell(), is_big)
        file.write(nested)
    for tag in (0x100, 0x101, *metadata.RESOLUTION):
        entries.pop(tag, None)
    entries |= {
        256: long(width),
        257: long(height),
        258: short(*[like.depth] * like.channels),
        259: short(8),  # deflate
        262: short(1 if like.is_grey else 2),
        273: places if is_big else long(*offsets),
        277: short(like.channels),
        278: long(n_rows),
        279: long(*sizes),
        284: short(1),
        317: short(2),  # horizontal differences
        339: short(*[1] * like.channels),
    }
    if like.has_alpha:
        entries[338] = short(2)  # straight alpha
    if like.dpi is not None:
        x, y = like.dpi
        entries |= {282: rational(x), 283: rational(y), 296: short(2)}
    if like.xmp is not None:
        entries[700] = (1, len(like.xmp), like.xmp)
    if like.icc is not None:
        entries[34675] = (7, len(like.icc), like.icc)
    start = file.tell()
    file.write(metadata.pack_directory(entries, start, order, is_big))
    file.seek(0)
    file.write(metadata.tiff_header(order, start, is_big))
