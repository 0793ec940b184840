"""A network held against bicubic: one picture at one scale, and means over pictures.

The protocol is the one of published super-resolution tables; `PROTOCOL` describes it in words. This
module does not load torch: the network comes in as a function.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from ginr.array_types import Image
from ginr.errors import SizeError
from ginr.measuring.metrics import LPIPS_SIDE, SSIM_SIDE, psnr_rgb, psnr_y, ssim_y
from ginr.pictures import Picture
from ginr.pictures.resize import benchmark_pair, bicubic_8bit
from ginr.pictures.samples import eight_bit

Upscaler = Callable[[Image, int, int], Image]
"""From LR samples (h, w, C), a height and a width to samples (height, width, C), all 8 bit."""

LANCZOS_FROM = 4
"""Above this scale the network's own render at it, enlarged by Lanczos, is measured as well."""

Shrinker = Callable[[Image, int, int], Image]
"""From HR samples (H, W, C), a height and a width to LR samples (height, width, C), all 8 bit."""

Perceptual = Callable[[Image, Sequence[Image]], list[tuple[float, float]]]
"""From HR samples and results to the LPIPS and DISTS of each, all 8 bit and without their border."""

PROTOCOL = (
    "HR is cut to round(s * floor(n / s)) pixels and shrunk by MATLAB's bicubic to 8 bits; results "
    "have 8 bits; ceil(s) pixels are left out on every side; means are over pictures. Y is studio "
    "range (BT.601) with a peak of 255; grey samples count as Y; SSIM is Wang et al. 2004 on Y. "
    f"x4+Lanczos: the network's x4, then Pillow's Lanczos, for scales above {LANCZOS_FROM}."
)


PERCEPTUAL_PROTOCOL = (
    "LPIPS (version 0.1, AlexNet) and DISTS (VGG16) are of RGB, inside the border: less is closer."
)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How close the results of the network and of bicubic are; PSNR in dB."""

    psnr_y: float
    psnr_y_bicubic: float
    gain_y: float  # PSNR on Y over bicubic, 0 where both are infinite
    psnr_y_x4_lanczos: float | None  # the network's x4 enlarged by Lanczos; None for scales up to 4
    psnr_rgb: float
    psnr_rgb_bicubic: float
    ssim_y: float
    ssim_y_bicubic: float
    lpips: float | None = None  # this and the following three: None unless measured
    lpips_bicubic: float | None = None
    dists: float | None = None
    dists_bicubic: float | None = None
    seconds: float  # the network's, for the result itself


@dataclass(frozen=True, kw_only=True)
class Score(Quality):
    """One picture at one scale; height and width are those of the HR crop."""

    picture: str
    scale: float
    height: int
    width: int

    @property
    def is_exact(self) -> bool:
        """Whether some result equals the picture on Y, so that its PSNR is infinite."""
        values = (self.psnr_y, self.psnr_y_bicubic, self.psnr_y_x4_lanczos)
        return math.inf in values


@dataclass(frozen=True, kw_only=True)
class Mean(Quality):
    """The mean of several pictures at one scale, and the one that gains least."""

    scale: float
    pictures: int
    worst_gain_y: float
    worst_picture: str


def reference(picture: Picture) -> tuple[Image, tuple[str, ...]]:
    """The samples that a picture is measured by, and phrases for what they leave out.

    (H, W, 3), or (H, W, 1) for a grey picture; 8 bit, 16-bit samples rounded; without alpha.
    """
    samples, notes = picture.samples, []
    if picture.has_alpha:
        samples = samples[..., :-1]
        notes.append("measured without its alpha")
    if picture.depth == 16:
        notes.append("measured at 8 bit")
    return np.ascontiguousarray(eight_bit(samples), np.uint8), tuple(notes)


def trial(hr: Image, scale: float, least: int = SSIM_SIDE) -> tuple[Image, Image, int]:
    """What a scale is measured with: HR crop, LR and the border to leave out.

    Raises `SizeError` for a picture with too few pixels to be shrunk, or with fewer than `least` a
    side inside the border.
    """
    border = math.ceil(scale)
    crop, lr = benchmark_pair(hr, scale)
    if min(crop.shape[:2]) < least + 2 * border:
        raise SizeError(
            f"{hr.shape[1]}x{hr.shape[0]} pixels are too few to measure x{scale:g}: "
            f"{least} must be left inside a border of {border}"
        )
    return crop, lr, border


def score(
    picture: str,
    hr: Image,
    scale: float,
    upscaler: Upscaler,
    shrink: Shrinker | None = None,
    perceptual: Perceptual | None = None,
) -> Score:
    """Measures `upscaler` on HR samples as they come from `reference`.

    `shrink` makes LR in place of MATLAB's bicubic. Raises `SizeError` as `trial` does; `perceptual`
    needs more pixels.
    """
    crop, lr, border = trial(hr, scale, LPIPS_SIDE if perceptual else SSIM_SIDE)
    height, width = crop.shape[:2]
    if shrink is not None:
        lr = shrink(crop, *lr.shape[:2])
    start = time.perf_counter()
    ours = upscaler(lr, height, width)
    seconds = time.perf_counter() - start
    bicubic = bicubic_8bit(lr, height, width)
    by_lanczos = None
    if scale > LANCZOS_FROM:
        by_lanczos = psnr_y(crop, _through_lanczos(lr, height, width, upscaler), border)
    mine, other = psnr_y(crop, ours, border), psnr_y(crop, bicubic, border)
    looks: dict[str, float] = {}
    if perceptual:
        inner = slice(border, height - border), slice(border, width - border)
        found = perceptual(crop[inner], [ours[inner], bicubic[inner]])
        (looks["lpips"], looks["dists"]), (looks["lpips_bicubic"], looks["dists_bicubic"]) = found
    return Score(
        picture=picture,
        scale=scale,
        height=height,
        width=width,
        psnr_y=mine,
        psnr_y_bicubic=other,
        gain_y=0.0 if mine == other else mine - other,
        psnr_y_x4_lanczos=by_lanczos,
        psnr_rgb=psnr_rgb(crop, ours, border),
        psnr_rgb_bicubic=psnr_rgb(crop, bicubic, border),
        ssim_y=ssim_y(crop, ours, border),
        ssim_y_bicubic=ssim_y(crop, bicubic, border),
        seconds=seconds,
        **looks,
    )


def mean(scores: Sequence[Score]) -> Mean:
    """The mean of scores at one scale, at least one and none of them `is_exact`."""
    assert scores and len({one.scale for one in scores}) == 1
    worst = min(scores, key=lambda one: one.gain_y)
    values = {name: [vars(one)[name] for one in scores] for name in Quality.__dataclass_fields__}
    means: Any = {name: None if None in found else fmean(found) for name, found in values.items()}
    return Mean(
        scale=worst.scale,
        pictures=len(scores),
        worst_gain_y=worst.gain_y,
        worst_picture=worst.picture,
        **means,
    )


def _through_lanczos(lr: Image, height: int, width: int, upscaler: Upscaler) -> Image:
    """LR (h, w, C) by the network x4, then by Lanczos (three lobes) to (height, width, C)."""
    large = upscaler(lr, LANCZOS_FROM * lr.shape[0], LANCZOS_FROM * lr.shape[1])
    image = PillowImage.fromarray(large[..., 0] if large.shape[2] == 1 else large)
    resized = image.resize((width, height), PillowImage.Resampling.LANCZOS)
    return np.asarray(resized, np.uint8).reshape(height, width, -1)
