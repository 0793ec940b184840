"""Grain: numbers at random for every LP of a picture, which depend on nothing but where it stands.

A network that invents texture needs something to vary it by: from equal pixels it would make equal
texture, again and again. The same place of a picture has the same grain in every tile and every run.

Letters: G numbers per LP, D width.
"""

from ginr.array_api import Array, as_type, namespace

_BITS = (1 << 32) - 1
_STEP, _ROW, _COLUMN = 0x9E3779B9, 73856093, 19349663


def grain_at(rows: Array, columns: Array, n: int) -> Array:
    """rows (h,) and columns (w,) of LPs, int64 -> uniform in [-1, 1), float32 (h, w, n).

    By an integer hash of the place (the finalizer of MurmurHash3 with smaller factors, so that 64 bits
    suffice), equal in NumPy and torch to the last bit.
    """
    ops = namespace(rows)
    place = (rows * _ROW & _BITS)[:, None] ^ (columns * _COLUMN & _BITS)
    planes = []
    for k in range(n):
        x = place ^ (_STEP * (k + 1) & _BITS)
        for _ in range(2):
            x = (x ^ (x >> 16)) * 0x45D9F3B & _BITS
        x = x ^ (x >> 16)
        planes.append(as_type(x >> 8, "float32") / 2**23 - 1)  # 24 bits: exact
    return ops.stack(planes, -1)
