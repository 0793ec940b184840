"""`ginr.kernels.consistency.corrected` on the CPU, compiled. Letters as there; per_side^2 LPs per pixel.

All products of K for a pixel fit into one vector: 3 colours at each of S places along x.
"""

from collections import namedtuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ginr.array_api import padded
from ginr.array_types import Floats
from ginr.kernels.activations import constant
from ginr.kernels.compile import claim_next, fused, inlined
from ginr.kernels.consistency import REACH, Shrinking, by_pixel, corrected
from ginr.kernels.product import PIXELS, add_product
from ginr.kernels.simd import broadcast, fma, larger, load, smaller, store
from ginr.kernels.sizes import LANES

BAND = 8  # rows per task; each reads features of S rows, from the cache
SPAN = 2 * REACH + 1  # S
TAPS = 4 * REACH - 1  # of A
BEFORE = TAPS // 2

_Room = namedtuple("_Room", "tall detail sums answer")


def correct(
    base: Floats, limits: Floats, features: Floats, shrinking: Shrinking, per_side: int
) -> Floats:
    """`corrected` for features by LP: (B, per_side H, per_side W, D)."""
    height, width = base.shape[2:]
    if height < SPAN or width < LANES:
        plain: Floats = corrected(base, limits, by_pixel(features, per_side), shrinking)
        return plain
    base, limits = np.ascontiguousarray(base), np.ascontiguousarray(limits)
    depth, blur = features.shape[-1], np.stack(shrinking.blur)
    kernel = shrinking.kernel.reshape(SPAN, SPAN * 3, per_side, per_side * depth)
    kernel = padded(np.moveaxis(kernel, 1, -1), LANES).reshape(-1, per_side * depth, LANES)
    kernel = np.ascontiguousarray(kernel)
    lacks, right = np.zeros_like(base), np.empty_like(base)
    find_lacks(base, blur, *_flat(features), kernel, shrinking.level, lacks)
    add_lacks(base, limits, blur, lacks, right)
    return right


def _flat(features: Floats) -> tuple[Floats, tuple[int, int]]:
    """Features (B, h', w', D) as one line, and its numbers from picture to picture and row to row.

    Those of a crop are not copied, which would take as long as the correction.
    """
    if features.strides[2:] != (4 * features.shape[3], 4):
        features = np.ascontiguousarray(features)
    n_batch, height, width, depth = features.shape
    picture, row = (step // 4 for step in features.strides[:2])
    n = (n_batch - 1) * picture + (height - 1) * row + width * depth
    return as_strided(features, (n,), (4,)), (picture, row)


@inlined
def _room(width):
    # A thread's buffers for one row.
    return _Room(
        tall=np.empty(BEFORE + width + BEFORE, np.float32),  # blurred along y, mirrored beyond
        detail=np.empty(width, np.float32),  # x - A x
        sums=np.empty((width + 1) * LANES, np.float32),  # products of K, summed along y
        answer=np.empty(3 * width + LANES, np.float32),  # K f by pixel and colour
    )


@inlined
def _detail(x, plane, y, blur, room):
    # room.detail = x - A x for a row of one of the planes x (B, 3, H, W).
    height, width = x.shape[2:]
    tall, first = room.tall, plane * height
    for at in range(0, width, LANES):
        column = min(at, width - LANES)
        total = constant(0.0)
        for k in range(TAPS):
            row = max(y + k - BEFORE, BEFORE - 1 - y - k)
            row = min(row, 2 * height - 1 - row)  # mirrored
            value = load(x, (first + row) * width + column)
            total = fma(broadcast(blur[0, k]), value, total)
        store(tall, BEFORE + column, total)
    for k in range(BEFORE):
        tall[BEFORE - 1 - k] = tall[BEFORE + k]
        tall[BEFORE + width + k] = tall[BEFORE + width - 1 - k]
    for at in range(0, width, LANES):
        column = min(at, width - LANES)
        total = constant(0.0)
        for k in range(TAPS):
            total = fma(broadcast(blur[1, k]), load(tall, column + k), total)
        store(room.detail, column, load(x, (first + y) * width + column) - total)


@inlined
def _shrunk(features, at, row_step, kernel, width, room):
    # room.answer = K f for the inner pixels of a row; the first row of LPs that K reads is at `at`.
    n_row, depth = kernel.shape[:2]
    sums = room.sums
    for begin in range(0, width, PIXELS):
        first = min(begin, width - PIXELS)
        for pixel in range(first, first + PIXELS):
            store(sums, pixel * LANES, constant(0.0))
        for row in range(n_row):
            place = at + row * row_step + first * depth
            add_product(features, place, depth, kernel, row * depth * LANES, sums, first * LANES)
    for pixel in range(width - 2 * REACH):
        # The colours are in the first three lanes; the next pixel overwrites the others.
        total = load(sums, pixel * LANES)
        for k in range(1, SPAN):
            total = total + load(sums, (pixel + k) * LANES + 3 * k)
        store(room.answer, 3 * pixel, total)


@fused
def find_lacks(claim, base, blur, features, steps, kernel, level, out):
    """out (B, 3, H, W) = r at the inner pixels; the others are not written.

    blur (2, 4 E - 1) is A along y and x, `features` and `steps` are as of `_flat`, level (3, 1, 1), and
    kernel (S per_side, per_side D, LANES) is K by row of LPs, LP of a row and feature, place along x and colour.
    """
    n_batch, _, height, width = base.shape
    room, per_side = _room(width), kernel.shape[0] // SPAN
    n_row = height - 2 * REACH
    n_band = (n_row + BAND - 1) // BAND
    task = claim_next(claim)
    while task < n_batch * n_band:
        i, top = task // n_band, task % n_band * BAND
        for row in range(top, min(top + BAND, n_row)):
            at = i * steps[0] + row * per_side * steps[1]
            _shrunk(features, at, steps[1], kernel, width, room)
            for c in range(3):
                _detail(base, 3 * i + c, row + REACH, blur, room)
                for x in range(REACH, width - REACH):
                    shrunk = room.answer[3 * (x - REACH) + c] + level[c, 0, 0]
                    out[i, c, row + REACH, x] = room.detail[x] - shrunk
        task = claim_next(claim)


@fused
def add_lacks(claim, base, limits, blur, lacks, out):
    """out (B, 3, H, W) = x + r + (I - A) r for lacks r, within the limits (B, 8, H, W)."""
    n_batch, _, height, width = base.shape
    room, n_limit = _room(width), limits.shape[1]
    n_pixel = height * width
    task = claim_next(claim)
    while task < n_batch * height:
        i, y = task // height, task % height
        for c in range(3):
            _detail(lacks, 3 * i + c, y, blur, room)
            row = (3 * i + c) * n_pixel + y * width
            lowest = (n_limit * i + c) * n_pixel + y * width
            for at in range(0, width, LANES):
                x = min(at, width - LANES)
                value = load(base, row + x)
                low = smaller(value, load(limits, lowest + x))
                high = larger(value, load(limits, lowest + 3 * n_pixel + x))
                value = value + load(lacks, row + x) + load(room.detail, x)
                store(out, row + x, smaller(larger(value, low), high))
        task = claim_next(claim)
