"""Results that shrink back to the picture they were made from, by back-projection.

As in Irani and Peleg (1991), what a shrunken render lacks is added to it. Shrinking (bicubic, as MATLAB's
imresize), interpolating the base and rendering LP features are linear, so that nothing has to be
rendered: with A, which enlarges LR pixels n times and shrinks them again, and K, which renders LP
features f at n times the size and shrinks the result, the base x becomes x + r + (I - A) r, where
r = x - A x - K f. Both are small convolutions over LR pixels. Works on NumPy arrays and tensors;
`ginr.kernels.correction` does the same to arrays in a fifth of the time.

Letters: B batch, H W the LR picture, D numbers of all LPs of a pixel, E the reach of K, S = 2 E + 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ginr.array_api import Array, mirrored, namespace
from ginr.array_types import Doubles, Floats
from ginr.kernels.grid_tables import bicubic_taps

REACH = 2  # LR pixels: the cubic kernel ends there
SIDE = 4 * REACH + 1  # of the picture on which K and A are measured
FINEST = 4  # renders beyond this scale shrink to the same
STRIP = 16  # rows at a time, to stay in the cache

Finer = tuple[int, int]  # n along y and x


class Shrinking(NamedTuple):
    """A and K for one n along each axis."""

    blur: tuple[Floats, Floats]  # A along y and x, (4 E - 1,)
    kernel: Array  # K, (S S 3, D)
    level: Array  # (3, 1, 1), what a field without features shrinks to


def finer(cell: tuple[float, float]) -> Finer | None:
    """The n for output pixels of this footprint (LR pixels); None if results are smaller than their picture."""
    if max(cell) > 1:
        return None
    down, across = (min(max(round(1 / side), 2), FINEST) for side in cell)
    return down, across


def measure_shrinking(
    render: Callable[[Floats, tuple[int, int]], Floats], n_feature: int, per_side: int, n: Finer
) -> Shrinking:
    """Measures A and K.

    `render` renders LP features (B, h', w', n_feature) without a base at a size: (B, 3, H', W'). A
    pixel has per_side x per_side LPs.
    """
    each = per_side**2 * n_feature
    features = np.zeros((each + 1, SIDE, per_side, SIDE, per_side, n_feature), np.float32)
    middle = features[:each, SIDE // 2, :, SIDE // 2].reshape(each, each)
    features[:each, SIDE // 2, :, SIDE // 2] = (middle + np.eye(each)).reshape(
        each, *[per_side] * 2, -1
    )
    planes = render(
        features.reshape(len(features), SIDE * per_side, SIDE * per_side, -1),
        (SIDE * n[0], SIDE * n[1]),
    )
    enlarge = [_interpolation(k) for k in n]  # (SIDE n, SIDE)
    # Shrinking by a whole number is the transpose of enlarging.
    small = np.einsum(
        "bcij,iy,jx->bcyx", planes, *(u / k for u, k in zip(enlarge, n, strict=True)), optimize=True
    )
    none = small[-1]
    near = slice(SIDE // 2 - REACH, SIDE // 2 + REACH + 1)
    answers = (small[:-1] - none)[..., near, near][..., ::-1, ::-1]  # (D, 3, S, S)
    kernel = answers.transpose(2, 3, 1, 0).reshape(-1, each)
    blur = [(u.T @ u / k)[SIDE // 2, 1:-1] for u, k in zip(enlarge, n, strict=True)]
    level = none[:, SIDE // 2, SIDE // 2, None, None]
    down, across, kernel, level = (
        np.ascontiguousarray(v, np.float32) for v in (*blur, kernel, level)
    )
    return Shrinking((down, across), kernel, level)


def corrected(base: Array, limits: Array, features: Array, shrinking: Shrinking) -> Array:
    """The base (B, 3, H, W) of a field of LP features (B, H, W, D), for results that shrink to it.

    It keeps within the base's own limits (B, 8, H, W), see `ginr.architecture.limits`: else drawn edges
    would ring. The outermost pixels are left as they are, since K needs the features around a pixel.
    """
    if min(base.shape[2:]) <= 2 * REACH:
        return base
    inside = ..., slice(REACH, -REACH), slice(REACH, -REACH)
    ops = namespace(base)
    lacks = ops.zeros_like(base)
    lacks[inside] = (base - _blurred(base, shrinking))[inside] - _shrunk(features, shrinking)
    right = base + 2 * lacks - _blurred(lacks, shrinking)
    low, high = ops.minimum(base, limits[:, :3]), ops.maximum(base, limits[:, 3:6])
    return ops.minimum(ops.maximum(right, low), high)


def by_pixel(features: Array, per_side: int) -> Array:
    """LP features (B, h', w', D') by LR pixel: (B, H, W, D)."""
    if per_side == 1:
        return features
    batch, rows, columns, depth = features.shape
    squares = features.reshape(
        batch, rows // per_side, per_side, columns // per_side, per_side, depth
    )
    joined = namespace(features).swapaxes(squares, 2, 3)
    return joined.reshape(batch, rows // per_side, columns // per_side, -1)


def _interpolation(n: int) -> Doubles:
    """SIDE pixels enlarged n times, as a matrix (SIDE n, SIDE)."""
    index, weight = bicubic_taps((np.arange(SIDE * n) + 0.5) / n - 0.5, SIDE)
    matrix = np.zeros((SIDE * n, SIDE))
    np.add.at(matrix, (np.arange(SIDE * n)[:, None], index), weight)
    return matrix


def _blurred(x: Array, shrinking: Shrinking) -> Array:
    """A x, x (B, 3, H, W), mirrored beyond its edges."""
    down, across = shrinking.blur
    ops, reach = namespace(x), len(down) // 2

    def outside(n: int) -> Array:
        index = mirrored(np.arange(-reach, n + reach), n)
        return index if ops is np else ops.from_numpy(index).to(x.device)

    height, width = x.shape[2:]
    tall = x[:, :, outside(height)]
    x = sum(float(w) * tall[:, :, k : k + height] for k, w in enumerate(down))
    wide = x[..., outside(width)]
    return sum(float(w) * wide[..., k : k + width] for k, w in enumerate(across))


def _shrunk(features: Array, shrinking: Shrinking) -> Array:
    """K f for the pixels at least REACH from an edge, (B, 3, H - 2 E, W - 2 E)."""
    batch, height, width, depth = features.shape
    ops, reach, strips = namespace(features), range(2 * REACH + 1), []
    for top in range(0, height - 2 * REACH, STRIP):
        some = features[:, top : top + STRIP + 2 * REACH]
        n = some.shape[1] - 2 * REACH
        products = shrinking.kernel @ ops.swapaxes(some.reshape(batch, -1, depth), 1, 2)
        products = products.reshape(batch, len(reach), len(reach), 3, -1, width)
        strips.append(
            sum(
                products[:, y, x, :, y : y + n, x : x + width - 2 * REACH]
                for y in reach
                for x in reach
            )
        )
    return ops.concatenate(strips, 2) + shrinking.level
