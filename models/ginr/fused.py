"""How the fused CPU loops are compiled: in parallel, vectorised, kept on disk for the next run."""

from collections.abc import Callable
from typing import Any

from numba import njit


def fused(function: Callable[..., None]) -> Any:
    """Compile a loop over `prange`; without a writable cache folder, anew in every process."""
    try:
        return njit(parallel=True, fastmath=True, cache=True)(function)
    except RuntimeError:  # numba found nowhere to keep compiled code
        return njit(parallel=True, fastmath=True)(function)
