"""Sixteen floats as one value inside compiled loops, and the register-tiled product made of them.

LLVM vectorises a loop over channels when it can prove that nothing overlaps and that the length is
right; here the vectors are written out, so that it has nothing to prove. On processors with narrower
registers LLVM splits each value into several of them. Arrays are float32 and C-contiguous; `at` is
an index into all of an array's numbers, whatever its shape.
"""

import operator
from functools import cache

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from ginr.kernels.access import FLOAT, INT, pointer
from ginr.kernels.sizes import COLUMNS, LANES
from ginr.kernels.target import HAS_AVX512

ROWS = 8 if HAS_AVX512 else 2
"""Rows of a tile of `product`: its ROWS x 3 sums and a row of weights stay in registers."""

_VECTOR = ir.VectorType(FLOAT, LANES)
_WHOLE = ir.VectorType(ir.IntType(32), LANES)
_FAST = ("fast",)


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


def _load(builder, pointer, element):
    value = builder.load(pointer, typ=element)
    value.align = 4
    return value


def _spread(builder, number):
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))  # fmt: skip
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), mask)


def _call(builder, name, *arguments):
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments))
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, arguments, fastmath=_FAST)


@intrinsic
def load(typing, array, at):
    """The LANES numbers from `at` on."""

    def make(context, builder, signature, arguments):
        array, at = arguments
        place = pointer(context, builder, signature.args[0], array, at, INT(LANES), "load")
        return _load(builder, builder.bitcast(place, _VECTOR.as_pointer()), _VECTOR)

    return vector(array, types.intp), make


@intrinsic
def store(typing, array, at, value):
    """Write LANES numbers from `at` on."""

    def make(context, builder, signature, arguments):
        array, at, value = arguments
        place = pointer(context, builder, signature.args[0], array, at, INT(LANES), "store")
        builder.store(value, builder.bitcast(place, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.none(array, types.intp, vector), make


@intrinsic
def spread(typing, number):
    """One number, a float32, LANES times."""
    if number != types.float32:
        return None

    def make(context, builder, signature, arguments):
        return _spread(builder, arguments[0])

    return vector(types.float32), make


@intrinsic
def fma(typing, a, b, c):
    """a b + c."""

    def make(context, builder, signature, arguments):
        return _call(builder, f"llvm.fmuladd.v{LANES}f32", *arguments)

    return vector(vector, vector, vector), make


@intrinsic
def smaller(typing, a, b):
    """The smaller of each two."""

    def make(context, builder, signature, arguments):
        return _call(builder, f"llvm.minnum.v{LANES}f32", *arguments)

    return vector(vector, vector), make


@intrinsic
def larger(typing, a, b):
    """The larger of each two."""

    def make(context, builder, signature, arguments):
        return _call(builder, f"llvm.maxnum.v{LANES}f32", *arguments)

    return vector(vector, vector), make


@intrinsic
def total(typing, value):
    """The sum of the LANES numbers."""

    def make(context, builder, signature, arguments):
        (value,) = arguments
        half = LANES // 2
        while half:
            index = [*range(half, 2 * half), *([0] * (LANES - half))]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), index)
            value = builder.fadd(value, builder.shuffle_vector(value, value, mask), flags=_FAST)
            half //= 2
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float32(vector), make


@intrinsic
def totals(typing, v0, v1, v2, v3, v4, v5, v6, v7):
    """The sums of 8 vectors as one vector, each in two parts: of v0 in lanes 0 and 1, of v1 in 2...

    A third of the additions of `total` for each.
    """

    def make(context, builder, signature, arguments):
        vectors, span = list(arguments), LANES
        while len(vectors) > 1:
            # Each vector holds LANES / span sums of `span` parts: two become one, parts half as many.
            half = span // 2
            starts = [base + k for base in (0, LANES) for k in range(0, LANES, span)]
            low = [k + lane for k in starts for lane in range(half)]
            masks = [
                ir.Constant(ir.VectorType(ir.IntType(32), LANES), [lane + part for lane in low])
                for part in (0, half)
            ]
            vectors = [
                builder.fadd(
                    *(builder.shuffle_vector(one, two, mask) for mask in masks), flags=_FAST
                )
                for one, two in zip(vectors[::2], vectors[1::2], strict=True)
            ]
            span = half
        return vectors[0]

    return vector(*[vector] * 8), make


@intrinsic
def nearest(typing, value):
    """Each number rounded to a whole one."""

    def make(context, builder, signature, arguments):
        return _call(builder, f"llvm.rint.v{LANES}f32", *arguments)

    return vector(vector), make


@intrinsic
def power(typing, value):
    """2 to the power of each whole number from -126 to 127."""

    def make(context, builder, signature, arguments):
        whole = builder.fptosi(arguments[0], _WHOLE)
        raised = builder.add(whole, ir.Constant(_WHOLE, [127] * LANES))
        return builder.bitcast(builder.shl(raised, ir.Constant(_WHOLE, [23] * LANES)), _VECTOR)

    return vector(vector), make


