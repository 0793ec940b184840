"""How the fused CPU loops are compiled, kept on disk for the next run, and shared out to threads.

A kernel is a function of `claim` and its arrays that works on one task after another until none is
left; several threads run it at once, and `claim_next` gives each task to one of them. So a thread that
the system holds up delays its own task only, and every kernel answers the same for any number.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import config
from numba.extending import intrinsic

from ginr.kernels.cache import cache_place
from ginr.kernels.target import CHECKED
from ginr.kernels.threads import thread_count, together

_OPTIONS = {"boundscheck": CHECKED}


class Kernel:
    """A compiled function, run by `thread_count` threads."""

    def __init__(self, function: Callable[..., None]) -> None:
        # NaN and inf are valid results, of a division by zero too: the training loop looks at them.
        options = {
            **_OPTIONS,
            "fastmath": True,
            "nogil": True,
            "error_model": "numpy",
            "no_cfunc_wrapper": True,
        }
        kept, config.CACHE_DIR = config.CACHE_DIR, cache_place()
        try:
            self.compiled: Any = njit(**options, cache=True)(function)
        except RuntimeError:  # numba found nowhere to keep compiled code
            self.compiled = njit(**options)(function)
        finally:
            config.CACHE_DIR = kept

    @property
    def folder(self) -> str | None:
        """Where it is kept on disk, None if nowhere."""
        path: str | None = self.compiled.stats.cache_path
        return path

    def __call__(self, *arguments: Any) -> None:
        """Returns when no task is left."""
        n = 1 if CHECKED else thread_count()  # an error in another thread would lose its words
        # Compiled here, where a signal can end it: of several threads this call finds no task left.
        with _reraising_interrupts():
            self.compiled(np.full(1, _NO_TASK if n > 1 else 0), *arguments)
        if n > 1:
            together(partial(self.compiled, np.zeros(1, np.int64), *arguments), n)


inlined: Any = partial(
    njit, **_OPTIONS, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""Decorator of what kernels are made of.

Left as a call it would have two copies that differ in rounding, its own and the one optimized with the
kernel. A process that compiles runs the first and one that takes the kernel from the disk the second.
"""


def fused(function: Callable[..., None]) -> Kernel:
    """Compile `function(claim, ...)` on its first call, or take it from the disk."""
    return Kernel(function)


@contextmanager
def _reraising_interrupts() -> Iterator[None]:
    """Raises at its end what a signal's handler raised in the block where C lets nothing through.

    LLVM calls Python back for what it has compiled, and an exception from there would be printed and lost.
    """
    if threading.current_thread() is not threading.main_thread():  # no handler runs here
        yield
        return
    lost: list[BaseException] = []
    usual = sys.unraisablehook

    def note(problem: "sys.UnraisableHookArgs") -> None:
        if isinstance(problem.exc_value, KeyboardInterrupt | SystemExit):
            lost.append(problem.exc_value)
        else:
            usual(problem)

    sys.unraisablehook = note
    try:
        yield
    finally:
        sys.unraisablehook = usual
        if lost:
            raise lost[0]


_NO_TASK = 2**62  # more than any kernel has


@intrinsic
def claim_next(typing: Any, claim: Any) -> Any:
    """The number of the next task, from 0 on, never given twice."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(claim), make
