"""Decode samples: libvips first, which reports every fault of the data, then Pillow and tifffile."""

import mmap
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

import numpy as np

from ginr.pictures.jpeg_reader import END
from ginr.pictures.libraries import by_pillow, by_tifffile, by_vips, is_whole_jpeg
from ginr.pictures.opened import OpenedFile
from ginr.pictures.opened_png import OpenedPng
from ginr.pictures.rules import (
    DAMAGE,
    Deadline,
    IncompleteError,
    ReadRules,
    UnsupportedError,
    reason_of,
)
from ginr.pictures.samples import Samples
from ginr.pictures.tiff_reader import YCBCR, OpenedTiff

_ENDS_EARLY = (
    "truncat", "premature end", "not enough", "end of file", "eof", "incomplete", "unexpected end",
    "read error", "too short", "not processed",
)  # fmt: skip
# Of libvips, if the data of a TIFF are damaged; other readers would repeat it on stderr.
_BROKEN = ("ZLib error", "Decode: ", "TIFFFill", "JPEGLib", "out of range")


def decode(file: BinaryIO, data: mmap.mmap, opened: OpenedFile, rules: ReadRules) -> Samples:
    """The samples (H, W, C) as stored, before the orientation; adds notes and faults.

    Raises UnsupportedError, IncompleteError, or one of `DAMAGE`.
    """
    deadline = Deadline(rules)
    if isinstance(opened, OpenedPng):
        samples = _decode_png(data, opened, deadline)
    elif isinstance(opened, OpenedTiff):
        samples = _decode_tiff(file, data, opened, deadline)
    elif opened.format == "JPEG":
        samples = _decode_jpeg(data, opened, deadline)
    else:
        samples = _decode_other(file, data, opened, deadline)
    if samples.shape[:2] != (opened.height, opened.width):
        raise ValueError(f"it decodes to {samples.shape[1]}x{samples.shape[0]} pixels")
    return np.ascontiguousarray(samples)


def _decode_png(data: mmap.mmap, opened: OpenedPng, deadline: Deadline) -> Samples:
    try:
        samples = by_vips(opened.clean(data), opened, deadline, "warning")
    except DAMAGE:
        restored, is_right = opened.restored(data)
        try:
            samples = by_vips(restored, opened, deadline, "warning")
            if not is_right:
                raise ValueError("the checksums of its samples are wrong")
        except DAMAGE as error:
            if not deadline.rules.allow_truncated:
                if opened.is_incomplete or opened.cut is not None:
                    raise IncompleteError("its samples end early") from error
                raise
            samples = by_vips(restored, opened, deadline, "none")
            opened.notes.append("incomplete: the missing pixels are black")
        else:
            opened.faults.append("wrong checksum of the samples")
    if opened.colour_type in (0, 2) and opened.transparent is not None:
        return _with_key(samples, opened)
    return samples


def _with_key(samples: Samples, opened: OpenedPng) -> Samples:
    """Samples with alpha: 0 for the transparent colour, the peak elsewhere."""
    assert opened.transparent is not None
    key = np.frombuffer(opened.transparent, ">u2") & (2**opened.bits - 1)
    peak = 2**opened.depth - 1
    key = (key * (peak // (2**opened.bits - 1))).astype(samples.dtype)
    alpha = np.where((samples[..., : key.size] != key).any(-1), peak, 0).astype(samples.dtype)
    return np.concatenate([samples[..., : key.size], alpha[..., None]], axis=-1)


def _decode_jpeg(data: mmap.mmap, opened: OpenedFile, deadline: Deadline) -> Samples:
    notes, icc = list(opened.notes), opened.icc

    def attempt(source: bytes | mmap.mmap, fail_on: str) -> Samples:
        opened.notes[:], opened.icc = notes, icc  # without what a failed attempt noted
        return by_vips(source, opened, deadline, fail_on)

    try:
        return attempt(data, "warning")
    except DAMAGE as first:
        error: BaseException = first
    if opened.faults and "end marker" in opened.faults[-1]:
        try:
            samples = attempt(data[:] + END, "warning")
        except DAMAGE as second:
            error = second
        else:
            if is_whole_jpeg(data, samples):
                return samples
    if _ends_early(error):
        if not deadline.rules.allow_truncated:
            raise IncompleteError("its samples end early") from error
        samples = attempt(data, "none")
        opened.notes.append("incomplete: the missing pixels are grey")
        return samples
    samples = attempt(data, "error")
    opened.faults.append(f"its samples are damaged, some pixels may be wrong ({reason_of(error)})")
    return samples


def _decode_other(
    file: BinaryIO, data: mmap.mmap, opened: OpenedFile, deadline: Deadline
) -> Samples:
    try:
        if opened.format == "WEBP":
            with suppress(*DAMAGE):
                return by_vips(data, opened, deadline, "warning")
        return by_pillow(file, opened, deadline)
    except DAMAGE as error:
        if _ends_early(error) or any("shorter" in fault for fault in opened.faults):
            raise IncompleteError("its samples end early") from error
        if "nsupported" in str(error):
            raise UnsupportedError(
                f"has samples that are not supported ({reason_of(error)}): convert it first"
            ) from error
        raise


def _decode_tiff(
    file: BinaryIO, data: mmap.mmap, opened: OpenedTiff, deadline: Deadline
) -> Samples:
    readers: list[Callable[[], Samples]] = [
        lambda: by_vips(data, opened, deadline, "warning", page=opened.index),
        lambda: by_pillow(file, opened, deadline),
        lambda: by_tifffile(file, opened),
    ]
    if opened.photometric == YCBCR and opened.compression not in (6, 7):
        del readers[0]  # libvips takes it for RGB
    errors: list[BaseException] = []
    notes, icc = list(opened.notes), opened.icc
    for read in readers:
        opened.notes[:], opened.icc = notes, icc
        try:
            return read()
        except DAMAGE as error:
            errors.append(error)
            if opened.end > len(data) or any(mark in str(error) for mark in _BROKEN):
                break
    if deadline.rules.allow_truncated:
        with suppress(*DAMAGE):
            samples = by_vips(data, opened, deadline, "none", page=opened.index)
            opened.notes.append("incomplete: the missing pixels are black")
            return samples
    _refuse_unsupported(opened, errors[0])
    if opened.end > len(data):
        raise IncompleteError("its samples end early") from errors[0]
    raise errors[0]


def _refuse_unsupported(opened: OpenedTiff, error: BaseException) -> None:
    """Raises UnsupportedError if a TIFF that no reader could decode is of an uncommon kind."""
    from tifffile import COMPRESSION

    if opened.bits not in (1, 2, 4, 8, 16):
        raise UnsupportedError(
            f"has {opened.bits}-bit samples, which are not supported: convert it to 8 or 16 bit, "
            'or pip install "ginr[formats]"'
        ) from error
    if opened.compression not in (1, 2, 3, 4, 5, 7, 8, 32773, 32946):
        try:
            name = COMPRESSION(opened.compression).name
        except ValueError:
            name = f"an unknown ({opened.compression})"
        raise UnsupportedError(
            f"has {name} compression, which is not supported: save it with LZW or deflate, "
            'or pip install "ginr[formats]"'
        ) from error


def _ends_early(error: BaseException) -> bool:
    return any(words in str(error).lower() for words in _ENDS_EARLY)
