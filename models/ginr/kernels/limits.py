"""`ginr.architecture.limits` on the CPU. Letters as there; all arrays are C-contiguous float32."""

import numpy as np

from ginr.architecture import limits
from ginr.architecture.limits import ACTIVE, COLOUR, N_LIMIT, NEAR, SIDE
from ginr.array_types import Floats
from ginr.kernels.compile import fused, inlined, take

SHARE = 256  # queries that a thread takes at a time

FLAT, FREE = np.float32(limits.FLAT), np.float32(limits.FREE)
ABOUT, ALMOST = np.float32(limits.ABOUT), np.float32(limits.ALMOST)
LEVEL = np.float32(limits.LEVEL)
ONE, NOTHING = np.float32(1.0), np.float32(0.0)
REACH, FAR = SIDE // 2, NEAR // 2


def find_limits(pixels: Floats) -> Floats:
    """pixels (B, 3, H, W) in [0, 1] -> limits (B, 8, H, W)."""
    n_batch, _, height, width = pixels.shape
    found = np.empty((n_batch, N_LIMIT, height, width), np.float32)
    flat = np.empty((n_batch, height, width), np.float32)
    _find_flat(pixels, flat)
    _find_limits(pixels, flat, found)
    return found


@inlined
def _along(line, reach, most, out):
    # The least (or the most) of `reach` numbers on either side and the one between, of a line.
    n = len(line)
    out[:] = line
    for k in range(1, min(reach, n - 1) + 1):
        for x in range(n - k):
            out[x] = max(out[x], line[x + k]) if most else min(out[x], line[x + k])
        for x in range(k, n):
            out[x] = max(out[x], line[x - k]) if most else min(out[x], line[x - k])


@inlined
def _around(plane, row, reach, most, line, out):
    # The same of a row of a plane, (2 reach + 1)^2 numbers in all.
    line[:] = plane[row]
    for r in range(max(0, row - reach), min(len(plane), row + reach + 1)):
        for x in range(len(line)):
            line[x] = max(line[x], plane[r, x]) if most else min(line[x], plane[r, x])
    _along(line, reach, most, out)


@fused
def _find_flat(claim, pixels, flat):
    """Where the 3x3 pixels around are flat, 1 or 0."""
    n_batch, _, height, width = pixels.shape
    line = np.empty(width, np.float32)
    least, most = np.empty(width, np.float32), np.empty(width, np.float32)
    task = take(claim)
    while task < n_batch * height:
        i, row = task // height, task % height
        flat[i, row] = ONE
        for c in range(3):
            _around(pixels[i, c], row, 1, False, line, least)
            _around(pixels[i, c], row, 1, True, line, most)
            for x in range(width):
                if most[x] - least[x] >= FLAT:
                    flat[i, row, x] = NOTHING
        task = take(claim)


@inlined
def _ground(plane, flat, row, most, line, out):
    # The least (or the most) of the flat ones among 7x7 pixels; FREE (or -FREE) without any.
    none = -FREE if most else FREE
    line[:] = none
    for r in range(max(0, row - FAR), min(len(plane), row + FAR + 1)):
        for x in range(len(line)):
            level = plane[r, x] if flat[r, x] > np.float32(0.5) else none
            line[x] = max(line[x], level) if most else min(line[x], level)
    _along(line, FAR, most, out)


@fused
def _find_limits(claim, pixels, flat, found):
    n_batch, _, height, width = pixels.shape
    line, ground = np.empty(width, np.float32), np.empty(width, np.float32)
    least, most = np.empty(width, np.float32), np.empty(width, np.float32)
    task = take(claim)
    while task < n_batch * height:
        i, row = task // height, task % height
        colour, active = found[i, COLOUR, row], found[i, ACTIVE, row]
        line[:] = NOTHING
        for r in range(max(0, row - REACH), min(height, row + REACH + 1)):
            for x in range(width):
                red, green, blue = pixels[i, 0, r, x], pixels[i, 1, r, x], pixels[i, 2, r, x]
                tint = max(max(red, green), blue) - min(min(red, green), blue)
                line[x] = max(line[x], tint)
        _along(line, REACH, True, colour)
        for x in range(width):
            colour[x] = min(colour[x] / (np.float32(2.0) * LEVEL), ONE)
            active[x] = ONE if colour[x] < ONE else NOTHING
        for c in range(3):
            low, high = found[i, c, row], found[i, 3 + c, row]
            _around(pixels[i, c], row, REACH, False, line, least)
            _around(pixels[i, c], row, REACH, True, line, most)
            _ground(pixels[i, c], flat[i], row, False, line, ground)
            for x in range(width):
                spread = most[x] - least[x]
                slack = min(spread, LEVEL)
                is_low = ground[x] <= least[x] + (ABOUT * spread + ALMOST)
                low[x] = least[x] - (slack if is_low else FREE)
                active[x] = ONE if is_low else active[x]
            _ground(pixels[i, c], flat[i], row, True, line, ground)
            for x in range(width):
                spread = most[x] - least[x]
                slack = min(spread, LEVEL)
                is_high = ground[x] >= most[x] - (ABOUT * spread + ALMOST)
                high[x] = most[x] + (slack if is_high else FREE)
                active[x] = ONE if is_high else active[x]
        task = take(claim)


