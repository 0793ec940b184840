"""How well a network does during training: PSNR-Y on held-out pictures, next to bicubic's."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ginr.array_types import Image
from ginr.measuring.metrics import psnr_y
from ginr.network.field import levels_of
from ginr.network.model import Ginr
from ginr.pictures.resize import benchmark_pair, bicubic_8bit

MOST_DB = 60.0  # limit on the PSNR of a picture: bicubic has no error on flat ones

SIDE = 256  # pixels on a side of the part of a picture that is measured, its middle


@dataclass(frozen=True)
class Scores:
    """Means over the held-out pictures in dB, by scale: `x2`, `x3.7`. Empty if none was measured."""

    gain: dict[str, float]  # PSNR-Y over bicubic; not for x1, where bicubic is the picture itself
    psnr: dict[str, float]


def validate(
    model: Ginr,
    images: Sequence[Image],
    scales: Sequence[float],
    stops: Callable[[], bool] = lambda: False,
) -> Scores:
    """The scores of a network on the middle 256x256 of 8-bit images (H, W, 3).

    A scale is measured on the pictures with at least four LR pixels a side, and left out without any.
    `stops` is called before each picture; if it returns true, there are no scores at all.
    """
    gain, psnr = {}, {}
    for scale in scales:
        measured = []
        for image in images:
            if stops():
                return Scores({}, {})
            if min(image.shape[:2]) >= 4 * scale:
                measured.append(_psnr_of(model, middle(image), scale))
        if measured:
            ours, bicubic = np.mean(measured, axis=0)
            psnr[f"x{scale:g}"] = float(ours)
            if scale > 1:
                gain[f"x{scale:g}"] = float(ours - bicubic)
    return Scores(gain, psnr)


def comparison(model: Ginr, image: Image, scale: float) -> Image:
    """Bicubic, the network and the picture itself, side by side."""
    hr, lr = benchmark_pair(middle(image), scale)
    return np.concatenate([bicubic_8bit(lr, *hr.shape[:2]), _enlarged(model, lr, hr), hr], axis=1)


def _psnr_of(model: Ginr, image: Image, scale: float) -> list[float]:
    """PSNR-Y of the network and of bicubic."""
    hr, lr = benchmark_pair(image, scale)
    results = _enlarged(model, lr, hr), bicubic_8bit(lr, *hr.shape[:2])
    return [min(MOST_DB, psnr_y(result, hr, math.ceil(scale))) for result in results]


def _enlarged(model: Ginr, lr: Image, hr: Image) -> Image:
    """`lr` enlarged by the network to the size of `hr`."""
    with torch.inference_mode():
        rgb = model.encode(pixels_of(lr).to(model.lps.device)).render(hr.shape[:2])[0]
    image: Image = levels_of(rgb.float(), 8).cpu().numpy()
    return image


def pixels_of(image: Image) -> Tensor:
    """8-bit samples (H, W, 3) as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255)[None]


def middle(image: Image) -> Image:
    """The part of an image (H, W, C) that is measured, or all of a small one."""
    top, left = (max(0, n - SIDE) // 2 for n in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]
