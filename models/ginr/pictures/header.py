"""Opening picture files: which reader, the check of the size, and the errors."""

import logging
import mmap
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from ginr.errors import PictureError, printable
from ginr.pictures.jpeg_reader import open_jpeg
from ginr.pictures.opened import OpenedFile
from ginr.pictures.opened_png import PNG_MARK
from ginr.pictures.other_readers import open_webp, open_with_pillow
from ginr.pictures.png_reader import open_png
from ginr.pictures.rules import (
    DAMAGE,
    IncompleteError,
    ReadRules,
    UnsupportedError,
    check_size,
    reason_of,
)
from ginr.pictures.tiff_reader import TIFF_MARKS, open_tiff

_AGAIN = "download or copy it again"
_LIKE_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@contextmanager
def reading(path: Path, rules: ReadRules) -> Iterator[tuple[BinaryIO, mmap.mmap]]:
    """Opens a file; raises PictureError for whatever goes wrong in the block."""
    name = printable(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise PictureError(f"{name} is a folder: name a file in it")
        if not stat.S_ISREG(mode):
            raise PictureError(f"{name} is not a regular file: save the picture to one first")
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise PictureError(f"{name} is empty (0 bytes): {_AGAIN}")
            with _unlimited_pillow(rules):
                yield file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        advice = (
            "only the command ginr upscale reads URLs"
            if _LIKE_URL.match(name)
            else "check the name"
        )
        raise PictureError(f"{name} does not exist: {advice}") from error
    except PermissionError as error:
        raise PictureError(f"{name} cannot be read: check its permissions") from error
    except UnsupportedError as error:
        raise PictureError(f"{name} {error}") from error
    except IncompleteError as error:
        raise PictureError(
            f"{name} is incomplete ({error}): {_AGAIN}, or add --allow-truncated"
        ) from error
    except MemoryError as error:
        raise PictureError(
            f"{name} needs more memory than is free: close other programs"
        ) from error
    except DAMAGE as error:
        if isinstance(error, OSError) and error.filename is not None:  # the system, not a decoder
            raise PictureError(
                f"{name} cannot be opened ({error.strerror}): check the name"
            ) from error
        raise PictureError(f"{name} is damaged ({reason_of(error)}): {_AGAIN}") from error


_pillow_lock, _pillow_restore = threading.Lock(), ExitStack()
_pillow_readers: list[int] = []


@contextmanager
def _unlimited_pillow(rules: ReadRules) -> Iterator[None]:
    """Sets Pillow up while a thread of ours reads: no limit of its own, and no warnings.

    It leaves YCbCr TIFF to libtiff, which knows all of its variants. All of this is process-wide:
    the first reader sets it, the last one restores it.
    """
    from PIL import Image, ImageFile, TiffImagePlugin

    settings = {
        (Image, "MAX_IMAGE_PIXELS"): None,
        (ImageFile, "LOAD_TRUNCATED_IMAGES"): rules.allow_truncated,
        (TiffImagePlugin, "READ_LIBTIFF"): True,
        (logging.getLogger("tifffile"), "disabled"): True,
    }
    with _pillow_lock:
        if not _pillow_readers:
            _pillow_restore.enter_context(warnings.catch_warnings(action="ignore"))
            for (module, name), value in settings.items():
                _pillow_restore.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, value)
        _pillow_readers.append(threading.get_ident())
    try:
        yield
    finally:
        with _pillow_lock:
            _pillow_readers.pop()
            if not _pillow_readers:
                _pillow_restore.close()


def open_header(
    file: BinaryIO, data: mmap.mmap, rules: ReadRules, page: int | None = None
) -> OpenedFile:
    """Reads the header and metadata of an open file."""
    head = data[:12]
    if head.startswith(PNG_MARK):
        opened: OpenedFile = open_png(data)
    elif head[:4] in TIFF_MARKS:
        opened = open_tiff(data, page, rules)
    elif head.startswith(b"\xff\xd8"):
        opened = open_jpeg(data)
    elif head[:4] == b"RIFF" and head[8:] == b"WEBP":
        opened = open_webp(data)
    else:
        opened = open_with_pillow(file, data, rules)
    sample_bytes = opened.channels * opened.depth // 8
    check_size(opened.height, opened.width, sample_bytes, len(data), rules, opened.slowness)
    opened.check_icc()
    if rules.strict and opened.faults:
        raise UnsupportedError(f"has a fault ({opened.faults[0]}): leave out --strict to read it")
    return opened
