"""Decode with one library: libvips, Pillow or tifffile.

Pillow silently reads 16-bit colour as 8-bit, so its result is only taken if it has all bits.
"""

import io
import mmap
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ginr.pictures import colour
from ginr.pictures.opened import OpenedFile
from ginr.pictures.opened_png import OpenedPng
from ginr.pictures.rules import Deadline, TimedFile, foreign_errors
from ginr.pictures.samples import Samples
from ginr.pictures.tiff_reader import (
    BLACK_IS_ZERO,
    CMYK,
    LAB,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    OpenedTiff,
)

if TYPE_CHECKING:
    from PIL import Image

_BAND = 1 << 22  # samples converted at a time, held twice
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_CMYK_BY_PROFILE = "CMYK is converted to sRGB by its ICC profile"
_CMYK_ROUGHLY = "CMYK without a profile is converted to sRGB by a standard one"
_LAB = "CIELab is converted to sRGB"


def by_vips(
    data: bytes | mmap.mmap, opened: OpenedFile, deadline: Deadline, fail_on: str, **options: Any
) -> Samples:
    """Decodes with libvips. Raises OSError for damage as bad as `fail_on` says."""
    from ginr.pictures.vips import pyvips

    pyvips.vips_lib.vips_error_clear()  # what other decoders left, such as warnings
    if deadline.rules.allow_large and opened.format != "WEBP":
        options["unlimited"] = True
    try:
        # From memory: libvips reads "[...]" in a file name as options.
        source = pyvips.Source.new_from_memory(data)
        image = pyvips.Image.new_from_source(
            source, "", access="sequential", fail_on=fail_on, **options
        )
        if (image.height, image.width) != (opened.height, opened.width):
            raise ValueError(f"its decoder sees {image.width}x{image.height} pixels")
        image = _srgb_by_vips(image, opened)
        image.set_progress(True)
        image.signal_connect("eval", lambda image, _: deadline.is_over and image.set_kill(True))
        samples: Samples = image.numpy()
    except pyvips.Error as error:
        deadline.check()
        if "out of memory" in str(error):
            raise MemoryError from error
        raise OSError(str(error).replace("unable to write to memory", "").strip()) from error
    samples = samples.reshape(opened.height, opened.width, -1)  # (H, W, C)
    if isinstance(opened, OpenedTiff) and opened.photometric == PALETTE and samples.shape[2] == 1:
        samples = np.repeat(samples, 3, axis=2)  # libvips makes a palette of greys grey
    n_decoded = opened.channels
    if isinstance(opened, OpenedPng) and opened.colour_type != 3 and opened.transparent is not None:
        n_decoded -= 1
    if opened.format == "WEBP":
        n_decoded = samples.shape[2]
    if samples.dtype.itemsize * 8 != opened.depth or samples.shape[2] < n_decoded:
        raise ValueError(f"its samples decode to {samples.shape[2]} channels of {samples.dtype}")
    return samples[..., :n_decoded]


def _srgb_by_vips(image: Any, opened: OpenedFile) -> Any:
    """A CMYK or Lab image as sRGB, with a note; others as they are."""
    if image.interpretation == "cmyk":
        has_profile = opened.icc is not None and colour.icc_space(opened.icc) == "CMYK"
        if image.get_typeof("icc-profile-data") and not has_profile:
            image = image.copy()
            image.remove("icc-profile-data")
        opened.notes.append(_CMYK_BY_PROFILE if has_profile else _CMYK_ROUGHLY)
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=opened.depth)
        opened.icc = image.get("icc-profile-data")
    elif image.interpretation in ("lab", "labs"):
        opened.notes.append(_LAB)
        image = image.colourspace("rgb16" if opened.depth == 16 else "srgb")
        opened.icc = None
    return image


@foreign_errors()
def by_pillow(file: BinaryIO, opened: OpenedFile, deadline: Deadline) -> Samples:
    from PIL import Image

    image: Image.Image = Image.open(TimedFile(file, deadline), formats=(opened.format,))
    if isinstance(opened, OpenedTiff):
        image.seek(opened.index)
        if opened.bits > 8 and opened.photometric == WHITE_IS_ZERO:
            raise OSError("Pillow does not invert 16-bit samples")
    if image.size != (opened.width, opened.height):
        raise ValueError(f"its decoder sees {image.width}x{image.height} pixels")
    image.load()
    if image.mode == "CMYK":
        return rgb_of_cmyk(np.asarray(image), opened)
    if image.mode == "LAB":
        opened.notes.append(_LAB)
        opened.icc = None
    if image.mode.startswith("I;16"):
        return _full_range(np.asarray(image)[..., None].astype(np.uint16), opened)
    if opened.depth == 16:
        raise OSError(f"16-bit samples decode to mode {image.mode}")
    return _converted(image, _MODES[opened.channels])


