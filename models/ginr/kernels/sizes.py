"""Numbers that kernels, packed weights and their callers agree on."""

import numpy as np

from ginr.architecture.config import WIDTH_STEP

CHUNK = 64  # steps between the states that a compiled scan keeps
LANES = WIDTH_STEP  # numbers in a vector of the compiled loops
STATES = 4  # states that the compiled scan holds in registers, a vector each
TAPS = 4  # the compiled convolution along a sequence has so many at the least
COLUMNS = 3 * LANES
"""Columns of a tile of `ginr.kernels.simd.product`."""

TILE = 4
SPAN = TILE + 2  # positions that a tile reads, along one side
NEAR, FAR = 2 / 3, 3 / 2
"""The points of the interpolation are 0, these, their negatives and infinity: with them the error is
half that of the paper's 1 and 2, and close to the direct convolution's; NEAR FAR = 1 below."""
_POINTS = ((NEAR, 2 * NEAR**2 * (NEAR**2 - FAR**2)), (FAR, 2 * FAR**2 * (FAR**2 - NEAR**2)))
_GENERATE = np.array(
    [
        [1, 0, 0],
        *([1 / n, sign * p / n, p * p / n] for p, n in _POINTS for sign in (1, -1)),
        [0, 0, 1],
    ]
)
GENERATE = np.kron(_GENERATE, _GENERATE)
"""What makes a kernel (3 3, .) its spectrum (SPAN SPAN, .): G of the paper along both axes."""


def whole(n: int, unit: int = LANES) -> int:
    """n rounded up to a multiple of `unit`."""
    return -(-n // unit) * unit
