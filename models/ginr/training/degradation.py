"""How the LR of a crop is made: by bicubic alone, or as cameras and web pages spoil photographs.

The parts and their ranges follow the degradation models of BSRGAN (Zhang, Liang, Van Gool and
Timofte, arXiv 2103.14006: Gaussian kernels, isotropic and anisotropic; Gaussian and Poisson noise;
JPEG; random down-scaling kernels) and Real-ESRGAN (Wang, Xie, Dong and Shan, arXiv 2107.10833: the
same once or twice, noise that is grey four times in ten). Here they come once, in the order of a
camera: blur, shrinking, noise, JPEG. Letters: n HR side, h LR side.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ginr.array_types import Planes
from ginr.pictures.resize import resize_matrix


@dataclass(frozen=True)
class Degradation:
    """Ranges to draw from; a part is left out with the probability that is left."""

    blur: float = 0.0
    """Probability of a Gaussian blur; half of the kernels are anisotropic, turned by any angle."""
    sigma: tuple[float, float] = (0.1, 0.7)
    """Its deviation in LR pixels; BSRGAN's 2.8 HR pixels at x4 are 0.7."""
    kernels: tuple[str, ...] = ("bicubic",)
    """Ways to shrink, one is drawn: bicubic (MATLAB's), bilinear or area, all antialiased."""
    noise: float = 0.0
    """Probability of noise; Gaussian and Poisson equally often."""
    deviation: tuple[float, float] = (1.0, 10.0)
    """Of the Gaussian noise, in 8-bit levels; BSRGAN goes to 25."""
    photons: tuple[float, float] = (2.0, 4.0)
    """Powers of ten that white counts for in Poisson noise, as in BSRGAN."""
    jpeg: float = 0.0
    """Probability of JPEG."""
    quality: tuple[int, int] = (60, 95)
    """Of the JPEG; BSRGAN and Real-ESRGAN go down to 30."""


PRESETS: Mapping[str, Degradation] = {
    "clean": Degradation(),
    "photo": Degradation(blur=0.7, kernels=("bicubic", "bilinear", "area"), noise=0.5, jpeg=0.5),
    "compressed": Degradation(
        blur=0.3, kernels=("bicubic", "bilinear", "area"), jpeg=1.0, quality=(30, 95)
    ),
}
"""`clean` is what tables are measured with, `photo` for cameras and phones, `compressed` for the web."""


def degrade(hr: Planes, side: int, random: np.random.Generator, how: Degradation) -> Planes:
    """hr (3, n, n) in 8-bit levels -> LR (3, h, h), whole levels from 0 to 255."""
    n = hr.shape[1]
    if random.random() < how.blur:
        hr = _blurred(hr, random, how.sigma, n / side)
    kernel = how.kernels[int(random.integers(len(how.kernels)))]
    shrink = shrink_matrix(kernel, n, side)
    lr: Planes = (shrink @ hr @ shrink.T).astype(np.float32, copy=False)
    if random.random() < how.noise:
        lr = _noisy(lr.clip(0, 255), random, how)
    lr = np.floor(lr + np.float32(0.5)).clip(0, 255).astype(np.float32, copy=False)
    if random.random() < how.jpeg:
        lr = _through_jpeg(lr, int(random.integers(how.quality[0], how.quality[1] + 1)))
    return lr


@lru_cache(maxsize=1024)
def shrink_matrix(kernel: str, n_in: int, n_out: int) -> Planes:
    """(n_out, n_in): a 1-D resize by `bicubic`, `bilinear` or `area`, rows summing to 1."""
    if kernel == "bicubic" or n_in == n_out:
        return resize_matrix(n_in, n_out).astype(np.float32)
    scale = n_in / n_out
    centre = (np.arange(n_out)[:, None] + 0.5) * scale
    away = np.abs(np.arange(n_in) + 0.5 - centre)
    if kernel == "bilinear":
        weights = (1 - away / scale).clip(0)
    else:  # how much of each HR pixel lies inside the LR pixel
        weights = ((scale + 1) / 2 - away).clip(0, 1)
    matrix: Planes = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def _blurred(
    hr: Planes, random: np.random.Generator, sigma: tuple[float, float], scale: float
) -> Planes:
    major, minor = random.uniform(*sigma, size=2) * scale
    if random.integers(2):
        minor = major
    kernel = gaussian_kernel(major, minor, random.uniform(0, math.pi))
    radius = kernel.shape[0] // 2
    padded = np.pad(hr, ((0, 0), (radius, radius), (radius, radius)), mode="symmetric")
    shape = padded.shape[1:]
    spectrum = np.fft.rfft2(padded) * np.fft.rfft2(kernel, shape)
    whole = np.fft.irfft2(spectrum, shape)
    return whole[:, 2 * radius :, 2 * radius :].astype(np.float32)


def gaussian_kernel(major: float, minor: float, angle: float) -> NDArray[np.float64]:
    """A kernel of odd side that sums to 1; deviations in pixels, `angle` that of the major axis to x."""
    radius = max(1, math.ceil(3 * max(major, minor)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    kernel = np.exp(-0.5 * ((along / major) ** 2 + (across / minor) ** 2))
    weights: NDArray[np.float64] = kernel / kernel.sum()
    return weights


def _noisy(lr: Planes, random: np.random.Generator, how: Degradation) -> Planes:
    """lr within [0, 255]."""
    is_grey = random.random() < 0.4
    if random.integers(2):
        shape = (1, *lr.shape[1:]) if is_grey else lr.shape
        noise = random.normal(0, random.uniform(*how.deviation), shape)
    else:
        photons = 10 ** random.uniform(*how.photons)
        light = lr.mean(axis=0, keepdims=True) if is_grey else lr
        noise = random.poisson(light / 255 * photons) / photons * 255 - light
    return lr + noise.astype(np.float32)


def _through_jpeg(lr: Planes, quality: int) -> Planes:
    """lr in whole levels."""
    pixels = np.ascontiguousarray(lr.transpose(1, 2, 0).astype(np.uint8))
    file = BytesIO()
    PillowImage.fromarray(pixels).save(file, "JPEG", quality=quality)
    with PillowImage.open(file) as image:
        return np.asarray(image).transpose(2, 0, 1).astype(np.float32)