def _binary(function, method):
    @intrinsic
    def compute(typing, a, b):
        def make(context, builder, signature, arguments):
            return getattr(builder, method)(*arguments, flags=_FAST)

        return vector(vector, vector), make

    @overload(function, inline="always")
    def _(a, b):
        if a is vector and b is vector:
            return lambda a, b: compute(a, b)
        return None


for _function, _method in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _binary(_function, _method)


def _product(context, builder, a, a_next, n, weights, weights_step, out, adding):
    """Sums over n steps of ROWS numbers of `a` times a row of COLUMNS weights, written to `out`.

    a, out: pointers to the first of each row; a_next, weights_step: how far the next step's are.
    """
    n_vector = COLUMNS // LANES
    zero = ir.Constant(_VECTOR, [0.0] * LANES)

    def vectors(pointer):
        places = (
            builder.gep(pointer, [INT(v * LANES)], source_etype=FLOAT) for v in range(n_vector)
        )
        return [builder.bitcast(place, _VECTOR.as_pointer()) for place in places]

    places = [vectors(row) for row in out]
    starts = [[_load(builder, p, _VECTOR) if adding else zero for p in row] for row in places]
    before = builder.block
    loop = builder.append_basic_block("product")
    after = builder.append_basic_block("product.done")
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(INT)
    step.add_incoming(INT(0), before)
    sums = [[builder.phi(_VECTOR) for _ in range(n_vector)] for _ in range(ROWS)]
    panel = builder.gep(weights, [builder.mul(step, weights_step)], source_etype=FLOAT)
    where = builder.mul(step, a_next)

    @cache
    def factor(r):
        number = _load(builder, builder.gep(a[r], [where], source_etype=FLOAT), FLOAT)
        return _spread(builder, number)

    @cache
    def column(v):
        return _load(builder, vectors(panel)[v], _VECTOR)

    tile = [(r, v) for v in range(n_vector) for r in range(ROWS)]
    if n_vector < ROWS:  # registers hold one row or column at a time, and all of the fewer others
        tile.sort()
    for r, v in tile:
        summed = _call(builder, f"llvm.fmuladd.v{LANES}f32", factor(r), column(v), sums[r][v])
        sums[r][v].add_incoming(starts[r][v], before)
        sums[r][v].add_incoming(summed, loop)
        sums[r][v] = summed
    following = builder.add(step, INT(1))
    step.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, n), loop, after)
    builder.position_at_end(after)
    for r in range(ROWS):
        for v in range(n_vector):
            builder.store(sums[r][v], places[r][v], align=4)


def _rows(context, builder, kind, array, at, step, n, what):
    starts = [builder.add(at, builder.mul(step, INT(r))) for r in range(ROWS)]
    return [pointer(context, builder, kind, array, start, n, what) for start in starts]


@intrinsic
def product(typing, a, a_at, a_step, n, weights, weights_at, out, out_at, out_step):
    """ROWS x COLUMNS numbers of `out`: rows of a, `n` numbers each, times weights (n, COLUMNS).

    Row r of `a` starts at a_at + r a_step, row r of `out` at out_at + r out_step.
    """

    def make(context, builder, signature, arguments):
        a, a_at, a_step, n, weights, weights_at, out, out_at, out_step = arguments
        kinds = signature.args
        rows = _rows(context, builder, kinds[0], a, a_at, a_step, n, "product, a")
        n_weight = builder.mul(n, INT(COLUMNS))
        panel = pointer(
            context, builder, kinds[4], weights, weights_at, n_weight, "product, weights"
        )
        places = _rows(
            context, builder, kinds[6], out, out_at, out_step, INT(COLUMNS), "product, out"
        )
        _product(context, builder, rows, INT(1), n, panel, INT(COLUMNS), places, False)
        return context.get_dummy_value()

    index = types.intp
    signature = types.none(a, index, index, index, weights, index, out, index, index)
    return signature, make


@intrinsic
def add_outer(typing, a, a_at, a_step, n, b, b_at, b_step, out, out_at, out_step):
    """ROWS x COLUMNS numbers of `out` plus the sum of n outer products, of a row of a and one of b.

    Row k of `a` is the ROWS numbers from a_at + k a_step on, of `b` the COLUMNS from b_at + k b_step;
    row r of `out` starts at out_at + r out_step.
    """

    def make(context, builder, signature, arguments):
        a, a_at, a_step, n, b, b_at, b_step, out, out_at, out_step = arguments
        kinds = signature.args
        before = builder.sub(n, INT(1))  # outer products before the last one
        n_a = builder.add(builder.mul(before, a_step), INT(1))
        columns = _rows(context, builder, kinds[0], a, a_at, INT(1), n_a, "add_outer, a")
        n_b = builder.add(builder.mul(before, b_step), INT(COLUMNS))
        panel = pointer(context, builder, kinds[4], b, b_at, n_b, "add_outer, b")
        places = _rows(
            context, builder, kinds[7], out, out_at, out_step, INT(COLUMNS), "add_outer, out"
        )
        _product(context, builder, columns, a_step, n, panel, b_step, places, True)
        return context.get_dummy_value()

    index = types.intp
    signature = types.none(a, index, index, index, b, index, index, out, index, index)
    return signature, make
