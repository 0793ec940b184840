"""XMP packets, changed as text: many are not valid XML, and all keep their bytes where they can."""

import re

_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))\s*[2-8]")
_VALUE = rb"(\s*=\s*[\"']|>)\s*\d+"
_SIZES = (
    (re.compile(rb"(exif:PixelXDimension|tiff:ImageWidth)" + _VALUE), 1),
    (re.compile(rb"(exif:PixelYDimension|tiff:ImageLength)" + _VALUE), 0),
)
_PANORAMA = re.compile(
    rb"(GPano:\w*(Width|Height|Left|Top)Pixels)(\s*=\s*[\"']|>)\s*(\d{1,9})(?:\.\d{1,9})?(?=\s*[\"'<])"
)

# Prefixes or names of entries, for `without`.
PANORAMA = ("GPano",)
"""What maps the whole picture to a sphere."""
EXTENSION = ("xmpNote",)
"""The reference to the rest of a packet, which other JPEG markers hold."""
GAIN_MAP = ("hdrgm", "HDRGainMap", "Container", "Item")
MOTION = ("GCamera:MicroVideo", "GCamera:MotionPhoto", "OpCamera", "Container", "Item")
EXTENDED_MARK = b"xmpNote:HasExtendedXMP"


def is_xmp(xmp: bytes) -> bool:
    """Whether every format can hold the packet: UTF-8 text without zero bytes."""
    try:
        return "\0" not in xmp.decode("utf-8")
    except UnicodeDecodeError:
        return False


def upright_xmp(xmp: bytes) -> bytes:
    """The packet with its orientation, if stated, set to 1."""
    return _ORIENTATION.sub(rb"\g<1>1", xmp)


def resized_xmp(xmp: bytes, size: tuple[int, int], former: tuple[int, int]) -> bytes:
    """The packet with the sizes that it states, those of a panorama too, for (H, W)."""
    for pattern, axis in _SIZES:
        xmp = pattern.sub(rb"\g<1>\g<2>%d" % size[axis], xmp)

    def scaled(found: re.Match[bytes]) -> bytes:
        axis = 1 if found[2] in (b"Width", b"Left") else 0
        return b"%s%s%d" % (found[1], found[3], round(int(found[4]) * size[axis] / former[axis]))

    return _PANORAMA.sub(scaled, xmp)


def has_gain_map(xmp: bytes) -> bool:
    return any(mark in xmp for mark in (b"hdrgm:", b"HDRGainMap:", b'"GainMap"', b">GainMap<"))


def has_motion(xmp: bytes) -> bool:
    return any(mark in xmp for mark in (b"MicroVideo", b"MotionPhoto"))


def without(xmp: bytes, names: tuple[str, ...]) -> bytes:
    """The packet without the elements, attributes and declarations of some prefixes or names."""
    for name in names:
        label = re.escape(name.encode())
        start = label + (rb"\w*" if ":" in name else rb":\w+")
        xmp = _without_elements(xmp, start)
        xmp = re.sub(rb"\s" + start + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", xmp)
        if ":" not in name:
            xmp = re.sub(rb"\sxmlns:" + label + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", xmp)
    return xmp


def _without_elements(xmp: bytes, start: bytes) -> bytes:
    """The packet without elements; one that is not closed ends the search."""
    opening = re.compile(rb"<(" + start + rb")(?=[\s/>])")
    parts, position = [], 0
    while found := opening.search(xmp, position):
        end = xmp.find(b">", found.end())
        if end < 0:
            break
        if xmp[end - 1 : end] != b"/":
            closing = b"</" + found[1] + b">"
            end = xmp.find(closing, end)
            if end < 0:
                break
            end += len(closing) - 1
        parts.append(xmp[position : found.start()])
        position = end + 1
    return b"".join([*parts, xmp[position:]])
