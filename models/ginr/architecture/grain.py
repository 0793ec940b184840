"""Grain: random numbers for every LP of a picture, determined by its position alone.

A network that invents texture needs a source of variation: equal pixels would always get equal texture.
A position in a picture has the same grain in every tile and every run.

Letters: G numbers per LP, D width.
"""

import numpy as np

from ginr.array_api import Array, as_type, namespace

_BITS = (1 << 32) - 1
_ROW, _COLUMN, _NEXT, _FACTOR = 73856093, 19349663, 0x3779B97, 0x45D9F3B


def grain_at(rows: Array, columns: Array, n: int) -> Array:
    """rows (h,) and columns (w,) of LPs, int64 -> uniform in [-1, 1), float32 (h, w, n).

    Halves of integer hashes of the place (the finalizer of MurmurHash3 with smaller factors, so that
    products fit 64 bits), equal in NumPy and torch to the last bit.
    """
    ops = namespace(rows)
    place = (rows * _ROW)[:, None] ^ (columns * _COLUMN)
    place = place.astype(np.uint32) if ops is np else place & _BITS
    planes: list[Array] = []
    for k in range(0, n, 2):
        x = place ^ (_NEXT * (k + 1) & _BITS)
        for _ in range(2):
            x = (x ^ (x >> 16)) * _FACTOR & _BITS
        x = x ^ (x >> 16)
        planes += [x & 0xFFFF, x >> 16]
    return as_type(ops.stack(planes[:n], -1), "float32") / 2**15 - 1
