"""Register-tiled matrix products and sums of outer products, for use inside kernels.

Arrays are float32 and C-contiguous; `at` is an index into the flattened array.
"""

from functools import cache

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ginr.kernels.compile import inlined
from ginr.kernels.instructions import FLOAT, INT, VECTOR, call, pointer, read, repeat
from ginr.kernels.sizes import COLUMNS, LANES
from ginr.kernels.target import HAS_AVX512

ROWS = 8 if HAS_AVX512 else 2
"""Rows of a tile, chosen so that its ROWS x 3 sums and a row of weights stay in registers."""
PIXELS = 8 if HAS_AVX512 else 6
"""Rows of a tile that is LANES columns wide."""


def _tile(builder, a, a_next, n, weights, weights_step, out, adding, n_vector=COLUMNS // LANES):
    # Sums n outer products of a number per row of `a` and n_vector vectors of weights, written or added
    # to `out`. a, out: a pointer to each row; a_next, weights_step: the stride from one product to the next.
    n_row = len(a)
    zero = ir.Constant(VECTOR, [0.0] * LANES)

    def vectors(place):
        return [builder.gep(place, [INT(v * LANES)], source_etype=FLOAT) for v in range(n_vector)]

    places = [vectors(row) for row in out]
    starts = [[read(builder, p, VECTOR) if adding else zero for p in row] for row in places]
    before = builder.block
    loop = builder.append_basic_block("product")
    after = builder.append_basic_block("product.done")
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(INT)
    step.add_incoming(INT(0), before)
    sums = [[builder.phi(VECTOR) for _ in range(n_vector)] for _ in range(n_row)]
    panel = builder.gep(weights, [builder.mul(step, weights_step)], source_etype=FLOAT)
    where = builder.mul(step, a_next)

    @cache
    def factor(r):
        place = builder.gep(a[r], [where], source_etype=FLOAT)
        return repeat(builder, read(builder, place, FLOAT))

    @cache
    def column(v):
        return read(builder, vectors(panel)[v], VECTOR)

    tile = [(r, v) for v in range(n_vector) for r in range(n_row)]
    if n_vector < n_row:  # keep all of the fewer columns in registers, and one row at a time
        tile.sort()
    for r, v in tile:
        summed = call(builder, "fmuladd", factor(r), column(v), sums[r][v])
        sums[r][v].add_incoming(starts[r][v], before)
        sums[r][v].add_incoming(summed, loop)
        sums[r][v] = summed
    following = builder.add(step, INT(1))
    step.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, n), loop, after)
    builder.position_at_end(after)
    for r in range(n_row):
        for v in range(n_vector):
            place = builder.bitcast(places[r][v], VECTOR.as_pointer())
            builder.store(sums[r][v], place, align=4)


def _rows(context, builder, kind, array, at, step, n, what, n_row=ROWS):
    # Pointers to rows of n numbers with stride `step`.
    starts = [builder.add(at, builder.mul(step, INT(r))) for r in range(n_row)]
    return [pointer(context, builder, kind, array, start, n, what) for start in starts]


@intrinsic
def product(typing, a, a_at, n, weights, weights_at, out, out_at, out_step):
    """out (ROWS, COLUMNS) = a (ROWS, n) times weights (n, COLUMNS).

    The rows of `a` are contiguous, starting at a_at; row r of `out` starts at out_at + r out_step.
    """

    def make(context, builder, signature, arguments):
        a, a_at, n, weights, weights_at, out, out_at, out_step = arguments
        of_a, _, _, of_weights, _, of_out, _, _ = signature.args
        n_weight = builder.mul(n, INT(COLUMNS))
        rows = _rows(context, builder, of_a, a, a_at, n, n, "product, a")
        panel = pointer(context, builder, of_weights, weights, weights_at, n_weight, "product, weights")  # fmt: skip
        places = _rows(context, builder, of_out, out, out_at, out_step, INT(COLUMNS), "product, out")  # fmt: skip
        _tile(builder, rows, INT(1), n, panel, INT(COLUMNS), places, False)
        return context.get_dummy_value()

    index = types.intp
    return types.none(a, index, index, weights, index, out, index, index), make


