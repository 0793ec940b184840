"""Gradients of `ginr.kernels.feedforward.feed_forward`, a lattice at a time, in its letters.

The norm and the spectra of its answers are computed again; only what GELU was given is kept from the
forward pass. Gradients of weights are per lattice: their sum does not depend on the threads.
"""

import numpy as np

from ginr.kernels.activations import gelu_slope, layer_norm, layer_norm_backward, normal_part
from ginr.kernels.compile import fused, inlined, take
from ginr.kernels.simd import ROWS, add_outer, load, product, store
from ginr.kernels.sizes import COLUMNS, LANES, SPAN, TILE
from ginr.kernels.winograd import tile_in, tile_in_back, tile_out_back

STRIP = 16  # rows of a lattice whose spectra are held at a time


@inlined
def _row_back(
    grad, kept, start, width, depth, hidden, weight, grad_row, active, answer, slopes, at,
    grad_bias, grad_weight, grad_weight_bias,
):  # fmt: skip
    # From the gradient of the row of answers at `start` that of what GELU was given, into slopes
    # (.., H) from `at` on, and those of the convolution's bias and of the last map.
    n_panel, n_last = weight.shape[0], grad_weight.shape[0]
    wide = n_last * COLUMNS
    for z in range(width):
        for c in range(0, depth, LANES):
            coming = load(grad, (start + z) * depth + c)
            store(grad_row, z * wide + c, coming)
            store(grad_weight_bias, c, load(grad_weight_bias, c) + coming)
    for panel in range(n_panel):
        first = panel * COLUMNS
        for z in range(0, width, ROWS):
            product(grad_row, z * wide, wide, wide, weight, first * wide, answer, 0, COLUMNS)
            for r in range(min(ROWS, width - z)):
                for c in range(first, min(hidden, first + COLUMNS), LANES):
                    x = load(kept, (start + z + r) * hidden + c)
                    part = normal_part(x)
                    slope = gelu_slope(x, part) * load(answer, r * COLUMNS + c - first)
                    store(active, (z + r) * hidden + c, x * part)
                    store(slopes, at + (z + r) * hidden + c, slope)
                    store(grad_bias, c, load(grad_bias, c) + slope)
    for panel in range(n_last):
        first = panel * COLUMNS
        for h in range(0, hidden, ROWS):
            out_at = (panel * hidden + h) * COLUMNS
            add_outer(active, h, hidden, width, grad_row, first, wide, grad_weight, out_at, COLUMNS)


