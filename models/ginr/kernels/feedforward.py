"""The feed-forward of a lattice on the CPU in one pass: norm, 3x3 convolution, GELU, 1x1, residual.

A task is a block of BLOCK x BLOCK positions, which stays in the thread's cache from norm to residual.

Letters: B batch, h w lattice, D width, H hidden width; D and H are multiples of LANES. Weights are
`FeedForwardWeights`.
"""

from collections import namedtuple

import numpy as np

from ginr.kernels.activations import clear, gelu, layer_norm
from ginr.kernels.compile import claim_next, fused, inlined
from ginr.kernels.product import ROWS, multiply, product
from ginr.kernels.simd import load, store
from ginr.kernels.sizes import COLUMNS, LANES, SPAN, TILE
from ginr.kernels.winograd import tile_in, tile_out

BLOCK = 16  # side of a block, in positions
N_TILE = (BLOCK // TILE) ** 2
SIDE = BLOCK + 2  # including the neighbours that the convolution reads


# n_row x n_column positions of lattice i, covered by tiles_down x tiles_across tiles.
_Block = namedtuple("_Block", "i top left n_row n_column tiles_down tiles_across")
_Room = namedtuple("_Room", "normed work spectrum summed active answer")


@inlined
def _block(task, height, width):
    down, across = (height + BLOCK - 1) // BLOCK, (width + BLOCK - 1) // BLOCK
    top, left = task // across % down * BLOCK, task % across * BLOCK
    n_row, n_column = min(BLOCK, height - top), min(BLOCK, width - left)
    tiles_down, tiles_across = (n_row + TILE - 1) // TILE, (n_column + TILE - 1) // TILE
    return _Block(task // (down * across), top, left, n_row, n_column, tiles_down, tiles_across)


@inlined
def normalize(x, i, top, left, n_row, n_column, wide, weights, normed):
    """Layer norm of a box of lattice i and its neighbours into normed, zeros outside the lattice.

    normed has n_row + 2 rows of `wide` numbers, of at least n_column + 2 positions.
    """
    _, height, width, depth = x.shape
    scale, shift = weights.scale, weights.shift
    clear(normed, 0, normed.size)
    for y in range(max(top - 1, 0), min(top + n_row + 1, height)):
        for z in range(max(left - 1, 0), min(left + n_column + 1, width)):
            source = ((i * height + y) * width + z) * depth
            place = (y - top + 1) * wide + (z - left + 1) * depth
            layer_norm(x, source, scale, shift, normed, place, depth)


@inlined(inline="always")
def _convolve(block, weights, room):
    # room.active = the convolution of room.normed.
    kernel, bias = weights.kernel, weights.kernel_bias
    wide, depth, hidden = kernel.shape[1] * COLUMNS, kernel.shape[2], bias.shape[0]
    tiles_across = block.tiles_across
    n_tile = block.tiles_down * tiles_across
    normed, work, spectrum, summed, active = room.normed, room.work, room.spectrum, room.summed, room.active  # fmt: skip
    for tile in range(n_tile):
        y, z = tile // tiles_across, tile % tiles_across
        corner = (y * SIDE + z) * TILE * depth
        tile_in(normed, corner, SIDE * depth, depth, work, spectrum, tile * depth, N_TILE * depth)
    for f in range(SPAN * SPAN):
        multiply(spectrum, f * N_TILE * depth, n_tile, kernel[f], summed, f * N_TILE * wide)
    for tile in range(n_tile):
        y, z = tile // tiles_across, tile % tiles_across
        corner = (y * BLOCK + z) * TILE * hidden
        tile_out(summed, tile * wide, N_TILE * wide, bias, hidden, work, active, corner, BLOCK * hidden)  # fmt: skip


@inlined
def _activate(x, y, block, kept, active):
    # GELU of row y of the block in place; its input is saved in `kept` unless that is empty.
    _, height, width, _ = x.shape
    hidden = active.shape[0] // (BLOCK * BLOCK)
    for z in range(block.n_column):
        source = (y * BLOCK + z) * hidden
        place = ((block.i * height + block.top + y) * width + block.left + z) * hidden
        for c in range(0, hidden, LANES):
            value = load(active, source + c)
            if kept.size:
                store(kept, place + c, value)
            store(active, source + c, gelu(value))


@inlined
def _add_map(x, y, block, weights, room, out):
    # out = x + W active + b for row y of the block.
    _, height, width, depth = x.shape
    weight, bias, active, answer = weights.weight, weights.bias, room.active, room.answer
    n_panel, hidden = weight.shape[0], weight.shape[1]
    for panel in range(n_panel):
        begin = panel * COLUMNS
        for first in range(0, block.n_column, ROWS):
            source = (y * BLOCK + first) * hidden
            product(active, source, hidden, weight, begin * hidden, answer, first * COLUMNS, COLUMNS)  # fmt: skip
        for z in range(block.n_column):
            place = ((block.i * height + block.top + y) * width + block.left + z) * depth + begin
            for c in range(0, min(COLUMNS, depth - begin), LANES):
                value = load(answer, z * COLUMNS + c) + load(bias, begin + c)
                store(out, place + c, load(x, place + c) + value)


@fused
def feed_forward(claim, x, weights, kept, out):
    """out = x + W gelu(conv(norm(x)) + b) + b' on lattices x, out (B, h, w, D).

    Unless it is empty, kept (B, h, w, H) receives the input of GELU.
    """
    n_batch, height, width, depth = x.shape
    hidden = weights.kernel_bias.shape[0]
    room = _Room(
        normed=np.empty(SIDE * SIDE * depth, np.float32),  # zeros outside the lattice
        work=np.empty(SPAN * SPAN * LANES, np.float32),  # one tile of LANES channels
        spectrum=np.empty(SPAN * SPAN * N_TILE * depth, np.float32),
        # The spectrum of the convolution.
        summed=np.empty(SPAN * SPAN * N_TILE * weights.kernel.shape[1] * COLUMNS, np.float32),
        active=np.empty(BLOCK * BLOCK * hidden, np.float32),
        answer=np.empty(BLOCK * COLUMNS, np.float32),
    )
    n_task = n_batch * ((height + BLOCK - 1) // BLOCK) * ((width + BLOCK - 1) // BLOCK)
    task = claim_next(claim)
    while task < n_task:
        block = _block(task, height, width)
        sides = block.top, block.left, block.n_row, block.n_column
        normalize(x, block.i, *sides, SIDE * depth, weights, room.normed)
        _convolve(block, weights, room)
        for y in range(block.n_row):
            _activate(x, y, block, kept, room.active)
            _add_map(x, y, block, weights, room, out)
        task = claim_next(claim)
