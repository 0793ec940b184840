"""How the fused CPU loops are compiled, kept on disk for the next run, and shared out to threads.

A kernel is a function of `claim` and its arrays that works on one task after another until none is
left; several threads run it at once, and `take` gives each task to one of them. So a thread that
the system holds up delays its own task only, and every kernel answers the same for any number.
"""

import ctypes
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from hashlib import sha256
from itertools import starmap
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import config
from numba.extending import intrinsic

from ginr.threads import thread_count


class Kernel:
    """A compiled function, run by `thread_count` threads."""

    def __init__(self, function: Callable[..., None]) -> None:
        # Numbers that are none, and division by zero, are answers: the training loop looks at them.
        options = {"fastmath": True, "nogil": True, "error_model": "numpy"}
        kept, config.CACHE_DIR = config.CACHE_DIR, _place()
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
        n = thread_count()
        # Compiled here, where a signal can end it: of several threads this call finds no task left.
        with _heard():
            self.compiled(np.full(1, _NO_TASK if n > 1 else 0), *arguments)
        if n > 1:
            _together(partial(self.compiled, np.zeros(1, np.int64), *arguments), n)


inlined: Any = partial(njit, forceinline=True)
"""Decorator of what kernels are made of.

Left as a call it would have two copies that differ in rounding, its own and the one optimized with the
kernel. A process that compiles runs the first and one that takes the kernel from the disk the second.
"""


def fused(function: Callable[..., None]) -> Kernel:
    """Compile `function(claim, ...)` on its first call, or take it from the disk."""
    return Kernel(function)


@contextmanager
def _heard() -> Iterator[None]:
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


def _together(work: Callable[[], None], n: int) -> None:
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


_NO_TASK = 2**62  # more than any kernel has
_CALLBACK = ctypes.CFUNCTYPE(None)  # it is given the data too, which nobody reads
_PROCESS = os.getpid()


@intrinsic  # type: ignore[untyped-decorator]
def take(typing: Any, claim: Any) -> Any:
    """The number of the next task, from 0 on, never given twice."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(claim), make


def compiles() -> str:
    """How often kernels are compiled, which takes half a minute; empty if they are on the disk."""
    place = _place()
    if not place:
        return "each time, with no folder to keep it in"
    return "" if any(Path(place).rglob("*_numba.*.nbi")) else "the first time only"


def _place() -> str:
    return config.CACHE_DIR or str(_folder() or "")


@cache
def _folder() -> Path | None:
    """Where compiled loops are kept, None if nowhere is ours.

    Numba compiles a kernel anew when its own file has changed; what kernels are made of, each other's
    files, has its part in the folder's name.
    """
    here = Path(__file__)
    sources = [here, here.with_name("limits.py"), *sorted(here.parent.glob("*_numba.py"))]
    name = sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    for parent in (_user_cache(), _private_temporary()):
        if parent is not None:
            folder = parent / "ginr" / "numba" / name[:16]
            try:
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError:
                continue
            return folder
    return None


def _user_cache() -> Path | None:
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no home
        return None


def _private_temporary() -> Path | None:
    """A folder under the temporary one that nobody else can write to: what is in it will be run."""
    if os.name != "posix":
        return None
    folder = Path(tempfile.gettempdir(), f"ginr-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return folder if own and not found.st_mode & 0o077 else None
