"""The feed-forward of a lattice on the CPU in one pass: norm, 3x3 convolution, GELU, 1x1, residual.

The convolution is Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308): of each tile of 4x4
positions 36 numbers per channel are multiplied instead of 144. A thread takes BLOCK x BLOCK positions
at a time, whose numbers stay in its cache from the norm to the residual.

Letters: B batch, h w lattice, D width, H hidden width; both are multiples of LANES here, and E H in
the last dimension of packed weights stands for whole panels of COLUMNS.
"""

import numpy as np
from numba import njit

from ginr.activations_numba import constant, gelu, layer_norm
from ginr.fused import fused, take
from ginr.simd_numba import COLUMNS, LANES, ROWS, fma, load, product, store

BLOCK = 16  # positions along the side of a thread's share
TILE = 4
SPAN = TILE + 2  # positions that a tile reads, along one side
NEAR, FAR = 2 / 3, 3 / 2
"""The points of the interpolation are 0, these, their negatives and infinity: with them the error is
half that of the paper's 1 and 2, and close to the direct convolution's; NEAR FAR = 1 below."""
_POINTS = ((NEAR, 2 * NEAR**2 * (NEAR**2 - FAR**2)), (FAR, 2 * FAR**2 * (FAR**2 - NEAR**2)))
GENERATE = np.array(
    [
        [1, 0, 0],
        *([1 / n, sign * p / n, p * p / n] for p, n in _POINTS for sign in (1, -1)),
        [0, 0, 1],
    ]
)
"""G of the paper, (SPAN, 3)."""


@njit
def _into(d0, d1, d2, d3, d4, d5):
    # B^T d of the paper
    both = constant(-(NEAR**2) - FAR**2)
    even_near, odd_near = fma(constant(-(FAR**2)), d2, d4), constant(NEAR) * d3 - constant(FAR) * d1
    even_far, odd_far = fma(constant(-(NEAR**2)), d2, d4), constant(FAR) * d3 - constant(NEAR) * d1
    return (
        fma(both, d2, d0 + d4),
        even_near + odd_near,
        even_near - odd_near,
        even_far + odd_far,
        even_far - odd_far,
        fma(both, d3, d1 + d5),
    )


@njit
def _out_of(m0, m1, m2, m3, m4, m5):
    # A^T m of the paper
    even_near, odd_near, even_far, odd_far = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return (
        m0 + even_near + even_far,
        fma(constant(NEAR), odd_near, constant(FAR) * odd_far),
        fma(constant(NEAR**2), even_near, constant(FAR**2) * even_far),
        fma(constant(NEAR**3), odd_near, fma(constant(FAR**3), odd_far, m5)),
    )


@njit
def _tile_in(normed, at, row, width, work, out, out_at, out_step):
    # One tile: normed from `at` on, rows `row` numbers apart, into SPAN^2 vectors out_step apart.
    for c in range(0, width, LANES):
        for x in range(SPAN):
            start = at + x * width + c
            t = _into(
                load(normed, start),
                load(normed, start + row),
                load(normed, start + 2 * row),
                load(normed, start + 3 * row),
                load(normed, start + 4 * row),
                load(normed, start + 5 * row),
            )
            for y, value in enumerate(t):
                store(work, (y * SPAN + x) * LANES, value)
        for y in range(SPAN):
            start = y * SPAN * LANES
            t = _into(
                load(work, start),
                load(work, start + LANES),
                load(work, start + 2 * LANES),
                load(work, start + 3 * LANES),
                load(work, start + 4 * LANES),
                load(work, start + 5 * LANES),
            )
            for x, value in enumerate(t):
                store(out, out_at + (y * SPAN + x) * out_step + c, value)


@njit
def _tile_out(summed, at, step, bias, hidden, work, out, out_at, out_row):
    # SPAN^2 vectors `step` apart into the 4x4 positions of a tile, biased and through GELU.
    for c in range(0, hidden, LANES):
        for x in range(SPAN):
            start = at + x * step + c
            t = _out_of(
                load(summed, start),
                load(summed, start + SPAN * step),
                load(summed, start + 2 * SPAN * step),
                load(summed, start + 3 * SPAN * step),
                load(summed, start + 4 * SPAN * step),
                load(summed, start + 5 * SPAN * step),
            )
            for y, value in enumerate(t):
                store(work, (y * SPAN + x) * LANES, value)
        shift = load(bias, c)
        for y in range(TILE):
            start = y * SPAN * LANES
            t = _out_of(
                load(work, start),
                load(work, start + LANES),
                load(work, start + 2 * LANES),
                load(work, start + 3 * LANES),
                load(work, start + 4 * LANES),
                load(work, start + 5 * LANES),
            )
            for x, value in enumerate(t):
                store(out, out_at + y * out_row + x * hidden + c, gelu(value + shift))


