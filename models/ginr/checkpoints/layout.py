"""The header of a safetensors file, checked in full before anything is built or multiplied.

A file is 8 bytes, the length of the header; the header, a JSON object; and the tensors, without gaps.
"""

import json
import math
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

from ginr.errors import CheckpointError

MAX_HEADER = 1_000_000
"""Bytes; that of a large checkpoint has 20,000. JSON takes up to 30 times as much memory."""
MAX_AXES = 8

SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
"""Bytes of a number, by the name of its type."""


class Entry(NamedTuple):
    """A tensor as the header lists it."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


def read_layout(path: Path) -> tuple[dict[str, str], dict[str, Entry]]:
    """Metadata and tensors of a file, which has exactly the bytes that they need.

    Raises CheckpointError for a file that cannot be read, is cut short or no safetensors file.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else MAX_HEADER + 1
            if length > min(MAX_HEADER, size - 8) or file.read(1) != b"{":
                raise CheckpointError(
                    f"{path}: not a safetensors file, or cut short ({size} bytes): "
                    "ginr reads .safetensors files only, never pickles"
                )
            file.seek(8)
            entries = json.loads(file.read(length))
        metadata = _metadata(entries.pop("__metadata__", {}))
        tensors, end = _tensors(entries)
    except OSError as error:
        raise unreadable(path, error.strerror) from None
    except (ValueError, AttributeError, RecursionError):
        raise damaged(path) from None
    if size != (end := 8 + length + end):
        raise CheckpointError(
            f"{path}: {size} bytes, but its header says {end}: cut short or damaged, "
            "download or copy it again"
        )
    return metadata, tensors


def damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: damaged header: download or copy it again")


def unreadable(path: Path, why: object) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be read: {why}")


def _metadata(value: Any) -> dict[str, str]:
    """Raises ValueError unless it maps names to texts."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError
    return value


def _tensors(entries: dict[str, Any]) -> tuple[dict[str, Entry], int]:
    """The tensors that a header lists, and where the last one ends.

    Raises ValueError unless every tensor is where the one before it ends, and as long as it says.
    """
    found: dict[str, Entry] = {}
    spans = []
    for name, entry in entries.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not (isinstance(dtype, str) and _are_counts(shape) and _are_counts(offsets)):
            raise ValueError
        if len(shape) > MAX_AXES or len(offsets) != 2:
            raise ValueError
        n_byte = SIZES.get(dtype, 0) * math.prod(shape)
        if dtype not in SIZES or offsets[1] - offsets[0] != n_byte:
            raise ValueError
        found[name] = Entry(dtype, tuple(shape))
        spans.append(offsets)
    end = 0
    for begin, after in sorted(spans):
        if begin != end:
            raise ValueError
        end = after
    return found, end


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 2**63 for n in values)
