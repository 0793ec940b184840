"""How many threads compute: torch's number where torch is loaded, the cores at hand where it is not."""

import os
import sys
from functools import cache


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
