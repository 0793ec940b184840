"""Encode a video from frames alone."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from ginr.errors import printable
from ginr.pictures.samples import Samples
from ginr.pictures.writer import whole_file
from ginr.videos.encoder import encoder_errors
from ginr.videos.reader import SCALER, pyav
from ginr.videos.writer import FORMATS, MOVFLAGS, Encoding, pixel_format

_BT709 = 1  # primaries, transfer and matrix of ITU-T H.273
_STUDIO = 1  # range


def write_frames(
    frames: Iterable[Samples],
    path: Path,
    *,
    height: int,
    width: int,
    fps: float,
    overwrite: bool = False,
) -> None:
    """Writes RGB frames (height, width, 3), uint8, as a video in BT.709, all or nothing.

    The path has one of the suffixes `WRITABLE_VIDEOS`, and both sides are even. Raises PictureError.
    """
    suffix, encoding = path.suffix.lower(), Encoding()
    codec, format = encoding.encoder(suffix, 8), FORMATS.get(suffix, suffix[1:])
    pixels = pixel_format(None, codec)
    with whole_file(path, overwrite) as file, encoder_errors(printable(path), codec):
        options = MOVFLAGS if format in ("mp4", "mov") else {}
        with pyav().open(f"file:{file.name}", "w", format=format, options=options) as out:
            rate = Fraction(fps).limit_denominator(1001)
            stream = out.add_stream(codec, rate=rate, options=encoding.settings(codec))
            context = stream.codec_context
            context.height, context.width = height, width
            context.pix_fmt, context.color_range = pixels, _STUDIO
            context.color_primaries = context.color_trc = context.colorspace = _BT709
            for number, samples in enumerate(frames):
                out.mux(stream.encode(_converted(samples, pixels, number, 1 / rate)))
            out.mux(stream.encode(None))


def _converted(samples: Samples, pixels: str, number: int, time_base: Fraction) -> Any:
    rgb = pyav().VideoFrame.from_ndarray(samples, format="rgb24")
    frame = rgb.reformat(
        format=pixels, dst_colorspace=_BT709, dst_color_range=_STUDIO, interpolation=SCALER
    )
    frame.pts, frame.time_base = number, time_base
    return frame
