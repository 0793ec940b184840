"""Encode a video from frames alone."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from ginr.errors import printable
from ginr.pictures.samples import Samples
from ginr.pictures.writer import whole_file
from ginr.videos.encoder import converted, encoder_errors
from ginr.videos.writer import Encoding, created, pixel_format

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
    codec, rate = encoding.encoder(suffix, 8), Fraction(fps).limit_denominator(1001)
    pixels = pixel_format(None, codec)
    with (
        whole_file(path, overwrite) as file,
        encoder_errors(printable(path), codec),
        created(file.name, suffix) as out,
    ):
        stream = out.add_stream(codec, rate=rate, options=encoding.settings(codec))
        context = stream.codec_context
        context.height, context.width = height, width
        context.pix_fmt, context.color_range = pixels, _STUDIO
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        for number, samples in enumerate(frames):
            frame = converted(samples, pixels, _BT709, _STUDIO)
            frame.pts, frame.time_base = number, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
