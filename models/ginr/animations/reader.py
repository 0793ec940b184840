"""Read animated files: their structure without decoding, then their frames one by one."""

import io
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from mmap import mmap
from pathlib import Path
from typing import cast

import numpy as np

from ginr.animations.apng import scan_apng
from ginr.animations.gif import scan_gif
from ginr.animations.pieces import Canvas, Frame, Scan
from ginr.animations.webp import scan_webp
from ginr.pictures import ReadRules
from ginr.pictures.decoders import decode
from ginr.pictures.header import open_header, reading
from ginr.pictures.opened import OpenedFile
from ginr.pictures.other_readers import open_webp
from ginr.pictures.png_reader import open_png
from ginr.pictures.reader import turned
from ginr.pictures.rules import (
    DAMAGE,
    MAX_SECONDS,
    WAY_ROUND,
    IncompleteError,
    UnsupportedError,
    check_size,
    foreign_errors,
    reason_of,
)
from ginr.pictures.samples import Samples

_SCANS: dict[str, Callable[[mmap, bool], Scan]] = {
    "GIF": scan_gif, "PNG": scan_apng, "WEBP": scan_webp,
}  # fmt: skip


@dataclass(frozen=True)
class Animation:
    """The structure of an animated file."""

    depth: int
    """Bits of a sample: 8 or 16."""
    plays: int
    """How often it is played; 0 for ever."""
    delays: tuple[Fraction, ...]
    """Seconds that each frame is shown."""


def is_animated(format: str, n_frames: int) -> bool:
    """Whether frames of a file of this format, as in `PictureHeader`, can be read one by one."""
    return n_frames > 1 and format in _SCANS


def open_animation(path: Path, rules: ReadRules) -> Animation:
    """The structure of an animated GIF, PNG or WebP.

    Raises PictureError, also for one that ends early unless `rules.allow_truncated`, and for more
    than 16,384 frames unless `rules.allow_large`.
    """
    with reading(path, rules) as (file, data):
        opened = open_header(file, data, rules)
        scan = _scan(data, opened, rules)
        delays = tuple(piece.delay for piece in scan.pieces)
        return Animation(opened.depth, scan.plays, delays)


def read_frames(path: Path, rules: ReadRules, note: Callable[[str], None]) -> Generator[Frame]:
    """Yields whole frames as they are shown, decoded on demand; close the generator in the end.

    Only the canvas is in memory. Raises PictureError; where `rules.allow_truncated`, a damaged frame
    that is not the first ends the animation, with a `note`.
    """
    with reading(path, rules) as (file, data):
        opened = open_header(file, data, rules)
        scan = _scan(data, opened, rules)
        if scan.is_truncated:
            note(f"incomplete: only the first {len(scan.pieces)} frames")
        canvas, spent = Canvas(scan.height, scan.width, opened.depth), 0.0
        for number, piece in enumerate(scan.pieces, 1):
            top, left, bottom, right = piece.box
            check_size(max(1, bottom - top), max(1, right - left), 4, len(data), rules)
            start = time.monotonic()
            try:
                pixels = _decoded(piece.still(), opened.format, rules)
                if pixels.shape[:2] != (bottom - top, right - left):
                    raise ValueError(f"it decodes to {pixels.shape[1]}x{pixels.shape[0]} pixels")
            except (*DAMAGE, IncompleteError) as error:
                words = f"frame {number} is damaged ({reason_of(error)})"
                if not rules.allow_truncated or number == 1:
                    raise ValueError(words) from error
                note(f"{words}: only the {number - 1} before it")
                return
            canvas.draw(piece, pixels)
            spent += time.monotonic() - start
            if spent > MAX_SECONDS and not rules.allow_large:
                raise UnsupportedError(f"takes over {MAX_SECONDS:g} s to read: {WAY_ROUND}")
            yield Frame(turned(canvas.samples.copy(), opened.turn), piece.delay)


def _scan(data: mmap, opened: OpenedFile, rules: ReadRules) -> Scan:
    scan = _SCANS[opened.format](data, not rules.allow_large)
    if not scan.pieces and not scan.is_truncated:
        raise ValueError("it has no frames")
    if (scan.height, scan.width) != (opened.height, opened.width):
        raise ValueError(f"its frames are {scan.width}x{scan.height} pixels")
    if scan.is_truncated and not (rules.allow_truncated and scan.pieces):
        raise IncompleteError(f"it ends in frame {len(scan.pieces) + 1}")
    return scan


@foreign_errors()
def _decoded(still: bytes, format: str, rules: ReadRules) -> Samples:
    """The samples (h, w, 4) of a file of one piece."""
    data = cast(mmap, still)  # only its slices are read
    if format == "GIF":
        from ginr.pictures.vips import pyvips

        image = pyvips.Image.new_from_buffer(still, "", fail_on="warning")
        samples: Samples = image.numpy().reshape(image.height, image.width, -1)
    else:
        opened: OpenedFile = open_png(data) if format == "PNG" else open_webp(data)
        samples = decode(io.BytesIO(still), data, opened, rules)
    if samples.shape[2] < 3:
        samples = np.concatenate([samples[..., :1]] * 3 + [samples[..., 1:]], axis=-1)
    if samples.shape[2] == 3:
        peak = np.iinfo(samples.dtype).max
        opaque = np.full((*samples.shape[:2], 1), peak, samples.dtype)
        samples = np.concatenate([samples, opaque], axis=-1)
    return samples
