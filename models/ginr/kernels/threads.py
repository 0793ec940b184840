"""How many threads compute: torch's number where torch is loaded, the cores at hand where it is not."""

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
    """How many threads a kernel runs in: torch's number where torch is loaded, or one per core."""
    torch = sys.modules.get("torch")
    if torch is not None:
        n: int = torch.get_num_threads()
        return n
    return _core_count()


def limit_threads(n: int) -> None:
    """Have kernels run in n threads from now on, as well as what torch computes."""
    os.environ["OMP_NUM_THREADS"] = str(n)
    _core_count.cache_clear()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n)


@cache
def _core_count() -> int:
    """OMP_NUM_THREADS, as torch has it, or the cores that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked):
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def together(work: Callable[[], None], n: int) -> None:
    """Call `work` in this thread and n - 1 others, at least one, and wait for all of them.

    The others are OpenMP's where torch has that of GCC: after each of its own operations they stay
    awake for milliseconds to take the next, and threads of ours would find no core free.
    """
    parallel = _openmp() if "torch" in sys.modules and os.getpid() == _PROCESS else None
    if parallel is not None:
        # Nothing that Python raises passes through C: it is dropped. So what is called is C itself,
        # where no signal's handler can run, and Ctrl+C is answered as soon as all have returned.
        # The system may have OpenMP start fewer threads than it is asked for.
        calls: list[tuple[()]] = [()] * n
        finished: list[None] = []
        call = map(finished.append, starmap(work, iter(calls.pop, None)))
        parallel(_CALLBACK(call.__next__), None, n, 0)
        if not len(finished) == n - len(calls) > 0:
            raise MemoryError("a kernel did not come to its end")
        return
    asked, answers = _helpers(os.getpid(), n - 1), SimpleQueue[BaseException | None]()
    n_asked = (
        0  # counted late: a signal's handler may raise anywhere, and no answer is awaited in vain
    )
    try:
        for _ in range(n - 1):
            asked.put((work, answers))
            n_asked += 1
        work()
    finally:
        problems = [answers.get() for _ in range(n_asked)]  # the arrays are theirs too
        for problem in problems:
            if problem is not None:
                raise problem


_Answers: TypeAlias = "SimpleQueue[BaseException | None]"


_Asked: TypeAlias = "SimpleQueue[tuple[Callable[[], None], _Answers]]"


@cache
def _helpers(process: int, n: int) -> _Asked:
    """What n threads of this process take work from: a child has none of its parent's, nor OpenMP's.

    Not a ThreadPoolExecutor, whose locks are taken by Python code: a signal's handler that raises
    there leaves one locked, and everybody waits for ever. A SimpleQueue's are taken by C.
    """
    asked: _Asked = SimpleQueue()
    for _ in range(n):
        threading.Thread(target=_help, args=(asked,), name="ginr-kernel", daemon=True).start()
    return asked


def _help(asked: _Asked) -> None:
    while True:
        work, answers = asked.get()
        problem: BaseException | None = None
        try:
            work()
        except BaseException as error:
            problem = error
        answers.put(problem)
        del work, answers, problem  # or they would be kept until there is more to do


@cache
def _openmp() -> Any:
    """Of a process with torch, GCC's `GOMP_parallel(function, data, n_thread, flags)`, None where torch runs without it."""
    if os.name != "posix":
        return None
    parallel = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    if parallel is not None:
        parallel.argtypes = (_CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
    return parallel


_CALLBACK = ctypes.CFUNCTYPE(None)  # it is given the data too, which nobody reads


_PROCESS = os.getpid()
