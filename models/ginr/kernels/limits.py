"""Applies `ginr.architecture.limits` on the CPU. Letters as there; arrays are C-contiguous float32."""

import numpy as np

from ginr.architecture.limits import ACTIVE, COLOUR, N_LIMIT
from ginr.kernels.compile import claim_next, fused, inlined

SHARE = 256  # queries per task
ZERO = np.float32(0.0)


@inlined
def beside(place, pitch, n):
    """`ginr.kernels.grid_tables.neighbours` of one place: two indices, two weights, two offsets."""
    position = (place + 0.5) / pitch - 0.5
    first = np.floor(position)
    after = position - first
    a = min(max(np.int64(first), 0), n - 1)
    b = min(max(np.int64(first) + 1, 0), n - 1)
    return a, b, 1.0 - after, after, (position - a) * pitch, (position - b) * pitch


@inlined
def _within(here, red, green, blue):
    # A colour clamped to the limits (8,) of its place.
    grey = (red + green + blue) / np.float32(3.0)
    red = min(max(grey + here[COLOUR] * (red - grey), here[0]), here[3])
    green = min(max(grey + here[COLOUR] * (green - grey), here[1]), here[4])
    blue = min(max(grey + here[COLOUR] * (blue - grey), here[2]), here[5])
    return red, green, blue


@inlined
def limit_row(found, y, wy, x, wx, first, lines, here, out):
    """Clamps a row of a grid, out (3, w'), to the limits found (8, H, W) of its picture, if any.

    y, wy (2,) and x, wx (w', 2) are neighbours and weights. Work arrays: lines (n, 8), the limits of
    n LR pixels starting at column `first`, and here (8,), those of one place.
    """
    if found.shape[1] == 0:
        return
    for k in range(N_LIMIT):
        for place in range(lines.shape[0]):
            at = first + place
            lines[place, k] = wy[0] * found[k, y[0], at] + wy[1] * found[k, y[1], at]
    for column in range(out.shape[1]):
        a, b = x[column, 0] - first, x[column, 1] - first
        if wx[column, 0] * lines[a, ACTIVE] + wx[column, 1] * lines[b, ACTIVE] > ZERO:
            for k in range(N_LIMIT):
                here[k] = wx[column, 0] * lines[a, k] + wx[column, 1] * lines[b, k]
            out[0, column], out[1, column], out[2, column] = _within(
                here, out[0, column], out[1, column], out[2, column]
            )


@fused
def limit_queries(claim, found, places, out):
    """Clamps colours out (B, Q, 3) at places (B, Q, 2) in LR pixels to the limits found (B, 8, H, W)."""
    n_batch, n_query = places.shape[:2]
    height, width = found.shape[2:]
    here = np.empty(N_LIMIT, np.float32)
    n_share = (n_query + SHARE - 1) // SHARE
    task = claim_next(claim)
    while task < n_batch * n_share:
        i, first = task // n_share, task % n_share * SHARE
        for q in range(first, min(first + SHARE, n_query)):
            y0, y1, wy0, wy1, _, _ = beside(places[i, q, 0], 1.0, height)
            x0, x1, wx0, wx1, _, _ = beside(places[i, q, 1], 1.0, width)
            for k in range(N_LIMIT):
                upper = wx0 * found[i, k, y0, x0] + wx1 * found[i, k, y0, x1]
                lower = wx0 * found[i, k, y1, x0] + wx1 * found[i, k, y1, x1]
                here[k] = wy0 * upper + wy1 * lower
            if here[ACTIVE] > ZERO:
                out[i, q, 0], out[i, q, 1], out[i, q, 2] = _within(
                    here, out[i, q, 0], out[i, q, 1], out[i, q, 2]
                )
        task = claim_next(claim)
