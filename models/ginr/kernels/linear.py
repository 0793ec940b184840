"""Linear maps on the CPU: of rows, and from each token to the LPs it covers, the latter with gradients.

Letters: B batch, h w tokens, D width, N outputs. Weights are `LinearWeights`.
"""

import numpy as np

from ginr.kernels.compile import claim_next, fused, inlined
from ginr.kernels.product import ROWS, accumulate, product, whole_rows
from ginr.kernels.simd import load, store
from ginr.kernels.sizes import COLUMNS, LANES

SHARE = 512  # rows per task


@inlined
def _rows(x, first, n, out):
    # Copies n rows of x, starting at row `first`, to a buffer of whole tiles.
    depth = x.shape[-1]
    for k in range(0, n * depth, LANES):
        store(out, k, load(x, first * depth + k))


@fused
def map_rows(claim, x, weights, out):
    """out (n, N) = x (n, D) W + b."""
    n_row, depth = x.shape
    n_out = out.shape[1]
    weight, bias = weights.weight, weights.bias
    source = np.empty(ROWS * depth, np.float32)
    answer = np.empty(ROWS * COLUMNS, np.float32)
    n_task = (n_row + SHARE - 1) // SHARE
    task = claim_next(claim)
    while task < n_task:
        for first in range(task * SHARE, min((task + 1) * SHARE, n_row), ROWS):
            some = min(ROWS, n_row - first)
            _rows(x, first, some, source)
            for panel in range(weight.shape[0]):
                begin = panel * COLUMNS
                product(source, 0, depth, weight, begin * depth, answer, 0, COLUMNS)
                columns = min(COLUMNS, n_out - begin)
                whole = columns // LANES * LANES
                for r in range(some):
                    place = (first + r) * n_out + begin
                    for c in range(0, whole, LANES):
                        value = load(answer, r * COLUMNS + c) + load(bias, begin + c)
                        store(out, place + c, value)
                    for c in range(whole, columns):
                        out[first + r, begin + c] = answer[r * COLUMNS + c] + bias[begin + c]
        task = claim_next(claim)


@fused
def add_content(claim, tokens, weights, lps, out):
    """out = lps + a linear map of the tokens (B, h, w, D), each onto the `up` x `up` LPs it covers.

    weight (up^2, n, D, COLUMNS) in panels, bias (up^2, D); lps, out (B, up h, up w, D).
    """
    n_batch, height, width, depth = tokens.shape
    weight, bias = weights.weight, weights.bias
    n_square, n_panel = weight.shape[0], weight.shape[1]
    up = out.shape[1] // height
    answer = np.empty(ROWS * COLUMNS, np.float32)
    source = np.empty(ROWS * depth, np.float32)
    task = claim_next(claim)
    while task < n_batch * height:
        for first in range(0, width, ROWS):
            some = min(ROWS, width - first)
            _rows(tokens, task * width + first, some, source)
            for square in range(n_square):
                row = task * up + square // up
                for panel in range(n_panel):
                    panel_at = (square * n_panel + panel) * depth * COLUMNS
                    product(source, 0, depth, weight, panel_at, answer, 0, COLUMNS)
                    begin = panel * COLUMNS
                    for r in range(some):
                        column = (first + r) * up + square % up
                        place = (row * width * up + column) * depth + begin
                        for c in range(0, min(COLUMNS, depth - begin), LANES):
                            value = load(answer, r * COLUMNS + c)
                            value = value + load(bias, square * depth + begin + c)
                            store(out, place + c, load(lps, place + c) + value)
        task = claim_next(claim)


@inlined
def _square_back(tokens, first, square, coming, answer, weight, grad_tokens, grad_weight):
    # From the gradients of a row of LPs, `coming` (w, n' COLUMNS): those of the row of tokens at `first`
    # and of the weight of one LP of the square, grad_weight.
    width, depth = tokens.shape[2], tokens.shape[3]
    n_panel = weight.shape[1]
    wide = n_panel * COLUMNS
    accumulate(tokens, first, width, coming, 0, grad_weight)
    for panel in range(n_panel):
        column, weight_at = panel * COLUMNS, (square * n_panel + panel) * wide * COLUMNS
        for z in range(0, width, ROWS):
            product(coming, z * wide, wide, weight, weight_at, answer, 0, COLUMNS)
            for r in range(min(ROWS, width - z)):
                for c in range(column, min(depth, column + COLUMNS), LANES):
                    value = load(answer, r * COLUMNS + c - column)
                    place = first + (z + r) * depth + c
                    if square:
                        value = value + load(grad_tokens, place)
                    store(grad_tokens, place, value)


@fused
def add_content_backward(claim, tokens, weight, grad, grad_tokens, grads):
    """Gradients of `add_content`, one lattice per task; that of lps is grad itself.

    weight (up^2, n', D', COLUMNS) must be transposed. Gradients of the weights are per lattice:
    grads.weight (B, up^2, n, D, COLUMNS) and grads.bias (B, up^2, D).
    """
    n_batch, height, width, depth = tokens.shape
    n_square, n_panel = weight.shape[0], weight.shape[1]
    up, wide = grad.shape[1] // height, n_panel * COLUMNS
    grad_weight, grad_bias = grads.weight, grads.bias
    n_row = whole_rows(width)
    coming = np.zeros(n_row * wide, np.float32)
    answer = np.empty(ROWS * COLUMNS, np.float32)
    i = claim_next(claim)
    while i < n_batch:
        grad_weight[i], grad_bias[i] = np.float32(0.0), np.float32(0.0)
        for y in range(height):
            first = (i * height + y) * width * depth
            for square in range(n_square):
                row = ((i * height + y) * up + square // up) * width * up + square % up
                which = i * n_square + square
                for z in range(width):
                    for c in range(0, depth, LANES):
                        value = load(grad, (row + z * up) * depth + c)
                        store(coming, z * wide + c, value)
                        at = which * depth + c
                        store(grad_bias, at, load(grad_bias, at) + value)
                to_weight = grad_weight[i, square]
                _square_back(tokens, first, square, coming, answer, weight, grad_tokens, to_weight)
        i = claim_next(claim)
