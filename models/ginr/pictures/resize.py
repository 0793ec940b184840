"""Bicubic resizing like MATLAB's `imresize`: the degradation and the baseline.

Keys' cubic with a = -0.5, widened when shrinking (antialiasing), edges mirrored, pixel centres at
half-integers; separable, one scale per axis. Published super-resolution tables use this resize;
Pillow's and OpenCV's differ from it by up to 0.5 dB.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ginr.array_types import Doubles, Image
from ginr.errors import SizeError


def cubic(x: Doubles) -> Doubles:
    """Keys' cubic kernel with a = -0.5, zero outside [-2, 2]; any shape."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


@lru_cache(maxsize=64)
def resize_taps(n_in: int, n_out: int) -> tuple[NDArray[np.intp], Doubles]:
    """Indices (n_out, K) in [0, n_in) of the input samples of each output sample, and weights.

    The rows of weights (n_out, K) sum to 1. Both are read-only because they are cached. Raises
    `SizeError` for sizes below 1.
    """
    if n_in < 1 or n_out < 1:
        raise SizeError(f"cannot resize {n_in} samples to {n_out}: use 1 or more")
    scale = n_out / n_in
    shrink = min(scale, 1.0)
    width = 4.0 / shrink
    centre = (np.arange(n_out) + 0.5) / scale - 0.5  # (n_out,) in input samples
    first = np.floor(centre - width / 2).astype(np.intp)
    indices = first[:, None] + np.arange(math.ceil(width) + 2)  # (n_out, K)
    weights = cubic((centre[:, None] - indices) * shrink)
    weights /= weights.sum(axis=1, keepdims=True)
    used = (weights != 0.0).any(axis=0)
    indices, weights = indices[:, used] % (2 * n_in), weights[:, used]
    indices = np.minimum(indices, 2 * n_in - 1 - indices)  # mirrored, edge sample repeated
    indices.setflags(write=False)
    weights.setflags(write=False)
    return indices, weights


@lru_cache(maxsize=64)
def resize_matrix(n_in: int, n_out: int) -> Doubles:
    """The 1-D resize as a dense (n_out, n_in) matrix, read-only because it is cached.

    For crops of training size; `resize` gathers taps and suits any size.
    """
    indices, weights = resize_taps(n_in, n_out)
    matrix = np.zeros((n_out, n_in))
    np.add.at(matrix, (np.arange(n_out)[:, None], indices), weights)
    matrix.setflags(write=False)
    return matrix


def resize(image: NDArray[np.generic], height: int, width: int) -> Doubles:
    """Resize (H, W) or (H, W, C) of any real dtype to (height, width[, C]), float64, not clipped."""
    result = np.asarray(image, dtype=np.float64)
    # The axis that shrinks most goes first: it leaves fewer samples for the other one.
    by_scale = sorted(((height / result.shape[0], 0, height), (width / result.shape[1], 1, width)))
    for _, axis, n_out in by_scale:
        result = _resize_axis(result, axis, n_out)
    return result


def bicubic_8bit(image: Image, height: int, width: int) -> Image:
    """Resize an 8-bit image (H, W[, C]) to 8 bits: round half up, then clip to [0, 255]."""
    rounded = np.floor(resize(image, height, width) + 0.5)
    return np.clip(rounded, 0, 255).astype(np.uint8)


def benchmark_pair(hr: Image, scale: float) -> tuple[Image, Image]:
    """Crop an 8-bit image (H, W[, C]) for a scale >= 1 and shrink it: (HR crop, LR).

    LR is floor(H / scale) by floor(W / scale); the HR crop is the top left round(LR * scale),
    halves up, which LR covers exactly. For an integer scale this is the usual crop to a multiple;
    for x3.7 each axis shrinks by crop / LR, which is within half a pixel of 3.7. Raises
    `SizeError` if nothing would be left.
    """
    if not 1.0 <= scale < math.inf:
        raise SizeError(f"cannot shrink by {scale}: use a scale of 1 or more")
    # 1e-9: 111 / 3.7 is 29.999999999999996 in floating point, but 30 is meant.
    small = [math.floor(n / scale + 1e-9) for n in hr.shape[:2]]
    if min(small) < 1:
        raise SizeError(f"{hr.shape[1]}x{hr.shape[0]} pixels are too few to shrink by {scale}")
    height, width = (math.floor(n * scale + 0.5) for n in small)
    crop = hr[:height, :width]
    return crop, bicubic_8bit(crop, small[0], small[1])


def _resize_axis(image: Doubles, axis: int, n_out: int) -> Doubles:
    if image.shape[axis] == n_out:
        return image  # exactly the identity: the kernel is 1 at 0 and 0 at other integers
    indices, weights = resize_taps(image.shape[axis], n_out)
    column = [1] * image.ndim
    column[axis] = n_out
    shape = list(image.shape)
    shape[axis] = n_out
    result = np.zeros(shape)
    for tap in range(indices.shape[1]):
        taken = np.take(image, indices[:, tap], axis=axis)
        taken *= weights[:, tap].reshape(column)
        result += taken
    return result
