"""How lenient reading is, how large and slow a picture may be, and the errors of files."""

import io
import math
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from ginr.errors import printable

MAX_PIXELS = 1_000_000_000
"""Pixels that a header may claim unless `allow_large`; more counts as a decompression bomb."""
MAX_SECONDS = 60.0
"""Time for decoding unless `allow_large`."""
MAX_PAGES = 16_384
"""Pages or frames unless `allow_large`."""

_LARGE_BYTES = 200_000_000  # decoded; a smaller picture does no harm, whatever its file claims
_MAX_PIXELS_PER_BYTE = 5_000  # flat PNGs and JPEGs stay far below
WAY_ROUND = "add --allow-large if you trust it"


@dataclass(frozen=True)
class ReadRules:
    """How to read files of unknown quality and origin."""

    strict: bool = False
    """Refuse files with faults that do not concern the samples."""
    allow_truncated: bool = False
    """Read incomplete samples, the rest as the decoder leaves it."""
    allow_large: bool = False
    """Lift the limits on size, time and pages."""


DAMAGE = (OSError, ValueError, LookupError, ArithmeticError, struct.error, zlib.error)
"""What readers raise on damaged data."""


class UnsupportedError(Exception):
    """What a file has that cannot be read, and what to do, to follow its name."""


class IncompleteError(Exception):
    """The samples of a file end early."""


@contextmanager
def foreign_errors() -> Iterator[None]:
    """Turns what other libraries raise on damaged data, which may be anything, into an OSError."""
    try:
        yield
    except (OSError, MemoryError, UnsupportedError):
        raise
    except Exception as error:
        raise OSError(reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """The words of an error as part of one line, the same ones once."""
    lines = dict.fromkeys(" ".join(line.split()) for line in str(error).splitlines())
    words = printable(", ".join(line for line in lines if line))
    return words[:200] or type(error).__name__


def check_size(
    height: int, width: int, sample_bytes: int, file_bytes: int, rules: ReadRules, slowness: int = 1
) -> None:
    """Raises UnsupportedError for a header that claims too much, ValueError for no pixels.

    `sample_bytes` is per pixel; a slow decoder gets as much less as its `slowness` says.
    """
    n_pixels = height * width
    if n_pixels <= 0:
        raise ValueError(f"its header claims {width}x{height} pixels")
    if rules.allow_large:
        return
    claim = f"claims {width}x{height} pixels"
    if n_pixels > MAX_PIXELS:
        raise UnsupportedError(
            f"{claim}, above the limit of {MAX_PIXELS / 1e9:g} gigapixel: {WAY_ROUND}, or split it"
        )
    many = n_pixels * slowness > _MAX_PIXELS_PER_BYTE * file_bytes
    if n_pixels * sample_bytes * slowness > _LARGE_BYTES and many:
        raise UnsupportedError(f"{claim} in {file_bytes} bytes: {WAY_ROUND}")


class Deadline:
    """The end of the time for one picture, and the rules that it is read by."""

    def __init__(self, rules: ReadRules) -> None:
        self.rules = rules
        self._end = math.inf if rules.allow_large else time.monotonic() + MAX_SECONDS

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._end

    def check(self) -> None:
        """Raises UnsupportedError after the end."""
        if self.is_over:
            raise UnsupportedError(f"takes over {MAX_SECONDS:g} s to read: {WAY_ROUND}")


class TimedFile(io.BufferedReader):
    """Reads a file for Pillow from its start, until a deadline; the file stays open after it."""

    def __init__(self, file: BinaryIO, deadline: Deadline) -> None:
        super().__init__(io.FileIO(file.fileno(), closefd=False))
        self._deadline = deadline
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        self._deadline.check()
        return super().read(size)
