"""Constants shared by kernels, packed weights and their callers."""

import numpy as np

from ginr.architecture.config import WIDTH_STEP

CHUNK = 64  # steps between the states that the scan saves
LANES = WIDTH_STEP  # numbers in a SIMD vector
STATES = 4  # states that the scan holds in registers, one vector each
TAPS = 4  # minimum number of taps of the convolution along a sequence
COLUMNS = 3 * LANES  # columns of a tile of `ginr.kernels.product`

TILE = 4  # side of a Winograd output tile
SPAN = TILE + 2  # side of its input
NEAR, FAR = 2 / 3, 3 / 2
"""The interpolation points are 0, +-NEAR, +-FAR and infinity: the error is half that of the paper's 1
and 2 and close to that of direct convolution. The code relies on NEAR FAR = 1."""
_POINTS = ((NEAR, 2 * NEAR**2 * (NEAR**2 - FAR**2)), (FAR, 2 * FAR**2 * (FAR**2 - NEAR**2)))
_GENERATE = np.array(
    [
        [1, 0, 0],
        *([1 / n, sign * p / n, p * p / n] for p, n in _POINTS for sign in (1, -1)),
        [0, 0, 1],
    ]
)
GENERATE = np.kron(_GENERATE, _GENERATE)
"""Transforms a kernel (3 3, .) to its spectrum (SPAN SPAN, .): the paper's G along both axes."""


def whole(n: int, unit: int = LANES) -> int:
    """n rounded up to a multiple of `unit`."""
    return -(-n // unit) * unit
