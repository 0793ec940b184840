"""Runs kernels in several threads: as many as torch uses if it is loaded, else one per core."""

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from itertools import starmap
from queue import SimpleQueue
from typing import Any, TypeAlias


def thread_count() -> int:
    """The number of threads a kernel runs in."""
    torch = sys.modules.get("torch")
    if torch is not None:
        n: int = torch.get_num_threads()
        return n
    return _core_count()


def limit_threads(n: int) -> None:
    """Make kernels and torch use n threads from now on."""
    os.environ["OMP_NUM_THREADS"] = str(n)
    _core_count.cache_clear()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n)


@cache
def _core_count() -> int:
    """OMP_NUM_THREADS, parsed as torch does, or the number of cores available to this process."""
    setting = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if setting.isdecimal() and int(setting):
        return int(setting)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def together(work: Callable[[], None], n: int) -> None:
    """Call `work` in this thread and n - 1 >= 1 others, and wait for all of them.

    If torch uses GCC's OpenMP, so does this function: OpenMP threads spin for milliseconds after each
    operation of torch, and would keep the cores from other threads.
    """
    parallel = _openmp() if "torch" in sys.modules and os.getpid() == _PROCESS else None
    if parallel is not None:
        # C drops Python exceptions. So the callback is implemented in C, where no signal handler can
        # run, and Ctrl+C takes effect once all threads have returned. OpenMP may start fewer threads
        # than requested.
        calls: list[tuple[()]] = [()] * n
        finished: list[None] = []
        call = map(finished.append, starmap(work, iter(calls.pop, None)))
        parallel(_CALLBACK(call.__next__), None, n, 0)
        if not len(finished) == n - len(calls) > 0:
            raise MemoryError("a kernel failed in one of its threads")
        return
    tasks, results = _workers(os.getpid(), n - 1), SimpleQueue[BaseException | None]()
    n_started = 0  # incremented after put: if a signal handler raises, no missing result is awaited
    try:
        for _ in range(n - 1):
            tasks.put((work, results))
            n_started += 1
        work()
    finally:
        # Wait for all, since the threads use the caller's arrays.
        problems = [results.get() for _ in range(n_started)]
        for problem in problems:
            if problem is not None:
                raise problem


_Results: TypeAlias = "SimpleQueue[BaseException | None]"
_Tasks: TypeAlias = "SimpleQueue[tuple[Callable[[], None], _Results]]"


@cache
def _workers(process: int, n: int) -> _Tasks:
    """The task queue of n worker threads, one queue per process: a fork inherits no threads.

    Not a ThreadPoolExecutor: its locks are taken by Python code, and a signal handler that raises there
    leaves one locked, which is a deadlock. A SimpleQueue takes its locks in C.
    """
    tasks: _Tasks = SimpleQueue()
    for _ in range(n):
        threading.Thread(target=_serve, args=(tasks,), name="ginr-kernel", daemon=True).start()
    return tasks


def _serve(tasks: _Tasks) -> None:
    while True:
        work, results = tasks.get()
        problem: BaseException | None = None
        try:
            work()
        except BaseException as error:
            problem = error
        results.put(problem)
        del work, results, problem  # free them while waiting for the next task


@cache
def _openmp() -> Any:
    """GCC's `GOMP_parallel(function, data, n_thread, flags)` in a process with torch, None without it."""
    if os.name != "posix":
        return None
    parallel = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    if parallel is not None:
        parallel.argtypes = (_CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
    return parallel


_CALLBACK = ctypes.CFUNCTYPE(None)  # ignores its argument, the data
_PROCESS = os.getpid()  # OpenMP must not be used in a fork of it
