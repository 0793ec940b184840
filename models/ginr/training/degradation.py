"""How the LR of a crop is made: by bicubic alone, or damaged the way cameras and web pages damage pictures.

A picture goes through a camera (optical blur, shrinking, noise, sharpening, compression) and, in some
cases, through a second round (resizing, sharpening, compression), as on a web page. The parts follow the
degradation models of BSRGAN (Zhang, Liang, Van Gool and Timofte, arXiv 2103.14006: isotropic and
anisotropic Gaussian blur, Gaussian and Poisson noise, JPEG, several resizing kernels) and Real-ESRGAN
(Wang, Xie, Dong and Shan, arXiv 2107.10833: a second round, grey noise in four cases of ten). Defocus,
motion, noise smeared in chroma, film grain, sharpening halos and WebP are added to them.

Letters: n m the sides of HR, h w those of LR.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from zlib import crc32

import numpy as np
from PIL import Image as PillowImage

from ginr.array_types import Doubles, Image, Planes
from ginr.pictures.resize import resize_matrix

Range = tuple[float, float]
Size = tuple[int, int]

SHEET_SIDE = 96
"""LR pixels along a side of each picture of a contact sheet."""

KERNELS = ("bicubic", "bilinear", "area", "lanczos")


@dataclass(frozen=True)
class Degradation:
    """The probability of each part, and the ranges that it is drawn from (uniformly unless stated)."""

    clean: float = 0.0
    """Probability of bicubic shrinking and nothing else."""
    blur: float = 0.0
    """Probability of optical blur: six in ten isotropic Gaussian, two anisotropic, one defocus, one motion."""
    sigma: Range = (0.2, 1.3)
    """Standard deviation of the blur along its longer axis, in LR pixels; BSRGAN's 2.8 HR pixels at x4 are 0.7."""
    kernels: tuple[str, ...] = ("bicubic",)
    """Resizing kernels, one of which is drawn: `bicubic` (MATLAB's), `bilinear`, `area`, `lanczos`."""
    noise: float = 0.0
    """Probability of noise: Gaussian or Poisson, equally often."""
    deviation: Range = (1.0, 15.0)
    """Standard deviation of Gaussian noise in 8-bit levels, drawn log-uniformly; BSRGAN goes to 25."""
    photons: Range = (2.5, 4.0)
    """Powers of ten of the photons that make white, for Poisson noise; BSRGAN goes down to 2."""
    grey: float = 0.4
    """Share of the noise that is equal in all channels, as in Real-ESRGAN."""
    grain: float = 0.3
    """Share of the noise that is correlated between neighbouring pixels, as film grain is."""
    smear: float = 0.4
    """Share of the coloured noise whose chroma is blurred, as the noise filters of cameras leave it."""
    sharpen: float = 0.0
    """Probability, in each round, of sharpening by an unsharp mask."""
    compress: float = 0.0
    """Probability, in each round, of lossy compression."""
    quality: Range = (30.0, 95.0)
    """Quality of the compression; BSRGAN and Real-ESRGAN use the same range."""
    webp: float = 0.15
    """Share of the compression that is WebP; the rest is JPEG, three in ten without chroma subsampling."""
    again: float = 0.0
    """Probability of a second round."""
    between: Range = (0.7, 2.0)
    """Side of the picture between the rounds, in multiples of LR's; never more than HR's."""


PRESETS: Mapping[str, Degradation] = {
    "clean": Degradation(clean=1.0),
    "phone": Degradation(
        blur=0.8, sigma=(0.3, 1.1), kernels=KERNELS, noise=0.8, deviation=(2.0, 12.0), smear=0.6,
        sharpen=0.6, compress=1.0, quality=(60.0, 95.0), webp=0.0, again=0.5,
    ),
    "web": Degradation(
        blur=0.3, sigma=(0.2, 0.8), kernels=KERNELS, noise=0.15, deviation=(1.0, 6.0),
        sharpen=0.3, compress=1.0, again=0.6,
    ),
    "film": Degradation(
        blur=0.8, sigma=(0.3, 1.3), kernels=KERNELS, noise=1.0, deviation=(3.0, 15.0), grey=0.6,
        grain=0.8, smear=0.2, sharpen=0.2, compress=0.4, quality=(75.0, 95.0), webp=0.0, again=0.2,
    ),
    "photo": Degradation(
        clean=0.18, blur=0.5, kernels=KERNELS, noise=0.4, sharpen=0.25, compress=0.8, again=0.35,
    ),
}  # fmt: skip
"""`clean` is what tables of super-resolution are measured with; `photo` covers what the other three do."""


