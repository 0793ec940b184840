"""A pool of large arrays, reused from tile to tile."""

import math
from sys import getrefcount

import numpy as np

from ginr.array_types import Floats


class Buffers:
    """Arrays that are reused once nothing else refers to them.

    Allocating new ones takes a tenth of a tile's time, since the system zeroes their memory.
    """

    def __init__(self) -> None:
        self._arrays: list[Floats] = []

    @property
    def n_byte(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays)

    def borrow(self, *shape: int) -> Floats:
        """An array of this shape with arbitrary contents."""
        n, fitting, small, held = math.prod(shape), list[Floats](), list[Floats](), list[Floats]()
        while self._arrays:  # removed from the list, so that no other thread finds them
            only = [self._arrays.pop()]
            if _references(only) > _UNUSED:  # views count as well
                held += only
            else:
                (fitting if len(only[0]) >= n else small).append(only[0])
        if fitting:
            fitting.sort(key=len)
        else:
            small.clear()  # free memory for the new one
            fitting.append(np.empty(n, np.float32))
        taken = fitting[0][:n].reshape(shape)
        self._arrays += fitting + small + held
        return taken


def _references(only: list[Floats]) -> int:
    """The number of references to a list's only array; `_UNUSED` if nothing else refers to it."""
    return getrefcount(only[0])


_UNUSED = _references([np.empty(1, np.float32)])
