"""Pictures: files to samples and back, keeping alpha, depth, orientation and metadata.

Samples are integers with straight alpha; the network sees `Picture.pixels`, float32 in [0, 1] with
premultiplied colour, and `quantize` converts back. All losses are reported: in `Picture.notes`
when reading, by `losses` before writing.
"""

import struct
from contextlib import suppress
from dataclasses import replace

from ginr.pictures.formats import FORMATS, READABLE, WRITABLE, check_target, losses, memory_needed
from ginr.pictures.header import MAX_PIXELS
from ginr.pictures.metadata import exif_at_dpi
from ginr.pictures.reader import probe_picture, read_picture
from ginr.pictures.samples import Picture, PictureHeader, quantize
from ginr.pictures.writer import write_bands, write_picture

__all__ = [
    "MAX_PIXELS",
    "READABLE",
    "WRITABLE",
    "Picture",
    "PictureHeader",
    "at_dpi",
    "check_target",
    "codecs",
    "losses",
    "memory_needed",
    "probe_picture",
    "quantize",
    "read_picture",
    "write_bands",
    "write_picture",
]


def at_dpi(picture: Picture, dpi: float) -> Picture:
    """The same picture with a resolution of `dpi` dots per inch, also in its EXIF block."""
    exif = picture.exif
    if exif is not None:
        with suppress(ValueError, LookupError, struct.error):  # writing reports that it is damaged
            exif = exif_at_dpi(exif, dpi)
    return replace(picture, dpi=(dpi, dpi), exif=exif)


def codecs() -> dict[str, str]:
    """What each format supports here, and the library versions."""
    import PIL
    from PIL import features

    pillow = f"Pillow {PIL.__version__}"
    try:
        import pyvips
    except (ImportError, OSError) as error:
        vips = f"libvips missing: {' '.join(str(error).split())}"
    else:
        vips = "libvips " + ".".join(str(pyvips.version(part)) for part in range(3))
    libraries = {"JPEG": "jpg", "WEBP": "webp", "AVIF": "avif", "PNG": "zlib"}
    table = {}
    for format in FORMATS:
        if not WRITABLE.intersection(format.suffixes):
            table[format.name] = "not supported by this Pillow"
            continue
        library = libraries.get(format.name)
        version = features.version(library) if library is not None else None
        abilities = "read, write, 8 and 16 bit" if format.has_depth_16 else "read, write, 8 bit"
        by = [pillow + (f" with {library} {version}" if version else "")] * (format.name != "TIFF")
        table[format.name] = f"{abilities} ({', '.join(by + [vips] * format.has_depth_16)})"
    table["GIF"] = f"read (first frame), 8 bit ({pillow})"
    return table
