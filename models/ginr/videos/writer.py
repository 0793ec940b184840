"""Write videos: which encoder and pixel format, and whether a path can be written."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ginr.errors import PictureError, printable
from ginr.pictures.formats import check_place
from ginr.videos.reader import depth_of, pyav

WRITABLE_VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".webm"))
"""Suffixes of videos that can be written."""
_FORMATS = {".m4v": "mp4", ".mkv": "matroska"}
"""Names of FFmpeg's formats, where they are not the suffix."""
_MOVFLAGS = {"movflags": "+faststart+use_metadata_tags"}
"""Options of MP4 and MOV: they can be played while they arrive, and keep all metadata."""
_ALIASES = {
    "h264": "libx264", "h265": "libx265", "hevc": "libx265", "av1": "libsvtav1",
    "vp9": "libvpx-vp9", "prores": "prores_ks",
}  # fmt: skip
_CRF = {"libx264": 51, "libx265": 51, "libsvtav1": 63, "libvpx-vp9": 63}
"""The worst constant rate factor of each encoder."""
QUALITY = 70


@dataclass(frozen=True)
class Encoding:
    """How to encode."""

    codec: str | None = None
    """Name of one of FFmpeg's encoders; None for H.264, HEVC for more than 8 bits, VP9 in WebM."""
    quality: int | None = None
    """1 to 100; None for 70."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the encoder, which go before."""

    def encoder(self, suffix: str, depth: int) -> str:
        """The encoder for a suffix and bits of a sample."""
        if self.codec is not None:
            return _ALIASES.get(self.codec.lower(), self.codec.lower())
        if suffix == ".webm":
            return "libvpx-vp9"
        return "libx265" if depth > 8 else "libx264"

    def settings(self, encoder: str) -> dict[str, str]:
        """Options for the encoder. Raises PictureError for a quality that it does not have."""
        options = dict(self.options)
        worst = _CRF.get(encoder)
        if worst is None:
            if self.quality is not None:
                raise PictureError(
                    f"quality {self.quality} does not apply to {encoder}: use --encoder-option"
                )
            return options
        quality = QUALITY if self.quality is None else self.quality
        options.setdefault("crf", str(round((100 - quality) * worst / 100)))
        if encoder == "libvpx-vp9":
            options = {"b": "0", "row-mt": "1", "cpu-used": "2"} | options
        elif encoder == "libx265":
            options.setdefault("x265-params", "log-level=none")
        return options


def check_video(
    path: Path, height: int, width: int, depth: int, encoding: Encoding, *, overwrite: bool
) -> None:
    """Raises PictureError if a video of this size and depth could not be written."""
    av, name, suffix = pyav(), printable(path), path.suffix.lower()
    if suffix not in WRITABLE_VIDEOS:
        known = ", ".join(sorted(WRITABLE_VIDEOS))
        raise PictureError(f"{name}: {suffix or 'no suffix'!r} is not a video: use one of {known}")
    encoder = encoding.encoder(suffix, depth)
    try:
        codec = av.codec.Codec(encoder, "w")
    except ValueError:
        codec = None
    if codec is None or codec.type != "video":
        raise PictureError(
            f"{name}: {encoder} is not a video encoder of this PyAV: use h264, h265, av1, vp9 or ffv1"
        )
    held = av.format.ContainerFormat(format_of(suffix), "w")
    with av.open(io.BytesIO(), "w", format=held.name) as container:
        holds = codec.canonical_name in container.supported_codecs
    if not holds:
        raise PictureError(f"{name}: {suffix} cannot hold {codec.canonical_name}: use .mkv")
    encoding.settings(encoder)
    check_place(path, overwrite)
    if encoder in ("libx264", "libx265", "libsvtav1") and max(height, width) > 16_384:
        raise PictureError(
            f"{name}: {width}x{height} is too large for {encoder}: use a smaller size"
        )


def format_of(suffix: str) -> str:
    """FFmpeg's name of the format with a suffix."""
    return _FORMATS.get(suffix, suffix[1:])


def created(file: str, suffix: str) -> Any:
    """A new container of the format with a suffix, to write to a file of any name."""
    format = format_of(suffix)
    options = _MOVFLAGS if format in ("mp4", "mov") else {}
    return pyav().open(f"file:{file}", "w", format=format, options=options)


def pixel_format(source: Any, encoder: str) -> str:
    """The pixel format for frames like those of `source`: the nearest that the encoder has."""
    av = pyav()
    known = [format.name for format in av.codec.Codec(encoder, "w").video_formats or ()]
    deep = depth_of(source) > 8
    wanted = [] if source is None else [source.name.replace("yuvj", "yuv").replace("yuva", "yuv")]
    shapes = ("420", "422", "444")
    wanted += [f"yuv{shape}p10le" for shape in shapes] if deep else []
    wanted += [f"yuv{shape}p" for shape in shapes] + [f"yuv{shape}p10le" for shape in shapes]
    return next((name for name in wanted if name in known), known[0] if known else "yuv420p")


def stretched(
    ratio: Fraction | None, size: tuple[int, int], out: tuple[int, int]
) -> Fraction | None:
    """The aspect ratio of pixels after `size` (H, W) became `out`, within what formats hold."""
    if not ratio:
        return None
    return (ratio * Fraction(out[0] * size[1], size[0] * out[1])).limit_denominator(255)