@intrinsic
def add_outer(typing, a, a_at, a_step, n, b, b_at, b_step, out, out_at):
    """out (ROWS, COLUMNS) += a^T b for a (n, ROWS) and b (n, COLUMNS).

    Row k of `a` starts at a_at + k a_step and row k of `b` at b_at + k b_step; the rows of `out` are
    contiguous, starting at out_at.
    """

    def make(context, builder, signature, arguments):
        a, a_at, a_step, n, b, b_at, b_step, out, out_at = arguments
        of_a, _, _, _, of_b, _, _, of_out, _ = signature.args
        before = builder.sub(n, INT(1))  # outer products before the last one
        n_a = builder.add(builder.mul(before, a_step), INT(1))
        n_b = builder.add(builder.mul(before, b_step), INT(COLUMNS))
        width = INT(COLUMNS)
        columns = _rows(context, builder, of_a, a, a_at, INT(1), n_a, "add_outer, a")
        panel = pointer(context, builder, of_b, b, b_at, n_b, "add_outer, b")
        places = _rows(context, builder, of_out, out, out_at, width, width, "add_outer, out")
        _tile(builder, columns, a_step, n, panel, b_step, places, True)
        return context.get_dummy_value()

    index = types.intp
    return types.none(a, index, index, index, b, index, index, out, index), make


@intrinsic
def add_product(typing, a, a_at, n, weights, weights_at, out, out_at):
    """out (PIXELS, LANES) += a (PIXELS, n) times weights (n, LANES), all contiguous from their places."""

    def make(context, builder, signature, arguments):
        a, a_at, n, weights, weights_at, out, out_at = arguments
        of_a, _, _, of_weights, _, of_out, _ = signature.args
        width = INT(LANES)
        rows = _rows(context, builder, of_a, a, a_at, n, n, "add_product, a", PIXELS)
        n_weight = builder.mul(n, width)
        panel = pointer(context, builder, of_weights, weights, weights_at, n_weight, "add_product, weights")  # fmt: skip
        places = _rows(context, builder, of_out, out, out_at, width, width, "add_product, out", PIXELS)  # fmt: skip
        _tile(builder, rows, INT(1), n, panel, width, places, True, 1)
        return context.get_dummy_value()

    index = types.intp
    return types.none(a, index, index, weights, index, out, index), make


@inlined
def whole_rows(n_row):
    """The number of rows that `multiply` reads and writes for n_row rows."""
    return (n_row + ROWS - 1) // ROWS * ROWS


@inlined
def multiply(x, x_at, n_row, weight, out, out_at):
    """out (n_row, n COLUMNS) = x (n_row, K) times a matrix in panels (n, K, COLUMNS).

    As many rows as `whole_rows` says are read and written.
    """
    n_panel, n_in = weight.shape[:2]
    wide = n_panel * COLUMNS
    for panel in range(n_panel):
        for row in range(0, n_row, ROWS):
            at = out_at + row * wide + panel * COLUMNS
            product(x, x_at + row * n_in, n_in, weight, panel * n_in * COLUMNS, out, at, wide)


@inlined
def accumulate(a, a_at, n_row, b, b_at, out):
    """out += a^T b for a (n_row, K) and b (n_row, n COLUMNS); out is in panels (n, K, COLUMNS)."""
    n_panel, depth = out.shape[:2]
    for panel in range(n_panel):
        for c in range(0, depth, ROWS):
            b_from, at = b_at + panel * COLUMNS, (panel * depth + c) * COLUMNS
            add_outer(a, a_at + c, depth, n_row, b, b_from, n_panel * COLUMNS, out, at)
