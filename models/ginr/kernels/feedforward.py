"""The feed-forward of a lattice on the CPU in one pass: norm, 3x3 convolution, GELU, 1x1, residual.

A thread takes BLOCK x BLOCK positions at a time, whose numbers stay in its cache from the norm to the
residual.

Letters: B batch, h w lattice, D width, H hidden width; both are multiples of LANES here, and E H in
the last dimension of packed weights stands for whole panels of COLUMNS.
"""

import numpy as np

from ginr.kernels.activations import gelu, layer_norm
from ginr.kernels.compile import fused, take
from ginr.kernels.simd import ROWS, load, product, store
from ginr.kernels.sizes import COLUMNS, LANES, SPAN, TILE
from ginr.kernels.winograd import tile_in, tile_out

BLOCK = 16  # positions along the side of a thread's share
SHARE = 512  # rows that a thread takes at a time where there is no lattice


@fused
def feed_forward(claim, x, scale, shift, kernel, kernel_bias, weight, bias, kept, out):
    """out = x + W gelu(conv(norm(x)) + b) + b' on lattices x, out (B, h, w, D).

    scale, shift (D,) of the norm; kernel (SPAN^2, n, D, COLUMNS), the convolution under G in panels of
    COLUMNS; kernel_bias (H,); weight (n', H, COLUMNS) in panels, bias (D,).
    kept (B, h, w, H) is given what GELU is given, unless it is empty.
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
                tile_in(normed, corner, row, depth, work, spectrum, tile * depth, n_tile * depth)
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
                tile_out(
                    summed, start, step, kernel_bias, hidden, work, active, corner, BLOCK * hidden
                )
        for y in range(top, bottom):
            for z in range(right - left):
                source = ((y - top) * BLOCK + z) * hidden
                place = ((i * height + y) * width + left + z) * hidden
                for c in range(0, hidden, LANES):
                    value = load(active, source + c)
                    if kept.size:
                        store(kept, place + c, value)
                    store(active, source + c, gelu(value))
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


@fused
def map_rows(claim, x, weight, bias, out):
    """out (n, N) = x (n, D) W + b; weight (n', D, COLUMNS) in panels, bias (N,)."""
    n_row, depth = x.shape
    n_out = out.shape[1]
    source = np.empty(ROWS * depth, np.float32)
    answer = np.empty(ROWS * COLUMNS, np.float32)
    n_task = (n_row + SHARE - 1) // SHARE
    task = take(claim)
    while task < n_task:
        for first in range(task * SHARE, min((task + 1) * SHARE, n_row), ROWS):
            some = min(ROWS, n_row - first)
            for k in range(0, some * depth, LANES):
                store(source, k, load(x, first * depth + k))
            for panel in range(weight.shape[0]):
                product(
                    source, 0, depth, depth, weight, panel * depth * COLUMNS, answer, 0, COLUMNS
                )
                begin = panel * COLUMNS
                columns = min(COLUMNS, n_out - begin)
                whole = columns // LANES * LANES
                for r in range(some):
                    place = (first + r) * n_out + begin
                    for c in range(0, whole, LANES):
                        value = load(answer, r * COLUMNS + c) + load(bias, begin + c)
                        store(out, place + c, value)
                    for c in range(whole, columns):
                        out[first + r, begin + c] = answer[r * COLUMNS + c] + bias[begin + c]
        task = take(claim)
