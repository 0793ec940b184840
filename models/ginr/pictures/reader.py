"""Picture files into memory: libvips decodes TIFF and 16-bit PNG, Pillow the rest.

Pillow silently reads 16-bit colour as 8-bit, so the decoder is chosen by the depth in the header.
"""

import io
import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ginr.pictures import metadata
from ginr.pictures.header import DAMAGED_EXIF, PILLOW_FORMATS, OpenedFile, open_header, reading
from ginr.pictures.samples import Picture, PictureHeader, Samples, is_credible

if TYPE_CHECKING:
    from PIL import Image


_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_CMYK_BY_PROFILE = "CMYK is converted to sRGB by its ICC profile"
_CMYK_ROUGHLY = "CMYK without a profile is converted to approximate RGB"
_BAND = 1 << 22  # samples converted at a time, held twice


def probe_picture(path: Path) -> PictureHeader:
    """Reads the header of a picture file; raises PictureError."""
    with reading(path) as (file, data):
        opened = open_header(file, data)
    height, width = opened.height, opened.width
    if opened.turn > 4:
        height, width = width, height
    return PictureHeader(height, width, opened.channels, opened.depth, opened.format)


def read_picture(path: Path) -> Picture:
    """Reads the first frame of a picture file, upright; raises PictureError."""
    with reading(path) as (file, data):
        opened = open_header(file, data)
        if opened.format == "TIFF" or opened.depth == 16:
            samples = _decode_with_vips(data, opened)
        else:
            samples = _decode_with_pillow(file, opened)
        exif, xmp = _upright(opened)
        if opened.dpi is not None and not is_credible(opened.dpi):
            opened.notes.append("implausible resolution (dpi) dropped")
            opened.dpi = None
        return Picture(
            _turned(samples, opened.turn),
            icc=opened.icc,
            exif=exif,
            xmp=xmp,
            dpi=opened.dpi,
            text=opened.text,
            notes=tuple(opened.notes),
        )


def _upright(opened: OpenedFile) -> tuple[bytes | None, bytes | None]:
    """The EXIF block and XMP packet of the upright picture."""
    exif, xmp = opened.exif, opened.xmp
    if exif is not None:
        try:
            exif = metadata.upright_exif(exif)
        except (ValueError, LookupError, struct.error):
            opened.notes.append(DAMAGED_EXIF)
            exif = None
    if xmp is not None and opened.turn != 1:
        xmp = metadata.upright_xmp(xmp)
    return exif, xmp


def _decode_with_pillow(file: BinaryIO, opened: OpenedFile) -> Samples:
    from PIL import Image

    file.seek(0)
    image: Image.Image = Image.open(file, formats=PILLOW_FORMATS)
    image.load()
    if image.mode == "CMYK":
        image = _rgb_of_cmyk(image, opened)
    mode = _MODES[opened.channels]
    samples = np.empty((image.height, image.width, opened.channels), np.uint8)
    n_rows = max(1, _BAND // (image.width * opened.channels))
    for top in range(0, image.height, n_rows):
        bottom = min(top + n_rows, image.height)
        band = image.crop((0, top, image.width, bottom))
        if band.mode != mode:
            band = band.convert(mode)
        samples[top:bottom] = np.asarray(band).reshape(bottom - top, image.width, opened.channels)
    return samples


def _rgb_of_cmyk(image: "Image.Image", opened: OpenedFile) -> "Image.Image":
    from PIL import ImageCms

    srgb = ImageCms.createProfile("sRGB")
    profile, opened.icc = opened.icc, None
    if profile is not None and metadata.icc_space(profile) == "CMYK":
        try:
            turned = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
        except ImageCms.PyCMSError:
            pass
        else:
            assert turned is not None
            opened.icc = ImageCms.ImageCmsProfile(srgb).tobytes()
            opened.notes.append(_CMYK_BY_PROFILE)
            return turned
    opened.notes.append(_CMYK_ROUGHLY)
    return image.convert("RGB")


def _decode_with_vips(data: mmap.mmap, opened: OpenedFile) -> Samples:
    import pyvips

    try:
        # From memory: libvips reads "[...]" in a file name as options.
        image = pyvips.Image.new_from_source(
            pyvips.Source.new_from_memory(data), "", access="sequential", fail_on="error"
        )
        if image.interpretation == "cmyk":
            opened.notes.append(_CMYK_ROUGHLY if opened.icc is None else _CMYK_BY_PROFILE)
            image = image.icc_transform(
                "srgb", embedded=True, input_profile="cmyk", depth=opened.depth
            )
            opened.icc = image.get("icc-profile-data")
        samples: Samples = image.numpy()
    except pyvips.Error as error:
        raise OSError(str(error)) from error
    samples = samples.reshape(opened.height, opened.width, -1)  # (H, W, C)
    if samples.dtype.itemsize * 8 != opened.depth or samples.shape[2] < opened.channels:
        raise ValueError(f"its samples decode to {samples.shape[2]} channels of {samples.dtype}")
    if opened.format == "PNG" and opened.transparent is not None:
        key = np.frombuffer(opened.transparent, ">u2")
        opaque = (samples[..., : key.size] != key).any(-1)  # (H, W)
        samples[..., -1] = np.where(opaque, np.uint16(65535), np.uint16(0))
    return np.ascontiguousarray(samples[..., : opened.channels])


def _turned(samples: Samples, turn: int) -> Samples:
    """Applies an EXIF orientation, 1 to 8, to (H, W, C) samples."""
    if turn > 4:
        samples = samples.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if turn in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)
