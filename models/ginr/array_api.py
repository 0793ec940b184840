"""Helpers for functions that accept NumPy arrays and torch tensors.

Inference on the CPU uses arrays, so that torch need not be loaded; training uses tensors, and gradients
pass through the same lines.
"""

import sys
from typing import Any

import numpy as np

Array = Any  # a NumPy array or a tensor


def namespace(x: Array) -> Any:
    """The module whose functions accept x: numpy or torch."""
    return np if isinstance(x, np.ndarray | np.generic) else sys.modules["torch"]


def as_type(x: Array, name: str) -> Array:
    """x converted to the type `name`: float32, float64 or int64."""
    return x.astype(name) if namespace(x) is np else x.to(getattr(namespace(x), name))


def padded(x: Array, n: int) -> Array:
    """x (..., n') with zeros appended up to (..., n)."""
    short = n - x.shape[-1]
    if short == 0:
        return x
    if namespace(x) is np:
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, short)])
    return namespace(x).nn.functional.pad(x, (0, short))


def framed(x: Array, n: int) -> Array:
    """x (..., H, W) padded on every side with n copies of its outermost rows and columns."""
    if namespace(x) is np:
        return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(n, n)] * 2, "edge")
    return namespace(x).nn.functional.pad(x, (n, n, n, n), "replicate")


def mirrored(index: Array, n: int) -> Array:
    """Indices (...) into a line of n pixels that is mirrored at both ends, edge pixels repeated."""
    index = index % (2 * n)
    return namespace(index).minimum(index, 2 * n - 1 - index)
