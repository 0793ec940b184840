"""Statistics of a tile from which damage is estimated: 145 numbers, none of them learned.

Noise shows in the flattest blocks, compression on its grid of 8x8 blocks and in their missing
coefficients, blur in the spectrum and in the width of edges, sharpening in what stands beside edges.

Letters: n side of a tile, b blocks.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ginr.array_types import Floats, Image

SIDE = 96
"""Pixels along a side of a tile."""
N_STATISTIC = 145
BLOCK = 8  # the side of JPEG's blocks
BORDER = 6  # pixels beside an edge that are compared with it
TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
QUANTILES = (0.05, 0.25, 0.5, 0.8)
ZERO = 0.6  # levels: coefficients below it count as missing
RINGS = (0.02, 0.05, 0.09, 0.14, 0.2, 0.26, 0.32, 0.38, 0.44, 0.5, 0.71)  # cycles per pixel


def statistics(tile: Image) -> Floats:
    """tile (n, n, 3) in 8-bit levels -> (N_STATISTIC,), mostly logarithms and shares."""
    planes = to_ycc(tile)
    luma = planes[0]
    parts: list[Sequence[float]] = []
    parts += [_grid(plane) for plane in (luma, luma.T, planes[1], planes[1].T)]
    parts += [_coefficients(plane, has_tails=k == 0) for k, plane in enumerate(planes)]
    parts += [_spectrum(plane, every=2 if k else 1) for k, plane in enumerate(planes)]
    parts += [_edges(plane) for plane in (luma, luma.T)]
    parts.append(_flatness(tile, luma))
    return np.array([value for part in parts for value in part], np.float32)


def to_ycc(image: Image) -> Floats:
    """RGB (h, w, 3) in levels -> full-range Y, Cb, Cr (3, h, w) as in JFIF, without chroma's offset."""
    ycc: Floats = np.tensordot(TO_YCC, image.astype(np.float32), ([1], [2]))
    return ycc


@lru_cache(maxsize=4)
def hann(n: int) -> Floats:
    """The window (n, n) under which a tile's spectrum is taken."""
    line = np.hanning(n + 2)[1:-1].astype(np.float32)
    return np.outer(line, line)


@lru_cache(maxsize=4)
def frequency(n: int) -> Floats:
    """Cycles per pixel of the coefficients (n, n / 2 + 1) of `numpy.fft.rfft2`."""
    place: Floats = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None])
    return place


def _grid(plane: Floats) -> list[float]:
    """Steps between columns against their neighbours': at multiples of 8, and where they are largest."""
    steps = np.diff(plane, axis=1)
    lonely = np.abs(steps[:, 1:-1] - 0.5 * (steps[:, :-2] + steps[:, 2:])).clip(max=12)
    columns = lonely.mean(0)  # entry i: between columns i + 1 and i + 2
    phases = np.array([columns[(p - 2) % BLOCK :: BLOCK].mean() for p in range(BLOCK)])
    found = []
    for phase in (0, int(phases.argmax())):
        others = (phases.sum() - phases[phase]) / (BLOCK - 1)
        found.append(float(np.log((phases[phase] + 0.1) / (others + 0.1))))
    return found


def _coefficients(plane: Floats, *, has_tails: bool) -> list[float]:
    """Of the cosine transform of 8x8 blocks, in four bands: levels in flat and busy blocks, missing ones."""
    transform, bands = _dct(), _dct_bands()
    on_grid, between = (_blocks(plane[o:, o:], transform) for o in (0, BLOCK // 2))
    found: list[float] = []
    for band in bands:
        both = np.concatenate([on_grid[:, band], between[:, band]])
        level = np.log(np.sqrt((both**2).mean(1)) + 0.1)
        found += np.quantile(level, QUANTILES).tolist()
        missing = [float((np.abs(part[:, band]) < ZERO).mean()) for part in (on_grid, between)]
        found += [missing[0], missing[0] - missing[1]]
    for band in bands if has_tails else ():  # noise is Gaussian, pictures have heavy tails
        values = np.concatenate([on_grid[:, band].ravel(), between[:, band].ravel()])
        mean, rms = np.abs(values).mean(), np.sqrt((values**2).mean())
        found.append(float(np.log((mean + 0.05) / (rms + 0.05))))
    return found


def _blocks(plane: Floats, transform: Floats) -> Floats:
    """The cosine transform of whole blocks, (b, 8, 8)."""
    down, across = (n // BLOCK for n in plane.shape)
    whole = plane[: down * BLOCK, : across * BLOCK]
    blocks = whole.reshape(down, BLOCK, across, BLOCK).transpose(0, 2, 1, 3)
    coefficients: Floats = (transform @ blocks @ transform.T).astype(np.float32, copy=False)
    return coefficients.reshape(-1, BLOCK, BLOCK)


@lru_cache(maxsize=1)
def _dct() -> Floats:
    k, x = np.mgrid[:BLOCK, :BLOCK]
    rows = np.cos(np.pi * (x + 0.5) * k / BLOCK) * np.sqrt(np.where(k, 2, 1) / BLOCK)
    matrix: Floats = rows.astype(np.float32)
    return matrix


@lru_cache(maxsize=1)
def _dct_bands() -> list[Image]:
    k, j = np.mgrid[:BLOCK, :BLOCK]
    ends = ((1, 3), (4, 7), (8, 10), (11, 14))
    return [(low <= k + j) & (k + j <= high) for low, high in ends]


def _spectrum(plane: Floats, *, every: int) -> list[float]:
    """The log power in each ring of frequencies, or in every other."""
    window = hann(len(plane))
    power = np.abs(np.fft.rfft2((plane - plane.mean()) * window)) ** 2 / (window**2).sum()
    place = frequency(len(plane))
    ends = list(pairwise(RINGS))[::every]
    rings = [(low <= place) & (place < high) for low, high in ends]
    return [float(np.log(power[ring].mean() + 0.02)) for ring in rings]


def _edges(plane: Floats) -> list[float]:
    """Derivatives along rows next to the steepest ones, and how steep these are."""
    slope = np.diff(plane, axis=1)
    steep = np.abs(slope) > np.quantile(np.abs(slope), 0.96)
    steep[:, :BORDER] = steep[:, -BORDER:] = False
    row, column = np.nonzero(steep)
    here = slope[row, column]
    energy = (here**2).sum() + 1
    found = [
        float((here * slope[row, column + side * k]).sum() / energy)
        for side in (1, -1)
        for k in range(1, BORDER + 1)
    ]
    found.append(float(np.log(np.sqrt(energy / (len(here) + 1)) + 0.1)))
    for k in (1, 2, 4, 8):
        found.append(float(np.log(np.abs(plane[:, k:] - plane[:, :-k]).max(1).mean() + 1)))
    return found


def _flatness(tile: Image, luma: Floats) -> list[float]:
    """Shares of flat blocks, of black, of white and of equal neighbours; the mean deviation of blocks."""
    n = len(luma) // BLOCK
    deviation = luma[: n * BLOCK, : n * BLOCK].reshape(n, BLOCK, n, BLOCK).std((1, 3))
    step = np.abs(np.diff(tile.astype(np.int16), axis=1)).max(2)
    shares = [deviation < 0.01, deviation < 0.6, tile == 0, tile == 255, step == 0, step <= 1]
    means = [float(share.mean()) for share in shares]
    return [*means[:4], float(np.log(deviation.mean() + 0.1)), *means[4:]]