@fused
def feed_forward_backward(
    claim, x, scale, shift, kernel, weight, kept, grad, grad_x,
    grad_scale, grad_shift, grad_kernel, grad_bias, grad_weight, grad_weight_bias,
):  # fmt: skip
    """grad_x (B, h, w, D), and per lattice the gradients of all that was packed.

    kernel (SPAN^2, n', H', COLUMNS) and weight (n, D', COLUMNS) are transposed here; H' and D' are
    whole panels. grad_kernel (B, SPAN^2, n, D, COLUMNS) is that of the spectrum.
    """
    n_batch, height, width, depth = x.shape
    hidden = kept.shape[3]
    n_panel, n_back = grad_kernel.shape[2], kernel.shape[1]
    wide, wide_back = n_panel * COLUMNS, n_back * COLUMNS
    across = (width + TILE - 1) // TILE
    n_tile = (STRIP // TILE * across + ROWS - 1) // ROWS * ROWS
    row, slope_row = (across * TILE + 2) * depth, across * TILE * hidden
    n_row = (width + ROWS - 1) // ROWS * ROWS
    n_strip = (height + STRIP - 1) // STRIP
    grad_row = np.zeros(n_row * wide_back, np.float32)
    active = np.empty(n_row * hidden, np.float32)
    answer = np.empty(ROWS * COLUMNS, np.float32)
    work = np.empty(SPAN * SPAN * LANES, np.float32)
    normed = np.empty((STRIP + 2) * row, np.float32)
    spectrum = np.empty(SPAN * SPAN * n_tile * depth, np.float32)
    slopes = np.empty(STRIP * slope_row, np.float32)
    coming = np.zeros(SPAN * SPAN * n_tile * wide, np.float32)
    going = np.empty(SPAN * SPAN * n_tile * wide_back, np.float32)
    leaving = np.empty((n_strip * STRIP + 2) * row, np.float32)
    i = take(claim)
    while i < n_batch:
        leaving[:] = np.float32(0.0)
        for zeroed in (grad_scale, grad_shift, grad_bias, grad_weight_bias):
            zeroed[i] = np.float32(0.0)
        grad_kernel[i], grad_weight[i] = np.float32(0.0), np.float32(0.0)
        for top in range(0, height, STRIP):
            bottom = min(top + STRIP, height)
            tiles = (bottom - top + TILE - 1) // TILE * across
            normed[:] = np.float32(0.0)
            for y in range(max(top - 1, 0), min(bottom + 1, height)):
                for z in range(width):
                    place = (y - top + 1) * row + (z + 1) * depth
                    source = ((i * height + y) * width + z) * depth
                    layer_norm(x, source, scale, shift, normed, place, depth)
            slopes[:] = np.float32(0.0)
            for y in range(top, bottom):
                _row_back(
                    grad, kept, (i * height + y) * width, width, depth, hidden, weight, grad_row,
                    active, answer, slopes, (y - top) * slope_row,
                    grad_bias[i], grad_weight[i], grad_weight_bias[i],
                )  # fmt: skip
            for tile in range(tiles):
                y, z = tile // across * TILE, tile % across * TILE
                at, step = tile * depth, n_tile * depth
                tile_in(normed, y * row + z * depth, row, depth, work, spectrum, at, step)
                at, step = tile * wide, n_tile * wide
                place = y * slope_row + z * hidden
                tile_out_back(slopes, place, slope_row, hidden, work, coming, at, step)
            for f in range(SPAN * SPAN):
                at, coming_at, going_at = (
                    f * n_tile * depth,
                    f * n_tile * wide,
                    f * n_tile * wide_back,
                )
                for panel in range(n_panel):
                    first = panel * COLUMNS
                    for c in range(0, depth, ROWS):
                        out_at = (((i * SPAN * SPAN + f) * n_panel + panel) * depth + c) * COLUMNS
                        add_outer(
                            spectrum, at + c, depth, tiles, coming, coming_at + first, wide,
                            grad_kernel, out_at, COLUMNS,
                        )  # fmt: skip
                for panel in range(n_back):
                    first = panel * COLUMNS
                    weight_at = (f * n_back + panel) * wide * COLUMNS
                    for tile in range(0, tiles, ROWS):
                        product(
                            coming, coming_at + tile * wide, wide, wide, kernel, weight_at,
                            going, going_at + tile * wide_back + first, wide_back,
                        )  # fmt: skip
            for tile in range(tiles):
                y, z = tile // across * TILE, tile % across * TILE
                at, step = tile * wide_back, n_tile * wide_back
                place = (top + y) * row + z * depth
                tile_in_back(going, at, step, depth, work, leaving, place, row)
        for y in range(height):
            for z in range(width):
                at = ((i * height + y) * width + z) * depth
                layer_norm_backward(
                    x, at, scale, leaving, (y + 1) * row + (z + 1) * depth, grad, grad_x,
                    grad_scale[i], grad_shift[i], depth,
                )  # fmt: skip
        i = take(claim)


@fused
def add_content_backward(claim, tokens, weight, grad, grad_tokens, grad_weight, grad_bias):
    """Gradients of `add_content`, a lattice at a time: grad is also that of the LPs.

    weight (up^2, n', D', COLUMNS) is transposed here; grad_weight (B, up^2, n, D, COLUMNS) and
    grad_bias (B, up^2, D) are per lattice.
    """
    n_batch, height, width, depth = tokens.shape
    n_square, n_panel = weight.shape[0], weight.shape[1]
    up, wide = grad.shape[1] // height, n_panel * COLUMNS
    n_row = (width + ROWS - 1) // ROWS * ROWS
    coming = np.zeros(n_row * wide, np.float32)
    answer = np.empty(ROWS * COLUMNS, np.float32)
    i = take(claim)
    while i < n_batch:
        grad_weight[i], grad_bias[i] = np.float32(0.0), np.float32(0.0)
        for y in range(height):
            first = (i * height + y) * width * depth
            for square in range(n_square):
                row = ((i * height + y) * up + square // up) * width * up + square % up
                for z in range(width):
                    for c in range(0, depth, LANES):
                        value = load(grad, (row + z * up) * depth + c)
                        store(coming, z * wide + c, value)
                        at = (i * n_square + square) * depth + c
                        store(grad_bias, at, load(grad_bias, at) + value)
                for panel in range(n_panel):
                    column, weight_at = panel * COLUMNS, (square * n_panel + panel) * wide * COLUMNS
                    for c in range(0, depth, ROWS):
                        at = (((i * n_square + square) * n_panel + panel) * depth + c) * COLUMNS
                        add_outer(
                            tokens, first + c, depth, width, coming, column, wide,
                            grad_weight, at, COLUMNS,
                        )  # fmt: skip
                    for z in range(0, width, ROWS):
                        product(coming, z * wide, wide, wide, weight, weight_at, answer, 0, COLUMNS)
                        for r in range(min(ROWS, width - z)):
                            for c in range(column, min(depth, column + COLUMNS), LANES):
                                value = load(answer, r * COLUMNS + c - column)
                                at = first + (z + r) * depth + c
                                if square:
                                    value = value + load(grad_tokens, at)
                                store(grad_tokens, at, value)
        i = take(claim)