def degrade(hr: Planes, size: Size, random: np.random.Generator, how: Degradation) -> Planes:
    """hr (3, n, m) in 8-bit levels -> LR (3, h, w) of `size` h, w; whole levels from 0 to 255.

    The same generator gives the same LR. `size` is that of hr shrunk by one scale on both axes.
    """
    whole = hr.shape[1:]
    if random.random() < how.clean:
        return _levels(_resized(hr, size, "bicubic"))
    if random.random() < how.blur:
        hr = _convolved(hr, blur_kernel(random, random.uniform(*how.sigma) * whole[0] / size[0]))
    first, has_second = size, random.random() < how.again
    if has_second:
        factor = random.uniform(*how.between)
        first = (min(whole[0], round(size[0] * factor)), min(whole[1], round(size[1] * factor)))
    picture = _resized(hr, first, _one_of(how.kernels, random))
    if random.random() < how.noise:
        picture = picture + _noise(picture.clip(0, 255), random, how)
    picture = _finished(picture, random, how)
    if has_second:
        picture = _resized(picture, size, _one_of(how.kernels, random))
        picture = _finished(picture, random, how)
    return picture


def damaged(hr: Image, height: int, width: int, preset: str, name: str) -> Image:
    """LR of a whole picture (H, W, 3 or 1), the same whenever preset, name and sizes are the same.

    The damage of a grey picture is drawn in colour, and the mean of the channels is kept.
    """
    planes = np.broadcast_to(hr.transpose(2, 0, 1), (3, *hr.shape[:2])).astype(np.float32)
    random = np.random.default_rng((crc32(f"{preset} {name}".encode()), height, width))
    lr = degrade(planes, (height, width), random, PRESETS[preset])
    if hr.shape[2] == 1:
        lr = _levels(lr.mean(axis=0, keepdims=True))
    return np.ascontiguousarray(lr.transpose(1, 2, 0), np.uint8)


