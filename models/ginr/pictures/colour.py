"""Colour spaces: checks of ICC profiles, and profiles of what PNG and AVIF say by numbers.

The numbers are those of ITU-T H.273: cICP in PNG, nclx in AVIF and HEIC.
"""

import io
import struct
from collections.abc import Sequence

import numpy as np

from ginr.array_types import Doubles

Cicp = tuple[int, int, int, int]
"""Primaries, transfer, matrix, full range."""

SRGB = (1, 13)
_UNSPECIFIED = 2
_PQ, _HLG = 16, 18
_D65, _DCI_WHITE, _C = (0.3127, 0.3290), (0.314, 0.351), (0.310, 0.316)
# Chromaticities (x, y) of red, green, blue and white.
_PRIMARIES = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI_WHITE),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
_NAMES = {1: "BT.709", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3", _PQ: "PQ", _HLG: "HLG"}
# Parameters g, a, b, c, d of ICC's curve (ax + b)^g above d, cx below.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VIDEO_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_D50 = np.array((0.9642, 1.0, 0.8249))
_BRADFORD = np.array(
    ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
)


def icc_space(icc: bytes) -> str:
    """The colour space of a profile: "RGB", "GRAY", "CMYK", ..."""
    return icc[16:20].decode("ascii", "replace").strip()


def is_sound_icc(icc: bytes) -> bool:
    """Whether readers will take the profile: its header, and Little CMS."""
    from PIL import ImageCms

    if len(icc) < 132 or icc[36:40] != b"acsp":
        return False
    size, n_tags = struct.unpack(">I", icc[:4])[0], struct.unpack(">I", icc[128:132])[0]
    if size != len(icc) or size % 4 or 132 + 12 * n_tags > size:
        return False
    if icc[12:16] not in (b"mntr", b"scnr", b"prtr", b"spac"):
        return False
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (OSError, ImageCms.PyCMSError):
        return False
    return True


def is_srgb(cicp: Sequence[int]) -> bool:
    """Whether browsers show the colours as sRGB; BT.709's curve, of video, counts as sRGB's."""
    primaries, transfer = cicp[:2]
    return primaries in (SRGB[0], _UNSPECIFIED) and transfer in (1, _UNSPECIFIED, 6, 13)


def is_hdr(cicp: Sequence[int]) -> bool:
    return cicp[1] in (_PQ, _HLG)


def name_of(cicp: Sequence[int]) -> str:
    primaries, transfer = (_NAMES.get(number, str(number)) for number in cicp[:2])
    return f"{primaries} {transfer}" if is_hdr(cicp) else primaries


def profile_of_cicp(cicp: Sequence[int]) -> bytes | None:
    """A profile of the colours; None for PQ, HLG and unknown numbers."""
    primaries, transfer = cicp[:2]
    if primaries == _UNSPECIFIED:
        primaries = 1
    if primaries not in _PRIMARIES or is_hdr(cicp):
        return None
    curves: dict[int, Sequence[float]] = {13: _SRGB_CURVE, 1: _VIDEO_CURVE, 6: _VIDEO_CURVE}
    curves |= {14: _VIDEO_CURVE, 15: _VIDEO_CURVE, _UNSPECIFIED: _SRGB_CURVE}
    curves |= {number: (gamma,) for number, gamma in _GAMMAS.items()}
    curve = curves.get(transfer)
    return None if curve is None else _profile(_PRIMARIES[primaries], curve, name_of(cicp))


def profile_of_gamma(
    gamma: float | None, chromaticities: Sequence[float] | None, is_grey: bool
) -> bytes | None:
    """A profile of PNG's gAMA (as 1 / exponent) and cHRM (white, red, green, blue: x, y).

    None if they say sRGB; raises ValueError for impossible ones.
    """
    curve: Sequence[float] = _SRGB_CURVE
    if gamma is not None and abs(gamma - 0.45455) >= 0.01:
        if not 0.05 <= gamma <= 20:
            raise ValueError(f"gamma {gamma}")
        curve = (1 / gamma,)
    points = _PRIMARIES[1]
    if chromaticities is not None and not is_grey:
        pairs = list(zip(chromaticities[::2], chromaticities[1::2], strict=True))
        given = (*pairs[1:], pairs[0])
        if np.abs(np.subtract(given, points)).max() >= 0.005:
            points = given  # type: ignore[assignment]
    if curve is _SRGB_CURVE and points is _PRIMARIES[1]:
        return None
    return _profile(points, curve, "colours of a PNG", is_grey)


def _profile(
    points: Sequence[tuple[float, float]], curve: Sequence[float], name: str, is_grey: bool = False
) -> bytes:
    """An ICC profile, version 4, of primaries and a parametric curve."""
    text = name.encode("utf-16-be")
    description = b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(text), 28) + text
    kind = 0 if len(curve) == 1 else 3
    shape = b"para" + struct.pack(">IHH", 0, kind, 0) + b"".join(map(_fixed, curve))
    tags = {b"desc": description, b"cprt": description, b"wtpt": _xyz(_D50)}
    if is_grey:
        tags[b"kTRC"] = shape
    else:
        matrix = _to_d50(points)  # (3, 3): columns are XYZ of red, green, blue
        tags |= {b"%cXYZ" % letter: _xyz(matrix[:, n]) for n, letter in enumerate(b"rgb")}
        tags |= {b"%cTRC" % letter: shape for letter in b"rgb"}
    table, values = struct.pack(">I", len(tags)), b""
    start = 132 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag + struct.pack(">II", start + len(values), len(value))
        values += value + bytes(-len(value) % 4)
    head = struct.pack(">I", 128 + len(table) + len(values)) + bytes(4) + b"\4\x20\0\0mntr"
    head += (b"GRAY" if is_grey else b"RGB ") + b"XYZ " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head += b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return head.ljust(128, b"\0") + table + values


def _to_d50(points: Sequence[tuple[float, float]]) -> Doubles:
    """RGB to XYZ adapted to D50 (Bradford), (3, 3)."""
    if any(y <= 0 for _, y in points):
        raise ValueError("a chromaticity of zero")
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in points]).T  # (3, 4)
    try:
        matrix = columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
    except np.linalg.LinAlgError as error:
        raise ValueError("primaries on a line") from error
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ columns[:, 3])
    adapted: Doubles = np.linalg.solve(_BRADFORD, gains[:, None] * _BRADFORD) @ matrix
    if np.abs(adapted).max() > 2:
        raise ValueError("impossible primaries")
    return adapted


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: Sequence[float] | Doubles) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(float(value)) for value in values)
