"""LLVM instructions for operations on vectors, with optional bounds checks.

Plain indexing is checked by numba under the same setting (`boundscheck` in `compile`).
"""

import sys
from pathlib import Path

from llvmlite import ir
from numba import types
from numba.core.cgutils import if_unlikely
from numba.core.lowering import BaseLower

from ginr.kernels.sizes import LANES
from ginr.kernels.target import CHECKED

FLOAT = ir.FloatType()
INT = ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
WHOLE = ir.VectorType(ir.IntType(32), LANES)
FAST = ("fast",)


class AccessError(IndexError):
    """An access outside an array, in a kernel compiled with GINR_CHECK_KERNELS=1."""

    def __init__(self, access: str, at: int, size: int) -> None:
        super().__init__(f"{access}: index {at} of an array of {size} numbers")


def pointer(context, builder, kind, array, at, n, what):
    """A pointer to n elements of an array, starting at `at`; `what` names the access in errors."""
    assert kind.dtype == types.float32 and kind.layout == "C"
    array = context.make_array(kind)(context, builder, array)
    if CHECKED:
        last = builder.sub(builder.add(at, n), INT(1))
        for index in (at, last):
            with if_unlikely(builder, builder.icmp_unsigned(">=", index, array.nitems)):
                context.call_conv.return_dynamic_user_exc(
                    builder, AccessError, (f"{what} at {_line()}", index, array.nitems),
                    (types.intp, types.intp),
                )  # fmt: skip
    return builder.gep(array.data, [at], source_etype=FLOAT)


def read(builder, place, kind):
    """Load a FLOAT or VECTOR from a pointer to a number."""
    value = builder.load(builder.bitcast(place, kind.as_pointer()), typ=kind)
    value.align = 4
    return value


def repeat(builder, number):
    """A vector of LANES copies of a number."""
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))  # fmt: skip
    return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), ir.Constant(WHOLE, [0] * LANES))  # fmt: skip


def call(builder, name, *vectors):
    """Call the LLVM intrinsic `name` on vectors."""
    name = f"llvm.{name}.v{LANES}f32"
    kind = ir.FunctionType(VECTOR, [VECTOR] * len(vectors))
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, vectors, fastmath=FAST)


def _line() -> str:
    # The source line and function that the compiler is working on.
    frame = sys._getframe()
    while not isinstance(lower := frame.f_locals.get("self"), BaseLower):
        assert frame.f_back is not None
        frame = frame.f_back
    name = lower.func_ir.func_id.func_name
    return f"{Path(lower.loc.filename).name}:{lower.loc.line} ({name})"