def contact_sheet(images: list[Image], name: str, seed: int, *, side: int = SHEET_SIDE) -> Image:
    """Samples of what a preset does to pictures: a row for each picture, bicubic first, then seven draws.

    images (H, W, 3) of at least `side` pixels; each LR has `side` pixels and is shown twice as large.
    """
    rows = []
    for index, image in enumerate(images):
        n = min(2 * side, *image.shape[:2])
        top, left = ((length - n) // 2 for length in image.shape[:2])
        hr = image[top : top + n, left : left + n].transpose(2, 0, 1).astype(np.float32)
        draws = [("clean", 0), *((name, draw) for draw in range(7))]
        row = [
            degrade(hr, (side, side), np.random.default_rng((seed, index, draw)), PRESETS[preset])
            for preset, draw in draws
        ]
        rows.append(np.concatenate(row, axis=2))
    sheet = np.concatenate(rows, axis=1).transpose(1, 2, 0).astype(np.uint8)
    return sheet.repeat(2, axis=0).repeat(2, axis=1)


def _finished(picture: Planes, random: np.random.Generator, how: Degradation) -> Planes:
    """The end of a round: sharpening, rounding to whole levels, compression."""
    if random.random() < how.sharpen:
        radius, amount = random.uniform(0.5, 1.5), np.float32(random.uniform(0.2, 1.5))
        picture = picture + amount * (picture - smoothed(picture, radius))
    picture = _levels(picture)
    return _compressed(picture, random, how) if random.random() < how.compress else picture


def _levels(picture: Planes) -> Planes:
    levels: Planes = np.floor(picture + np.float32(0.5)).clip(0, 255)
    return levels


def _one_of(names: tuple[str, ...], random: np.random.Generator) -> str:
    return names[int(random.integers(len(names)))]


def _resized(picture: Planes, size: Size, kernel: str) -> Planes:
    """picture (3, n, m) -> (3, h, w)."""
    rows, columns = (shrink_matrix(kernel, picture.shape[1 + k], size[k]) for k in (0, 1))
    resized: Planes = (rows @ picture @ columns.T).astype(np.float32, copy=False)
    return resized


@lru_cache(maxsize=2048)
def shrink_matrix(kernel: str, n_in: int, n_out: int) -> Planes:
    """(n_out, n_in): a 1-D resize, antialiased, rows summing to 1; `kernel` is one of KERNELS."""
    if kernel == "bicubic" or n_in == n_out:
        return resize_matrix(n_in, n_out).astype(np.float32)
    scale = n_in / n_out
    width = max(scale, 1.0)
    away = np.abs(np.arange(n_in) + 0.5 - (np.arange(n_out)[:, None] + 0.5) * scale)
    if kernel == "bilinear":
        weights = (1 - away / width).clip(0)
    elif kernel == "area":  # how much of each HR pixel lies inside the LR pixel
        weights = ((scale + 1) / 2 - away).clip(0, min(1, scale))
    else:
        weights = np.sinc(away / width) * np.sinc(away / width / 3) * (away < 3 * width)
    matrix: Planes = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def blur_kernel(random: np.random.Generator, sigma: float) -> Doubles:
    """A random kernel of odd side that sums to 1; its standard deviation along the longer axis is `sigma` pixels."""
    kind, angle = random.random(), random.uniform(0, math.pi)
    if kind < 0.6:
        return gaussian_kernel(sigma, sigma, 0.0)
    if kind < 0.8:
        return gaussian_kernel(sigma, sigma * random.uniform(0.3, 1.0), angle)
    return disc_kernel(2 * sigma) if kind < 0.9 else line_kernel(sigma * math.sqrt(12), angle)


def gaussian_kernel(major: float, minor: float, angle: float) -> Doubles:
    """Standard deviations in pixels; `angle` is that of the major axis to x."""
    return _kernel(
        3 * max(major, minor),
        angle,
        lambda along, across: np.exp(-0.5 * ((along / major) ** 2 + (across / minor) ** 2)),
    )


def disc_kernel(radius: float) -> Doubles:
    """Defocus: a uniform disc, whose standard deviation along any axis is half its radius."""
    return _kernel(radius, 0.0, lambda x, y: (radius + 0.5 - np.hypot(x, y)).clip(0, 1))


def line_kernel(length: float, angle: float) -> Doubles:
    """Motion: a uniform segment a pixel wide, whose standard deviation is length / sqrt(12)."""
    return _kernel(
        length / 2 + 1,
        angle,
        lambda along, across: (
            (length / 2 + 0.5 - np.abs(along)).clip(0, 1) * (1 - np.abs(across)).clip(0, 1)
        ),
    )


def _kernel(reach: float, angle: float, shape: Callable[[Doubles, Doubles], Doubles]) -> Doubles:
    """`shape(along, across)` on the pixels up to `reach` from the middle, its axes turned by `angle`."""
    radius = max(1, math.ceil(reach))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    kernel = shape(along, across)
    kernel /= kernel.sum()
    return kernel


def _convolved(picture: Planes, kernel: Doubles) -> Planes:
    """Convolved with a kernel, edges mirrored."""
    radius = kernel.shape[0] // 2
    padded = np.pad(picture, ((0, 0), (radius, radius), (radius, radius)), mode="symmetric")
    shape = padded.shape[1:]
    spectrum = np.fft.rfft2(padded) * np.fft.rfft2(kernel.astype(np.float32), shape)
    return np.fft.irfft2(spectrum, shape)[:, 2 * radius :, 2 * radius :].astype(np.float32)


def smoothed(picture: Planes, sigma: float) -> Planes:
    """picture (C, h, w) convolved with an isotropic Gaussian, edges mirrored."""
    radius = math.ceil(3 * sigma)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (radius, radius)
        padded = np.pad(picture, pad, mode="symmetric")
        picture = np.lib.stride_tricks.sliding_window_view(padded, len(taps), axis=axis) @ taps
    return picture


def _noise(picture: Planes, random: np.random.Generator, how: Degradation) -> Planes:
    """Noise for a picture within [0, 255]: (3, h, w), or (1, h, w) where it is grey."""
    is_grey = random.random() < how.grey
    light = picture.mean(axis=0, keepdims=True) if is_grey else picture
    unit = random.standard_normal(light.shape, np.float32)
    if random.integers(2):
        low, high = how.deviation
        deviation = np.float32(low * (high / low) ** random.random())
    else:  # the normal limit of Poisson's, good from some ten photons on
        deviation = np.sqrt(light * np.float32(255 / 10 ** random.uniform(*how.photons)))
    if random.random() < how.grain:
        unit = smoothed(unit, random.uniform(0.4, 0.9))
        unit /= unit.std()
    noise: Planes = unit * deviation
    if not is_grey and random.random() < how.smear:
        luma = noise.mean(axis=0, keepdims=True)
        chroma = smoothed(noise - luma, random.uniform(1.0, 2.5))
        noise = luma + chroma * np.float32(random.uniform(1.0, 3.0))
    return noise


def _compressed(picture: Planes, random: np.random.Generator, how: Degradation) -> Planes:
    """picture in whole levels; half of the block grids start at its corner, the others anywhere."""
    top, left = random.integers(8, size=2) if random.integers(2) else (0, 0)
    padded = np.pad(picture, ((0, 0), (top, 0), (left, 0)), mode="symmetric")
    image = PillowImage.fromarray(np.ascontiguousarray(padded.transpose(1, 2, 0), np.uint8))
    quality, file = round(random.uniform(*how.quality)), BytesIO()
    if random.random() < how.webp:
        image.save(file, "WEBP", quality=quality, method=1)
    else:
        image.save(file, "JPEG", quality=quality, subsampling=0 if random.random() < 0.3 else 2)
    with PillowImage.open(file) as read:
        pixels = np.asarray(read.convert("RGB"))[top:, left:]
    return pixels.transpose(2, 0, 1).astype(np.float32)
