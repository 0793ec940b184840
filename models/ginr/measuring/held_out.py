"""How far a network is while it learns: PSNR-Y on held-out pictures beside bicubic's, and pictures of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ginr.array_types import Image
from ginr.measuring.metrics import psnr_y
from ginr.network.model import Ginr
from ginr.pictures.resize import benchmark_pair, bicubic_8bit

MOST_DB = 60.0
"""PSNR from which on a picture counts as reproduced: bicubic makes flat pictures without any error."""

SIDE = 256
"""Pixels along a side of the middle of a picture that is measured."""


@dataclass(frozen=True)
class Scores:
    """Means over the held-out pictures in dB, by scale: `x2`, `x3.7`."""

    gain: dict[str, float]
    """PSNR-Y over bicubic; not at x1, where bicubic is the picture itself."""
    psnr: dict[str, float]
    """PSNR-Y."""


def validate(model: Ginr, images: Sequence[Image], scales: Sequence[float]) -> Scores:
    """The scores of a network on 8-bit images (H, W, 3), of each the middle 256x256.

    A scale is measured on the pictures of at least four LR pixels a side, and left out without one.
    """
    gain, psnr = {}, {}
    for scale in scales:
        fit = [_middle(image) for image in images if min(image.shape[:2]) >= 4 * scale]
        if not fit:
            continue
        both = np.array([_psnr_of(model, image, scale) for image in fit]).mean(axis=0)
        psnr[f"x{scale:g}"] = float(both[0])
        if scale > 1:
            gain[f"x{scale:g}"] = float(both[0] - both[1])
    return Scores(gain, psnr)


def comparison(model: Ginr, image: Image, scale: float) -> Image:
    """Bicubic, the network and the picture itself, side by side."""
    hr, lr = benchmark_pair(_middle(image), scale)
    return np.concatenate([bicubic_8bit(lr, *hr.shape[:2]), _enlarged(model, lr, hr), hr], axis=1)


def _psnr_of(model: Ginr, image: Image, scale: float) -> tuple[float, float]:
    """Ours and bicubic's."""
    hr, lr = benchmark_pair(image, scale)
    ours, bicubic = (
        min(MOST_DB, psnr_y(result, hr, math.ceil(scale)))
        for result in (_enlarged(model, lr, hr), bicubic_8bit(lr, *hr.shape[:2]))
    )
    return ours, bicubic


def _enlarged(model: Ginr, lr: Image, hr: Image) -> Image:
    """`lr` at the size of `hr`."""
    pixels = torch.from_numpy(lr.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    with torch.inference_mode():
        rgb = model.encode(pixels.to(model.lps.device)).render(hr.shape[:2])[0]
    levels = (rgb.float().clamp(0, 1) * 255 + 0.5).floor().byte()
    image: Image = levels.permute(1, 2, 0).cpu().numpy()
    return image


def _middle(image: Image) -> Image:
    top, left = (max(0, n - SIDE) // 2 for n in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]
