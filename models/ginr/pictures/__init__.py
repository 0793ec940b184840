"""Pictures: files to samples and back, keeping alpha, depth, orientation and metadata.

Samples are integers with straight alpha; the network sees `Picture.pixels`, float32 in [0, 1] with
premultiplied colour, and `quantize` converts back. All losses are reported: in `Picture.notes`
when reading, by `losses` before writing.
"""

import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ginr.pictures import xmp as xmp_packets
from ginr.pictures.exif import GEO, RESOLUTION, exif_at_dpi, exif_dpi, without
from ginr.pictures.formats import (
    FORMATS,
    READABLE,
    UNREADABLE,
    WRITABLE,
    check_target,
    losses,
    memory_needed,
    network_losses,
    why_unreadable,
)
from ginr.pictures.reader import check_whole, probe_picture, read_picture
from ginr.pictures.rules import MAX_PIXELS, ReadRules
from ginr.pictures.samples import Picture, PictureHeader, quantize
from ginr.pictures.writer import Page, encoded, write_bands, write_pages, write_picture

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "READABLE",
    "UNREADABLE",
    "WRITABLE",
    "Page",
    "Picture",
    "PictureHeader",
    "ReadRules",
    "at_dpi",
    "check_target",
    "check_whole",
    "codecs",
    "losses",
    "memory_needed",
    "network_losses",
    "probe_picture",
    "quantize",
    "read_picture",
    "why_unreadable",
    "without_place",
    "write_bands",
    "write_pages",
    "write_picture",
]


Picture._write, Picture._encode = write_picture, staticmethod(encoded)


def at_dpi(picture: Picture, dpi: float) -> Picture:
    """The same picture with a resolution of `dpi` dots per inch, also in its EXIF block."""
    exif = picture.exif
    if exif is not None:
        with suppress(ValueError, LookupError, struct.error):  # writing reports that it is damaged
            exif = exif_at_dpi(exif, dpi)
    return replace(picture, dpi=(dpi, dpi), exif=exif)


def without_place(picture: Picture) -> Picture:
    """The same picture without what maps the whole of it to the earth or a panorama.

    For an output that shows a part of it, or shows it warped. A note says what was dropped.
    """
    exif, xmp, notes = picture.exif, picture.xmp, picture.notes
    if exif is not None:
        with suppress(ValueError, LookupError, struct.error):
            is_map = without(exif, GEO)[1]
            exif, _ = without(exif, GEO | set(RESOLUTION) if exif_dpi(exif) is None else GEO)
            if is_map:
                notes = (*notes, "GeoTIFF tags dropped: they are those of the whole picture")
    if xmp is not None and b"GPano:" in xmp:
        xmp = xmp_packets.without(xmp, xmp_packets.PANORAMA)
        notes = (*notes, "panorama entries dropped: they are those of the whole picture")
    return replace(picture, exif=exif, xmp=xmp, notes=notes)


def codecs() -> dict[str, str]:
    """What each format supports here, and the library versions."""
    import PIL
    from PIL import features

    pillow = f"Pillow {PIL.__version__}"
    try:
        from ginr.pictures.vips import pyvips
    except (ImportError, OSError) as error:
        vips = f"libvips missing: {' '.join(str(error).split())}"
    else:
        vips = "libvips " + ".".join(str(pyvips.version(part)) for part in range(3))
    libraries = {"JPEG": "jpg", "WEBP": "webp", "AVIF": "avif", "PNG": "zlib"}
    libraries["JPEG2000"] = "jpg_2000"
    by_vips = ("JPEG", "PNG", "TIFF", "WEBP")
    table = {}
    for format in FORMATS:
        if not WRITABLE.intersection(format.suffixes):
            table[format.name] = why_unreadable(Path("a" + format.suffixes[0]))
            continue
        library = libraries.get(format.name)
        version = features.version(library) if library is not None else None
        abilities = "read, write, 8 and 16 bit" if format.has_depth_16 else "read, write, 8 bit"
        by = [pillow + (f" with {library} {version}" if version else "")]
        table[format.name] = f"{abilities} ({', '.join(by + [vips] * (format.name in by_vips))})"
    table["GIF"] = f"read, write animations, 8 bit ({pillow})"
    table["HEIC"] = "read, 8 bit" if ".heic" in READABLE else why_unreadable(Path("a.heic"))
    return table