@fused
def feed_forward(claim, x, scale, shift, kernel, kernel_bias, weight, bias, out):
    """out = x + W gelu(conv(norm(x)) + b) + b' on lattices x, out (B, h, w, D).

    scale, shift (D,) of the norm; kernel (SPAN^2, n, D, COLUMNS), the convolution under G in panels of
    COLUMNS; kernel_bias (H,); weight (n', H, COLUMNS) in panels, bias (D,).
    """
    n_batch, height, width, depth = x.shape
    hidden = kernel_bias.shape[0]
    n_panel, n_last = kernel.shape[1], weight.shape[0]
    down, across = (height + BLOCK - 1) // BLOCK, (width + BLOCK - 1) // BLOCK
    side = BLOCK + 2
    n_tile = (BLOCK // TILE) ** 2
    wide = n_panel * COLUMNS
    row = side * depth
    n_task = n_batch * down * across
    task = take(claim)
    while task < n_task:
        i, top, left = (
            task // (down * across),
            task // across % down * BLOCK,
            task % across * BLOCK,
        )
        bottom, right = min(top + BLOCK, height), min(left + BLOCK, width)
        tiles_down, tiles_across = (
            (bottom - top + TILE - 1) // TILE,
            (right - left + TILE - 1) // TILE,
        )
        normed = np.zeros(side * side * depth, np.float32)
        work = np.empty(SPAN * SPAN * LANES, np.float32)
        spectrum = np.empty(SPAN * SPAN * n_tile * depth, np.float32)
        summed = np.empty(SPAN * SPAN * n_tile * wide, np.float32)
        active = np.empty(BLOCK * BLOCK * hidden, np.float32)
        answer = np.empty(BLOCK * COLUMNS, np.float32)
        for y in range(max(top - 1, 0), min(bottom + 1, height)):
            for z in range(max(left - 1, 0), min(right + 1, width)):
                source = ((i * height + y) * width + z) * depth
                place = (y - top + 1) * row + (z - left + 1) * depth
                layer_norm(x, source, scale, shift, normed, place, depth)
        for y in range(tiles_down):
            for z in range(tiles_across):
                corner = y * TILE * row + z * TILE * depth
                tile = y * tiles_across + z
                _tile_in(normed, corner, row, depth, work, spectrum, tile * depth, n_tile * depth)
        for f in range(SPAN * SPAN):
            for panel in range(n_panel):
                weights_at = (f * n_panel + panel) * depth * COLUMNS
                for first in range(0, tiles_down * tiles_across, ROWS):
                    product(
                        spectrum,
                        (f * n_tile + first) * depth,
                        depth,
                        depth,
                        kernel,
                        weights_at,
                        summed,
                        (f * n_tile + first) * wide + panel * COLUMNS,
                        wide,
                    )
        for y in range(tiles_down):
            for z in range(tiles_across):
                corner = (y * BLOCK + z) * TILE * hidden
                start = (y * tiles_across + z) * wide
                step = n_tile * wide
                _tile_out(
                    summed, start, step, kernel_bias, hidden, work, active, corner, BLOCK * hidden
                )
        for y in range(top, bottom):
            for panel in range(n_last):
                columns = min(COLUMNS, depth - panel * COLUMNS)
                for first in range(0, right - left, ROWS):
                    product(
                        active,
                        ((y - top) * BLOCK + first) * hidden,
                        hidden,
                        hidden,
                        weight,
                        panel * hidden * COLUMNS,
                        answer,
                        first * COLUMNS,
                        COLUMNS,
                    )
                for z in range(right - left):
                    place = ((i * height + y) * width + left + z) * depth + panel * COLUMNS
                    for c in range(0, columns, LANES):
                        value = load(answer, z * COLUMNS + c) + load(bias, panel * COLUMNS + c)
                        store(out, place + c, load(x, place + c) + value)
        task = take(claim)


@fused
def add_content(claim, tokens, weight, bias, lps, out):
    """out = lps + what the tokens (B, h, w, D) give the square of `up` x `up` LPs that each covers.

    weight (up^2, n, D, COLUMNS) in panels, bias (up^2, D); lps, out (B, up h, up w, D).
    """
    n_batch, height, width, depth = tokens.shape
    n_square, n_panel = weight.shape[0], weight.shape[1]
    up = out.shape[1] // height
    n_task = n_batch * height
    answer = np.empty(ROWS * COLUMNS, np.float32)
    source = np.empty(ROWS * depth, np.float32)
    task = take(claim)
    while task < n_task:
        for first in range(0, width, ROWS):
            some = min(ROWS, width - first)
            for k in range(0, some * depth, LANES):
                store(source, k, load(tokens, (task * width + first) * depth + k))
            for square in range(n_square):
                row = task * up + square // up
                for panel in range(n_panel):
                    panel_at = (square * n_panel + panel) * depth * COLUMNS
                    product(source, 0, depth, depth, weight, panel_at, answer, 0, COLUMNS)
                    begin = panel * COLUMNS
                    for r in range(some):
                        column = (first + r) * up + square % up
                        place = (row * width * up + column) * depth + begin
                        for c in range(0, min(COLUMNS, depth - begin), LANES):
                            value = load(answer, r * COLUMNS + c)
                            value = value + load(bias, square * depth + begin + c)
                            store(out, place + c, load(lps, place + c) + value)
        task = take(claim)
