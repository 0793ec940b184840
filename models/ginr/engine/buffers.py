"""Memory of large arrays, used again from tile to tile."""

import math
from sys import getrefcount

import numpy as np

from ginr.array_types import Floats


class Room:
    """Arrays that are used again when nothing else holds them any more.

    The system zeroes new ones first, which takes a tenth of the time of every tile.
    """

    def __init__(self) -> None:
        self._arrays: list[Floats] = []

    @property
    def n_byte(self) -> int:
        """What all of them take."""
        return sum(array.nbytes for array in self._arrays)

    def take(self, *shape: int) -> Floats:
        """An array of that shape with anything in it."""
        n, fitting, small, held = math.prod(shape), list[Floats](), list[Floats](), list[Floats]()
        while self._arrays:  # out of the list, so that no other thread finds them meanwhile
            only = [self._arrays.pop()]
            if _holders(only) > _NOBODY:  # views count, too
                held += only
            else:
                (fitting if len(only[0]) >= n else small).append(only[0])
        if fitting:
            fitting.sort(key=len)
        else:
            small.clear()  # room for the new one
            fitting.append(np.empty(n, np.float32))
        taken = fitting[0][:n].reshape(shape)
        self._arrays += fitting + small + held
        return taken


def _holders(only: list[Floats]) -> int:
    """References to the one array of a list, more by `_NOBODY` than those outside of it."""
    return getrefcount(only[0])


_NOBODY = _holders([np.empty(1, np.float32)])