@inlined
def beside(place, pitch, n):
    # The two of n numbers beside a place: index, weight and offset of each, as `neighbours`
    position = (place + 0.5) / pitch - 0.5
    first = np.floor(position)
    after = position - first
    a = min(max(np.int64(first), 0), n - 1)
    b = min(max(np.int64(first) + 1, 0), n - 1)
    return a, b, 1.0 - after, after, (position - a) * pitch, (position - b) * pitch


@inlined
def _within(here, red, green, blue):
    # A colour within the limits (8,) of its place.
    grey = (red + green + blue) / np.float32(3.0)
    red = min(max(grey + here[COLOUR] * (red - grey), here[0]), here[3])
    green = min(max(grey + here[COLOUR] * (green - grey), here[1]), here[4])
    blue = min(max(grey + here[COLOUR] * (blue - grey), here[2]), here[5])
    return red, green, blue


@inlined
def limit_row(i, row, found, y, wy, x, wx, first, lines, here, out):
    """A row of a grid, out (3, w'), within the limits of picture i: found (B, 8, H, W), if any.

    y, wy (h', 2) and x, wx (w', 2) are neighbours and weights; lines (n, 8) has room for the LR
    pixels from `first` on, here (8,) for one limit.
    """
    if found.shape[2] == 0:
        return
    a, b = y[row, 0], y[row, 1]
    for k in range(N_LIMIT):
        for place in range(lines.shape[0]):
            at = first + place
            lines[place, k] = wy[row, 0] * found[i, k, a, at] + wy[row, 1] * found[i, k, b, at]
    for column in range(out.shape[1]):
        a, b = x[column, 0] - first, x[column, 1] - first
        if wx[column, 0] * lines[a, ACTIVE] + wx[column, 1] * lines[b, ACTIVE] > NOTHING:
            for k in range(N_LIMIT):
                here[k] = wx[column, 0] * lines[a, k] + wx[column, 1] * lines[b, k]
            out[0, column], out[1, column], out[2, column] = _within(
                here, out[0, column], out[1, column], out[2, column]
            )


@fused
def limit_queries(claim, found, places, out):
    """Colours out (B, Q, 3) at places (B, Q, 2) in LR pixels, within limits found (B, 8, H, W)."""
    n_batch, n_query = places.shape[:2]
    height, width = found.shape[2:]
    here = np.empty(N_LIMIT, np.float32)
    n_share = (n_query + SHARE - 1) // SHARE
    task = take(claim)
    while task < n_batch * n_share:
        i, first = task // n_share, task % n_share * SHARE
        for q in range(first, min(first + SHARE, n_query)):
            y0, y1, wy0, wy1, _, _ = beside(places[i, q, 0], 1.0, height)
            x0, x1, wx0, wx1, _, _ = beside(places[i, q, 1], 1.0, width)
            for k in range(N_LIMIT):
                upper = wx0 * found[i, k, y0, x0] + wx1 * found[i, k, y0, x1]
                lower = wx0 * found[i, k, y1, x0] + wx1 * found[i, k, y1, x1]
                here[k] = wy0 * upper + wy1 * lower
            if here[ACTIVE] > NOTHING:
                out[i, q, 0], out[i, q, 1], out[i, q, 2] = _within(
                    here, out[i, q, 0], out[i, q, 1], out[i, q, 2]
                )
        task = take(claim)
