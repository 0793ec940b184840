"""Write TIFF files strip by strip; BigTIFF where 4 GiB may not be enough."""

import struct
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np

from ginr.pictures import exif as exif_blocks
from ginr.pictures.directories import Directories, Entry, pack_directory, tiff_header
from ginr.pictures.samples import Picture, Samples, strips

_STRIP = 1 << 20  # bytes of samples in a strip
CLASSIC_BYTES = 2**32 - 2**24
"""Largest size of samples for 32-bit offsets, even if deflate does not shrink them."""
_FROM_EXIF = exif_blocks.DESCRIPTIVE.union(exif_blocks.NESTED)  # tags
_EMPTY = tiff_header("<", 8) + bytes(6)


class TiffWriter:
    """Writes pages of deflated strips with horizontal differences.

    The file begins with the EXIF block of the first page, a TIFF file without samples, so that its
    offsets stay valid; only its first directory is replaced by one with the samples. For other
    pages and in a BigTIFF, whose directories have another format, the block is packed anew.
    """

    def __init__(self, file: BinaryIO, n_bytes: int) -> None:
        """`n_bytes`: of the samples of all pages."""
        self._file, self._is_big = file, n_bytes > CLASSIC_BYTES
        self._order = ""
        self._link = 0
        """Position of the offset of the next directory."""

    def add(self, bands: Iterable[Samples], like: Picture, height: int, width: int) -> None:
        """Writes a page; `like` gives channels, depth and metadata."""
        file = self._file
        directories = Directories.of(like.exif or _EMPTY)
        is_first = not self._order
        if is_first:
            self._order = directories.order
            if self._is_big:
                file.write(tiff_header(self._order, 0, is_big=True))
                self._link = 8
            else:
                block = bytes(directories.data)
                file.write(block + bytes(len(block) % 2))
                self._link = 4
        elif directories.order != self._order:
            directories = Directories.of(tiff_header(self._order, 8) + bytes(6))
        row_bytes = width * like.channels * like.depth // 8
        n_rows = max(1, _STRIP // row_bytes)
        offsets, sizes = self._write_strips(strips(bands, n_rows), like.depth // 8)
        entries = directories.read(directories.first, _FROM_EXIF)
        if self._is_big or not is_first:
            entries, nested = exif_blocks.repacked(directories, entries, file.tell(), self._is_big)
            file.write(nested + bytes(len(nested) % 2))
        if like.dpi is not None:
            for tag in exif_blocks.RESOLUTION:
                entries.pop(tag, None)
        entries |= _image_entries(like, height, width, self._order)
        entries |= {
            273: _numbers(self._order, "Q" if self._is_big else "I", *offsets),
            278: _numbers(self._order, "I", n_rows),
            279: _numbers(self._order, "I", *sizes),
        }
        self._write_directory(entries)

    def _write_directory(self, entries: dict[int, Entry]) -> None:
        """Writes a directory and links it to the one before."""
        start = self._file.tell()
        self._file.write(pack_directory(entries, start, self._order, self._is_big))
        end = self._file.tell()
        self._file.write(bytes(end % 2))
        self._file.seek(self._link)
        self._file.write(struct.pack(self._order + ("Q" if self._is_big else "I"), start))
        self._link = start + (8 + 20 * len(entries) if self._is_big else 2 + 12 * len(entries))
        self._file.seek(end + end % 2)

    def _write_strips(self, rows: Iterable[Samples], n_bytes: int) -> tuple[list[int], list[int]]:
        """Writes the strips; returns their offsets and sizes in bytes."""
        offsets, sizes = [], []
        stored: np.dtype[Any] = np.dtype(f"{self._order}u{n_bytes}")
        for strip in rows:
            differences = strip.copy()
            differences[:, 1:] -= strip[:, :-1]  # wraps around, as TIFF requires
            packed = zlib.compress(differences.astype(stored, copy=False).data, 4)
            offsets.append(self._file.tell())
            sizes.append(len(packed))
            self._file.write(packed)
        self._file.write(bytes(self._file.tell() % 2))
        return offsets, sizes


def _image_entries(like: Picture, height: int, width: int, order: str) -> dict[int, Entry]:
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


def _numbers(order: str, code: str, *values: int) -> Entry:
    """Unsigned numbers of 16 bits (H), 32 (I) or 64 (Q)."""
    kind = {"H": 3, "I": 4, "Q": 16}[code]
    return kind, len(values), struct.pack(f"{order}{len(values)}{code}", *values)
