"""PSNR and SSIM of two pictures of any size and kind, band by band in bounded memory."""

import math
from dataclasses import dataclass

import numpy as np

from ginr.array_types import Image
from ginr.measuring.metrics import SSIM_SIDE, psnr_rgb, psnr_y, ssim_y
from ginr.pictures import Picture, quantize

BAND = 512  # rows compared at a time


@dataclass(frozen=True)
class Likeness:
    """PSNR in dB (infinite for equal pictures) and SSIM, in 8 bits, of colour times alpha."""

    psnr_rgb: float
    psnr_y: float
    ssim_y: float | None  # None if a side is shorter than the window of SSIM


def likeness(a: Picture, b: Picture) -> Likeness:
    """PSNR over RGB and on studio-range Y, and SSIM on Y, of two pictures of equal size, no border."""
    height, width = a.height, a.width
    squares_rgb = squares_y = similar = 0.0
    n_window = height - SSIM_SIDE + 1
    for top in range(0, height, BAND):
        bottom = min(top + BAND, height)
        x, y = (_levels(picture, top, min(bottom + SSIM_SIDE - 1, height)) for picture in (a, b))
        inner = slice(0, bottom - top)
        part = (bottom - top) / height
        squares_rgb += part * 10 ** (-psnr_rgb(x[inner], y[inner], 0) / 10)
        squares_y += part * 10 ** (-psnr_y(x[inner], y[inner], 0) / 10)
        if min(n_window - top, width - SSIM_SIDE + 1) > 0:
            similar += ssim_y(x, y, 0) * (len(x) - SSIM_SIDE + 1) / n_window
    ssim = similar if min(height, width) >= SSIM_SIDE else None
    return Likeness(_decibel(squares_rgb), _decibel(squares_y), ssim)


def _levels(picture: Picture, top: int, bottom: int) -> Image:
    """Rows of the picture as 8-bit colour (h, W, 1 or 3), times alpha."""
    planes = picture.pixels(top, 0, bottom, picture.width)
    colour = planes[:1] if picture.is_grey else planes[:3]
    return quantize(colour, 8, False).astype(np.uint8, copy=False)


def _decibel(square: float) -> float:
    return math.inf if square == 0 else -10 * math.log10(square)
