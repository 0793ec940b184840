"""The field on the CPU without torch, with LP features, codes and renders as NumPy arrays.

Letters: B batch, h' w' LPs, h w codes, D width, J waves, F = 1 + 2 J numbers per code and colour.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ginr.architecture.limits import find_limits
from ginr.array_types import Floats
from ginr.geometry.coords import Cell, render_grid
from ginr.geometry.size import Box
from ginr.kernels.consistency import SIDE, Finer, Shrinking, finer, measure_shrinking
from ginr.kernels.grid_tables import Grid, grid_tables, whole_lanes
from ginr.kernels.packing import LinearWeights
from ginr.pictures.samples import Samples


@dataclass(frozen=True)
class CpuDecoder:
    """The lattice decoder, see `ginr.network.lattice_decoder`."""

    min_cell: float  # the smallest footprint seen in training, in LR pixels
    pitch: float  # LR pixels between codes
    waves: Floats  # (J, 2)
    head: LinearWeights  # the map from features to codes
    footprint: Mapping[str, Floats]  # weights of the learned correction to the gain
    _shrinkings: dict[Finer, Shrinking] = field(default_factory=dict, init=False, repr=False)

    def gain(self, cell: Cell) -> Floats:
        """The factors (1 + J,) by which averaging over a footprint scales the mean and each wave."""
        size = np.maximum(np.array(cell, np.float32), np.float32(self.min_cell))
        left = np.sinc(size * self.waves / np.float32(2 * math.pi)).prod(-1)
        x = 4 * np.minimum(size, np.float32(1)) - 2
        weights = self.footprint
        x = weights["0.weight"] @ x + weights["0.bias"]
        x = x * np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x], np.float32)  # GELU
        correction = weights["2.weight"] @ x + weights["2.bias"]
        gain: Floats = np.concatenate([np.ones(1, np.float32), left]) * (1 + correction)
        return gain

    def corrected(self, base: Floats, limits: Floats, features: Floats, n: Finer) -> Floats:
        """See `ginr.kernels.correction`; base (B, 3, H, W), features (B, h', w', D)."""
        per_side = round(1 / self.pitch)
        if n not in self._shrinkings:

            def render(features: Floats, size: tuple[int, int]) -> Floats:
                alone = CpuField(features, None, (SIDE, SIDE), (0, 0), self)
                planes: Floats = alone.begin_render(size, (0, 0, *size))()
                return planes

            self._shrinkings[n] = measure_shrinking(render, features.shape[-1], per_side, n)
        correct = import_module("ginr.kernels.correction").correct
        right: Floats = correct(base, limits, features, self._shrinkings[n], per_side)
        return right


@dataclass(frozen=True)
class CpuField:
    """A picture as LP features and the decoder that evaluates them, see `ginr.network.field.Field`."""

    features: Floats  # (B, h', w', D)
    base: Floats | None  # LR pixels (B, 3, h, w) whose interpolation is added to the field
    size: tuple[int, int]  # H, W of the picture in LR pixels
    origin: tuple[int, int]  # position of the encoded part in the picture
    decoder: CpuDecoder
    consistent: bool = False  # whether results shrink back to the picture
    _bases: dict[Finer | None, Floats | None] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def codes(self) -> Floats:
        """(B, h, w, 3, F), computed on first use."""
        return self._codes(0, self.features.shape[1])

    @cached_property
    def limits(self) -> Floats | None:
        """Limits of field plus base (`ginr.architecture.limits`), (B, 8, h, w)."""
        return None if self.base is None else find_limits(self.base)

    def _base(self, cell: Cell) -> Floats | None:
        """What is added to the field at pixels of one footprint."""
        n = finer(cell) if self.consistent and self.base is not None else None
        if n not in self._bases:
            base = self.base
            if base is not None and self.limits is not None and n is not None:
                base = self.decoder.corrected(base, self.limits, self.features, n)
            self._bases[n] = base
        return self._bases[n]

    def _codes(self, first: int, last: int) -> Floats:
        """codes[:, first:last], without computing the other rows."""
        if "codes" in vars(self):
            return self.codes[:, first:last]
        features = np.ascontiguousarray(self.features[:, first:last])
        codes = np.empty((*features.shape[:3], len(self.decoder.head.bias)), np.float32)
        rows = [v.reshape(-1, v.shape[-1]) for v in (features, codes)]
        import_module("ginr.kernels.linear").map_rows(rows[0], self.decoder.head, rows[1])
        return codes.reshape(*features.shape[:3], 3, -1)

    def begin_render(
        self, size: tuple[int, int], box: Box, out: Samples | None = None
    ) -> Callable[[], NDArray[Any]]:
        """See `ginr.architecture.contract.EncodedField`; returns when the render is complete."""
        kernels, tables = import_module("ginr.kernels.render"), self._tables(size, box)
        if out is not None:
            kernels.render_samples(*tables, np.float32(np.iinfo(out.dtype).max), out)
            return lambda: out
        shape = len(self.features), 3, box[2] - box[0], box[3] - box[1]
        planes = np.empty(shape, np.float32)
        kernels.render_lattice(*tables, planes)
        return lambda: planes

    def _tables(self, size: tuple[int, int], box: Box) -> tuple[Floats, Grid]:
        rows, columns, cell = render_grid(size, box, self.size, self.origin)
        shape, decoder = self.features.shape[:3], self.decoder
        factors = decoder.pitch, decoder.waves, decoder.gain(cell)
        grid = grid_tables(shape, self._base(cell), self.limits, rows, columns, *factors)
        # The codes are the largest array by far: compute only those that a strip reads.
        y = grid.y
        first, last = int(y.code.min()), int(y.code.max()) + 1
        codes = self.codes if last - first == shape[1] else self._codes(first, last)
        grid = grid._replace(y=y._replace(code=y.code - first))
        return np.ascontiguousarray(whole_lanes(codes, 2, 1)), grid
