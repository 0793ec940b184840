"""Gradients of `ginr.kernels.feedforward.feed_forward`, one lattice per task, with the same letters.

The norm and its spectra are recomputed; only the input of GELU is saved by the forward pass. Weight
gradients are per lattice, so that their sum does not depend on the number of threads.
"""

from collections import namedtuple

import numpy as np

from ginr.kernels.activations import clear, gelu_slope, layer_norm_backward, normal_cdf
from ginr.kernels.compile import claim_next, fused, inlined
from ginr.kernels.feedforward import normalize
from ginr.kernels.product import ROWS, accumulate, multiply, product, whole_rows
from ginr.kernels.simd import load, store
from ginr.kernels.sizes import COLUMNS, LANES, SPAN, TILE
from ginr.kernels.winograd import tile_in, tile_in_back, tile_out_back

STRIP = 16  # rows of a lattice whose spectra are held in memory at a time


_Sizes = namedtuple(
    "_Sizes", "height width depth hidden across n_tile row slope_row wide wide_back"
)
_Room = namedtuple(
    "_Room", "normed spectrum grad_row active answer slopes coming going leaving work"
)


@inlined
def _sizes(x, kept, kernel, grad_kernel):
    _, height, width, depth = x.shape
    hidden, across = kept.shape[3], (width + TILE - 1) // TILE
    return _Sizes(
        height=height,
        width=width,
        depth=depth,
        hidden=hidden,
        across=across,  # tiles in a row of them
        n_tile=whole_rows(STRIP // TILE * across),  # tiles in a strip
        row=(across * TILE + 2) * depth,  # numbers in a row of room.normed
        slope_row=across * TILE * hidden,  # numbers in a row of room.slopes
        wide=grad_kernel.shape[2] * COLUMNS,  # H, rounded up to whole panels
        wide_back=kernel.shape[1] * COLUMNS,  # D, rounded up to whole panels
    )


@inlined
def _room(size):
    n_row = whole_rows(size.width)
    n_strip = (size.height + STRIP - 1) // STRIP
    return _Room(
        normed=np.empty((STRIP + 2) * size.row, np.float32),
        spectrum=np.empty(SPAN * SPAN * size.n_tile * size.depth, np.float32),  # of normed
        grad_row=np.zeros(n_row * size.wide_back, np.float32),  # gradient of the output
        active=np.empty(n_row * size.hidden, np.float32),  # GELU of a row
        answer=np.empty(ROWS * COLUMNS, np.float32),
        slopes=np.empty(STRIP * size.slope_row, np.float32),  # gradient of GELU's input
        # Gradients of the spectra of the convolution and of normed, and of normed in a whole lattice.
        coming=np.zeros(SPAN * SPAN * size.n_tile * size.wide, np.float32),
        going=np.empty(SPAN * SPAN * size.n_tile * size.wide_back, np.float32),
        leaving=np.empty((n_strip * STRIP + 2) * size.row, np.float32),
        work=np.empty(SPAN * SPAN * LANES, np.float32),  # one tile of LANES channels
    )


@inlined
def _take_row(size, grad, start, room, grad_bias):
    # Copies the row of gradients at position `start` to room.grad_row and adds it to grad_bias.
    grad_row = room.grad_row
    for z in range(size.width):
        for c in range(0, size.depth, LANES):
            coming = load(grad, (start + z) * size.depth + c)
            store(grad_row, z * size.wide_back + c, coming)
            store(grad_bias, c, load(grad_bias, c) + coming)


@inlined
def _row_back(size, kept, start, weight, room, at, grad_bias, grad_weight):
    # From room.grad_row, the row at position `start`: the gradient of GELU's input, into room.slopes at
    # `at`, and those of the convolution's bias and of the 1x1 weight.
    width, hidden, wide = size.width, size.hidden, size.wide_back
    grad_row, active, answer, slopes = room.grad_row, room.active, room.answer, room.slopes
    for panel in range(weight.shape[0]):
        first = panel * COLUMNS
        for z in range(0, width, ROWS):
            product(grad_row, z * wide, wide, weight, first * wide, answer, 0, COLUMNS)
            for r in range(min(ROWS, width - z)):
                for c in range(first, min(hidden, first + COLUMNS), LANES):
                    x = load(kept, (start + z + r) * hidden + c)
                    cdf = normal_cdf(x)
                    slope = gelu_slope(x, cdf) * load(answer, r * COLUMNS + c - first)
                    store(active, (z + r) * hidden + c, x * cdf)
                    store(slopes, at + (z + r) * hidden + c, slope)
                    store(grad_bias, c, load(grad_bias, c) + slope)
    accumulate(active, 0, width, grad_row, 0, grad_weight)


@inlined(inline="always")
def _convolve_back(size, tiles, kernel, room, grad_kernel):
    # From room.spectrum and room.coming for `tiles` tiles: the gradient of the kernel, grad_kernel, and
    # that of the spectrum, room.going.
    spectrum, coming, going = room.spectrum, room.coming, room.going
    for f in range(SPAN * SPAN):
        first = f * size.n_tile
        coming_at = first * size.wide
        accumulate(spectrum, first * size.depth, tiles, coming, coming_at, grad_kernel[f])
        multiply(coming, coming_at, tiles, kernel[f], going, first * size.wide_back)


@inlined(inline="always")
def _strip_back(size, top, kernel, room, grad_kernel):
    # From room.normed and room.slopes to room.leaving, for the strip of rows starting at `top`.
    normed, slopes, leaving, work = room.normed, room.slopes, room.leaving, room.work
    spectrum, coming, going = room.spectrum, room.coming, room.going
    row, slope_row, depth, hidden = size.row, size.slope_row, size.depth, size.hidden
    tiles = (min(STRIP, size.height - top) + TILE - 1) // TILE * size.across
    for tile in range(tiles):
        y, z = tile // size.across * TILE, tile % size.across * TILE
        place, step = y * row + z * depth, size.n_tile * depth
        tile_in(normed, place, row, depth, work, spectrum, tile * depth, step)
        place, step = y * slope_row + z * hidden, size.n_tile * size.wide
        tile_out_back(slopes, place, slope_row, hidden, work, coming, tile * size.wide, step)
    _convolve_back(size, tiles, kernel, room, grad_kernel)
    for tile in range(tiles):
        y, z = tile // size.across * TILE, tile % size.across * TILE
        start, step = tile * size.wide_back, size.n_tile * size.wide_back
        tile_in_back(going, start, step, depth, work, leaving, (top + y) * row + z * depth, row)


@fused
def feed_forward_backward(claim, x, weights, kept, grad, grad_x, grads):
    """Computes grad_x (B, h, w, D) and, per lattice, the gradients `grads` of all weights.

    weights.kernel (SPAN^2, n', H', COLUMNS) and weights.weight (n, D', COLUMNS) must be transposed; H'
    and D' are H and D rounded up to whole panels. grads.kernel is (B, SPAN^2, n, D, COLUMNS).
    """
    size = _sizes(x, kept, weights.kernel, grads.kernel)
    room, row = _room(size), size.row
    i = claim_next(claim)
    while i < x.shape[0]:
        clear(room.leaving, 0, room.leaving.size)
        for zeroed in (grads.scale, grads.shift, grads.kernel_bias, grads.bias):
            zeroed[i] = np.float32(0.0)
        grads.kernel[i], grads.weight[i] = np.float32(0.0), np.float32(0.0)
        for top in range(0, size.height, STRIP):
            normalize(x, i, top, 0, STRIP, size.width, row, weights, room.normed)
            clear(room.slopes, 0, room.slopes.size)
            for y in range(top, min(top + STRIP, size.height)):
                start, at = (i * size.height + y) * size.width, (y - top) * size.slope_row
                _take_row(size, grad, start, room, grads.bias[i])
                _row_back(size, kept, start, weights.weight, room, at, grads.kernel_bias[i], grads.weight[i])  # fmt: skip
            _strip_back(size, top, weights.kernel, room, grads.kernel[i])
        for y in range(size.height):
            for z in range(size.width):
                at = ((i * size.height + y) * size.width + z) * size.depth
                layer_norm_backward(
                    x, at, weights.scale, room.leaving, (y + 1) * row + (z + 1) * size.depth, grad,
                    grad_x, grads.scale[i], grads.shift[i], size.depth,
                )  # fmt: skip
        i = claim_next(claim)
