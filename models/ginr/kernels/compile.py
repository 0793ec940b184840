"""Compiles the fused CPU loops, caches them on disk, and runs them in several threads.

A kernel is a function of `claim` and its arrays that processes tasks until none are left. Several
threads run it at once, and `claim_next` hands each task to one of them: a thread that is descheduled
delays its own task only, and results do not depend on the number of threads.
"""

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ginr.kernels.cache import KernelCache
from ginr.kernels.target import CHECKED
from ginr.kernels.threads import thread_count, together

_OPTIONS = {"boundscheck": CHECKED}


class Kernel:
    """A compiled function, run by `thread_count` threads."""

    def __init__(self, function: Callable[..., None]) -> None:
        # error_model numpy: NaN and inf are valid results that the training loop checks for.
        compiler = njit(
            **_OPTIONS, fastmath=True, nogil=True, error_model="numpy", no_cfunc_wrapper=True
        )
        self.compiled: Any = compiler(function)
        self.compiled._cache = KernelCache(function)

    def __call__(self, *arguments: Any) -> None:
        """Process all tasks."""
        n = 1 if CHECKED else thread_count()  # another thread would lose the error message
        # Compile in this thread, where a signal can interrupt it; if there are more threads, this
        # first call starts past the last task and does nothing else.
        with _reraising_interrupts(), _without_collection():
            self.compiled(np.full(1, _NO_TASK if n > 1 else 0), *arguments)
        if n > 1:
            together(partial(self.compiled, np.zeros(1, np.int64), *arguments), n)


inlined: Any = partial(
    njit, **_OPTIONS, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""Decorator of functions called by kernels; they must be inlined.

Otherwise the process that compiles a kernel would call a separately optimized copy of the function, and
one that loads the kernel from the cache the copy optimized with it: the two round differently.
"""


def fused(function: Callable[..., None]) -> Kernel:
    """Decorator that makes `function(claim, ...)` a kernel, compiled or loaded on its first call."""
    return Kernel(function)


@contextmanager
def _reraising_interrupts() -> Iterator[None]:
    """Re-raises at the end of the block what a signal handler raised in a callback from C.

    LLVM calls back into Python for compiled objects; an exception there would be printed and lost.
    """
    if threading.current_thread() is not threading.main_thread():  # signal handlers never run here
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


@contextmanager
def _without_collection() -> Iterator[None]:
    """Suspends garbage collection: it takes a twentieth of the time of compiling, and finds nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_NO_TASK = 2**62  # more than the number of tasks of any kernel


@intrinsic
def claim_next(typing: Any, claim: Any) -> Any:
    """Atomically take the next task number, counting from 0."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(claim), make
