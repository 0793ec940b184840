"""PSNR and SSIM of two 8-bit pictures, as in super-resolution tables."""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ginr.array_types import Image

# ITU-R BT.601 studio range, MATLAB's rgb2ycbcr: Y is 16 for black and 235 for white.
_LUMA = np.array([65.481, 128.553, 24.966]) / 255.0

SSIM_SIDE = 11  # side of the window of SSIM in pixels: a picture needs as many inside its border
LPIPS_SIDE = 31  # the same of LPIPS: one window of each pooling of AlexNet
_SSIM_SIGMA = 1.5
_SSIM_K = 0.01, 0.03


def luma(image: Image) -> NDArray[np.float64]:
    """Y of an 8-bit image (H, W, 3) or (H, W, 1), float64 (H, W), not rounded.

    RGB gives studio range, [16, 235]. Grey samples count as Y unchanged, as in published tables:
    taken as RGB, Set14's `bridge` would have 1.3 dB more.
    """
    if image.shape[-1] == 1:
        return image[..., 0].astype(np.float64)
    return image @ _LUMA + 16.0


def psnr_y(a: Image, b: Image, border: int) -> float:
    """PSNR in dB on Y (peak 255, not rounded) of two 8-bit images (H, W, 3) or (H, W, 1).

    `border` pixels are left out on every side; tables use the scale, rounded up. Equal images have
    infinity. Raises `ValueError` for unequal shapes, other dtypes or an empty inside.
    """
    a, b = _inside(a, b, border)
    return _psnr(luma(a) - luma(b))


def psnr_rgb(a: Image, b: Image, border: int) -> float:
    """PSNR in dB over all channels (peak 255) of two 8-bit images; otherwise as `psnr_y`."""
    a, b = _inside(a, b, border)
    return _psnr(a.astype(np.float64) - b)


def ssim_y(a: Image, b: Image, border: int) -> float:
    """SSIM, at most 1, on Y (range 255, not rounded) of two 8-bit images; otherwise as `psnr_y`.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Transactions on Image Processing 13(4), 2004, equation 13: a
    Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, averaged over all windows that lie
    inside. Raises `ValueError` if there is none.
    """
    a, b = _inside(a, b, border)
    if min(a.shape[:2]) < SSIM_SIDE:
        raise ValueError(f"SSIM needs {SSIM_SIDE} pixels a side, got {a.shape[1]}x{a.shape[0]}")
    x, y = luma(a), luma(b)
    mean_x, mean_y = _windowed(x), _windowed(y)  # (H - 10, W - 10), all that follow
    variance_x = _windowed(x * x) - mean_x * mean_x
    variance_y = _windowed(y * y) - mean_y * mean_y
    covariance = _windowed(x * y) - mean_x * mean_y
    c1, c2 = ((k * 255.0) ** 2 for k in _SSIM_K)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean(luminance * structure))


def _windowed(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian means of (H, W) over all windows inside, (H - 10, W - 10)."""
    offset = np.arange(SSIM_SIDE) - SSIM_SIDE // 2
    weights = np.exp(-(offset**2) / (2 * _SSIM_SIGMA**2))
    weights /= weights.sum()
    rows: NDArray[np.float64] = sliding_window_view(plane, SSIM_SIDE, axis=0) @ weights
    means: NDArray[np.float64] = sliding_window_view(rows, SSIM_SIDE, axis=1) @ weights
    return means


def _inside(a: Image, b: Image, border: int) -> tuple[Image, Image]:
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] not in (1, 3):
        raise ValueError(f"expected two (H, W, 3) or (H, W, 1) images, got {a.shape} and {b.shape}")
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"expected 8-bit images, got {a.dtype} and {b.dtype}")
    height, width = a.shape[:2]
    if border < 0 or 2 * border >= min(height, width):
        raise ValueError(f"a border of {border} leaves nothing of {width}x{height} pixels")
    inner = slice(border, height - border), slice(border, width - border)
    return a[inner], b[inner]


def _psnr(difference: NDArray[np.float64]) -> float:
    error = float(np.mean(difference * difference))
    return math.inf if error == 0.0 else 10.0 * math.log10(255.0**2 / error)
