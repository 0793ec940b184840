"""How the fused CPU loops are compiled, kept on disk for the next run, and shared out to threads.

A kernel is a function of `claim` and its arrays that works on one task after another until none is
left; several threads run it at once, and `take` gives each task to one of them. So a thread that
the system holds up delays its own task only, and every kernel answers the same for any number.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.core import config
from numba.extending import intrinsic


class Kernel:
    """A compiled function, run by as many threads as torch is set to use."""

    def __init__(self, function: Callable[..., None]) -> None:
        # Numbers that are none, and division by zero, are answers: the training loop looks at them.
        options = {"fastmath": True, "nogil": True, "error_model": "numpy"}
        kept, config.CACHE_DIR = config.CACHE_DIR, config.CACHE_DIR or str(_folder() or "")
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
        claim = np.zeros(1, np.int64)
        n_helper = torch.get_num_threads() - 1
        helpers = [
            _threads(os.getpid(), n_helper).submit(self.compiled, claim, *arguments)
            for _ in range(n_helper)
        ]
        try:
            self.compiled(claim, *arguments)
        finally:  # the arrays are theirs too
            for helper in helpers:
                helper.result()


def fused(function: Callable[..., None]) -> Kernel:
    """Compile `function(claim, ...)` on its first call, or take it from the disk."""
    return Kernel(function)


@cache
def _threads(process: int, n: int) -> ThreadPoolExecutor:
    """Threads of this process: a child has none of its parent's."""
    return ThreadPoolExecutor(n, thread_name_prefix="ginr-kernel")


@intrinsic  # type: ignore[untyped-decorator]
def take(typing: Any, claim: Any) -> Any:
    """The number of the next task, from 0 on, never given twice."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(claim), make


def _folder() -> Path | None:
    """Where compiled loops are kept, None if nowhere is ours.

    Numba compiles a kernel anew when its own file has changed; what kernels are made of, each other's
    files, has its part in the folder's name.
    """
    sources = [Path(__file__), *sorted(Path(__file__).parent.glob("*_numba.py"))]
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