class _EndingFile(io.BytesIO):
    """A file whose end is an error, or Pillow may put an end marker there."""

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if not piece:
            raise OSError("the end")
        return piece


@foreign_errors()
def is_whole_jpeg(data: mmap.mmap, samples: Samples) -> bool:
    """Whether samples that were decoded with an end marker put behind the data are all there.

    libvips does not see what is missing in the last rows; Pillow leaves it black, not grey. Both
    overlook up to a block.
    """
    from PIL import Image

    # The decoder looks some bytes ahead; these are too few for a block of samples.
    image = Image.open(_EndingFile(data[:] + bytes(16)), formats=("JPEG",))
    if image.info.get("progressive") or image.mode not in ("L", "RGB"):
        return True  # libvips has read all of it before it made the first row
    with suppress(OSError):  # that its end is missing
        image.load()
    image.tile = []  # loaded, as far as possible
    rows = np.asarray(image)[-16:].reshape(samples[-16:].shape)
    return bool((rows == samples[-16:]).all())


def _converted(image: "Image.Image", mode: str) -> Samples:
    """The samples of an image in a mode, converted some rows at a time."""
    samples = np.empty((image.height, image.width, len(mode)), np.uint8)
    n_rows = max(1, _BAND // (image.width * len(mode)))
    for top in range(0, image.height, n_rows):
        bottom = min(top + n_rows, image.height)
        band = image.crop((0, top, image.width, bottom))
        if band.mode != mode:
            band = band.convert(mode)
        samples[top:bottom] = np.asarray(band).reshape(bottom - top, image.width, len(mode))
    return samples


def rgb_of_cmyk(samples: Samples, opened: OpenedFile) -> Samples:
    """(H, W, 4) CMYK samples as sRGB, whose profile then is that of `opened`."""
    from ginr.pictures.vips import pyvips

    image = pyvips.Image.new_from_array(samples, interpretation="cmyk")
    if opened.icc is not None:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", opened.icc)
    converted: Samples = _srgb_by_vips(image, opened).numpy()
    return converted


@foreign_errors()
def by_tifffile(file: BinaryIO, opened: OpenedTiff) -> Samples:
    """Decodes with tifffile, which knows more layouts, and more compressions beside imagecodecs."""
    import tifffile

    if opened.alpha == 1 or opened.photometric in (YCBCR, *LAB):
        raise OSError("its colours need another reader")
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[opened.index]
        if (page.imagelength, page.imagewidth) != (opened.height, opened.width):
            raise ValueError(f"its decoder sees {page.imagewidth}x{page.imagelength} pixels")
        samples: Samples = page.asarray()
        table = getattr(page, "colormap", None)
        if samples.ndim == 3 and getattr(page, "planarconfig", 1) == 2:
            samples = np.moveaxis(samples, 0, -1)
    samples = samples.reshape(opened.height, opened.width, -1)  # (H, W, C)
    if opened.photometric == PALETTE and table is not None:
        samples = (table[:, samples[..., 0]] >> 8).astype(np.uint8).transpose(1, 2, 0)
        return samples
    samples = _full_range(samples, opened)
    if opened.photometric == WHITE_IS_ZERO:
        samples[..., 0] = 2**opened.depth - 1 - samples[..., 0]
    if opened.photometric == CMYK:
        return rgb_of_cmyk(samples[..., :4], opened)
    assert opened.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
    return samples[..., : opened.channels]


def _full_range(samples: Samples, opened: OpenedTiff | OpenedFile) -> Samples:
    """Samples of any number of bits as 8 or 16 bits."""
    bits = getattr(opened, "bits", opened.depth)
    kind = np.uint8 if opened.depth == 8 else np.uint16
    if bits != opened.depth:
        peak = 2**opened.depth - 1
        samples = (samples.astype(np.uint32) * peak + (2**bits - 1) // 2) // (2**bits - 1)
    return samples.astype(kind, copy=False)
