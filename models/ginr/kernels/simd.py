"""SIMD vectors of LANES floats as numba values.

LLVM vectorises a loop only if it can prove that arrays do not overlap and lengths fit; explicit vectors
need no proof. LLVM splits them on processors with narrower registers. Arrays are float32 and
C-contiguous; `at` is an index into the flattened array.
"""

import operator

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from ginr.kernels.compile import inlined
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
    """The LANES numbers starting at `at`."""

    def make(context, builder, signature, arguments):
        array, at = arguments
        place = pointer(context, builder, signature.args[0], array, at, INT(LANES), "load")
        return read(builder, place, VECTOR)

    return vector(array, types.intp), make


@intrinsic
def store(typing, array, at, value):
    """Write a vector starting at `at`."""

    def make(context, builder, signature, arguments):
        array, at, value = arguments
        place = pointer(context, builder, signature.args[0], array, at, INT(LANES), "store")
        builder.store(value, builder.bitcast(place, VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.none(array, types.intp, vector), make


@inlined
def load_four(x, at, step):
    """Four vectors, `step` numbers apart."""
    return load(x, at), load(x, at + step), load(x, at + 2 * step), load(x, at + 3 * step)


@inlined
def store_all(values, out, at, step):
    """Write a tuple of vectors, `step` numbers apart."""
    for k, value in enumerate(values):
        store(out, at + k * step, value)


@intrinsic
def broadcast(typing, number):
    """A vector of LANES copies of a float32."""
    if number != types.float32:
        return None

    def make(context, builder, signature, arguments):
        return repeat(builder, arguments[0])

    return vector(types.float32), make


def _calling(name):
    def make(context, builder, signature, arguments):
        return call(builder, name, *arguments)

    return make


@intrinsic
def fma(typing, a, b, c):
    """a b + c."""
    return vector(vector, vector, vector), _calling("fmuladd")


@intrinsic
def smaller(typing, a, b):
    """Elementwise minimum."""
    return vector(vector, vector), _calling("minnum")


@intrinsic
def larger(typing, a, b):
    """Elementwise maximum."""
    return vector(vector, vector), _calling("maxnum")


@intrinsic
def nearest(typing, value):
    """Elementwise rounding to the nearest integer."""
    return vector(vector), _calling("rint")


@intrinsic
def total(typing, value):
    """The sum of a vector's numbers."""

    def make(context, builder, signature, arguments):
        (value,) = arguments
        half = LANES // 2
        while half:
            index = [*range(half, 2 * half), *([0] * (LANES - half))]
            shifted = builder.shuffle_vector(value, value, ir.Constant(WHOLE, index))
            value = builder.fadd(value, shifted, flags=FAST)
            half //= 2
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float32(vector), make


@intrinsic
def totals(typing, v0, v1, v2, v3, v4, v5, v6, v7):
    """The sums of 8 vectors, each as two partial sums: v0 in lanes 0 and 1, v1 in lanes 2 and 3, ...

    Takes a third of the additions of 8 calls of `total`.
    """

    def make(context, builder, signature, arguments):
        vectors, span = list(arguments), LANES
        while len(vectors) > 1:
            # Each vector holds LANES / span sums of `span` partial sums; combine vectors in pairs and
            # halve the number of partial sums.
            half = span // 2
            starts = [base + k for base in (0, LANES) for k in range(0, LANES, span)]
            low = [k + lane for k in starts for lane in range(half)]
            masks = [ir.Constant(WHOLE, [lane + part for lane in low]) for part in (0, half)]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            halves = [[builder.shuffle_vector(*pair, mask) for mask in masks] for pair in pairs]
            vectors = [builder.fadd(*both, flags=FAST) for both in halves]
            span = half
        return vectors[0]

    return vector(*[vector] * 8), make


@intrinsic
def power(typing, value):
    """2^value for integers from -126 to 127."""

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
