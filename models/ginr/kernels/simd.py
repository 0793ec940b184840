"""Sixteen floats as one value inside compiled loops.

LLVM vectorises a loop over channels when it can prove that nothing overlaps and that the length is
right; here the vectors are written out, so that it has nothing to prove. On processors with narrower
registers LLVM splits each value into several of them. Arrays are float32 and C-contiguous; `at` is
an index into all of an array's numbers, whatever its shape.
"""

import operator

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from ginr.kernels.instructions import FAST, INT, VECTOR, WHOLE, call, pointer, read, repeat
from ginr.kernels.sizes import LANES


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


@intrinsic
def load(typing, array, at):
    """The LANES numbers from `at` on."""

    def make(context, builder, signature, arguments):
        array, at = arguments
        place = pointer(context, builder, signature.args[0], array, at, INT(LANES), "load")
        return read(builder, place, VECTOR)

    return vector(array, types.intp), make


@intrinsic
def store(typing, array, at, value):
    """Write LANES numbers from `at` on."""

    def make(context, builder, signature, arguments):
        array, at, value = arguments
        place = pointer(context, builder, signature.args[0], array, at, INT(LANES), "store")
        builder.store(value, builder.bitcast(place, VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.none(array, types.intp, vector), make


@intrinsic
def broadcast(typing, number):
    """One number, a float32, LANES times."""
    if number != types.float32:
        return None

    def make(context, builder, signature, arguments):
        return repeat(builder, arguments[0])

    return vector(types.float32), make


@intrinsic
def fma(typing, a, b, c):
    """a b + c."""

    def make(context, builder, signature, arguments):
        return call(builder, "fmuladd", *arguments)

    return vector(vector, vector, vector), make


@intrinsic
def smaller(typing, a, b):
    """The smaller of each two."""

    def make(context, builder, signature, arguments):
        return call(builder, "minnum", *arguments)

    return vector(vector, vector), make


@intrinsic
def larger(typing, a, b):
    """The larger of each two."""

    def make(context, builder, signature, arguments):
        return call(builder, "maxnum", *arguments)

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
            value = builder.fadd(value, builder.shuffle_vector(value, value, mask), flags=FAST)
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
                    *(builder.shuffle_vector(one, two, mask) for mask in masks), flags=FAST
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
        return call(builder, "rint", *arguments)

    return vector(vector), make


@intrinsic
def power(typing, value):
    """2 to the power of each whole number from -126 to 127."""

    def make(context, builder, signature, arguments):
        whole = builder.fptosi(arguments[0], WHOLE)
        raised = builder.add(whole, ir.Constant(WHOLE, [127] * LANES))
        return builder.bitcast(builder.shl(raised, ir.Constant(WHOLE, [23] * LANES)), VECTOR)

    return vector(vector), make


def _binary(function, method):
    @intrinsic
    def compute(typing, a, b):
        def make(context, builder, signature, arguments):
            return getattr(builder, method)(*arguments, flags=FAST)

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
