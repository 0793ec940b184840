"""The field of the network without torch: LP features, the lattice decoder, renders on NumPy arrays.

Letters: B layers, h' w' LPs, h w codes, D width, J waves, F = 1 + 2 J numbers per code and colour.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ginr.array_types import Floats
from ginr.geometry.coords import Cell, render_grid
from ginr.geometry.size import Box
from ginr.kernels.grid_tables import Grid, grid_tables, whole_lanes
from ginr.kernels.packing import LinearWeights
from ginr.pictures.samples import Samples


@dataclass(frozen=True)
class CpuDecoder:
    """The lattice decoder (`ginr.network.lattice_decoder`)."""

    min_cell: float
    """The smallest footprint of training, in LR pixels."""
    pitch: float
    """LR pixels between codes."""
    waves: Floats
    """(J, 2)."""
    head: LinearWeights
    """The map from features to codes."""
    footprint: Mapping[str, Floats]
    """Weights of the learned correction of the gain."""

    def gain(self, cell: Cell) -> Floats:
        """What a footprint in LR pixels leaves of the mean and of each wave, (1 + J,)."""
        size = np.maximum(np.array(cell, np.float32), np.float32(self.min_cell))
        left = np.sinc(size * self.waves / np.float32(2 * math.pi)).prod(-1)
        x = 4 * np.minimum(size, np.float32(1)) - 2
        weights = self.footprint
        x = weights["0.weight"] @ x + weights["0.bias"]
        x = x * np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x], np.float32)  # GELU
        correction = weights["2.weight"] @ x + weights["2.bias"]
        gain: Floats = np.concatenate([np.ones(1, np.float32), left]) * (1 + correction)
        return gain


@dataclass(frozen=True)
class CpuField:
    """A picture as LP features and the decoder that reads them, as `ginr.network.field.Field`."""

    features: Floats
    """LP features (B, h', w', D)."""
    base: Floats | None
    """The LR pixels (B, 3, h, w) below the field, if any."""
    size: tuple[int, int]
    """H, W: the LR pixels that the coordinates [-1, 1] span."""
    origin: tuple[int, int]
    """The pixel of the H x W at which the encoded part starts."""
    decoder: CpuDecoder
    can_render_samples: ClassVar[bool] = True

    @cached_property
    def codes(self) -> Floats:
        """(B, h, w, 3, F), worked out once."""
        return self._codes(0, self.features.shape[1])

    @cached_property
    def limits(self) -> Floats | None:
        """What keeps flat ground flat (`ginr.architecture.limits`), (B, 8, H, W); worked out once."""
        if self.base is None:
            return None
        found: Floats = import_module("ginr.kernels.limits").find_limits(
            np.ascontiguousarray(self.base)
        )
        return found

    def _codes(self, first: int, last: int) -> Floats:
        """Rows `first` to `last` - 1 of the codes."""
        if "codes" in vars(self):
            return self.codes[:, first:last]
        features = np.ascontiguousarray(self.features[:, first:last])
        codes = np.empty((*features.shape[:3], len(self.decoder.head.bias)), np.float32)
        rows = [v.reshape(-1, v.shape[-1]) for v in (features, codes)]
        import_module("ginr.kernels.linear").map_rows(rows[0], self.decoder.head, rows[1])
        return codes.reshape(*features.shape[:3], 3, -1)

    def render_samples(self, size: tuple[int, int], box: Box, out: Samples) -> None:
        """As `Field.render_samples`."""
        peak = np.float32(np.iinfo(out.dtype).max)
        import_module("ginr.kernels.render").render_samples(*self._tables(size, box), peak, out)

    def fetch(
        self, size: tuple[int, int], box: Box, depth: int | None = None
    ) -> Callable[[], NDArray[Any]]:
        """As `Field.fetch`; all is done when called for."""
        height, width = box[2] - box[0], box[3] - box[1]
        if depth is not None:
            kind = np.uint8 if depth == 8 else np.uint16
            samples = np.empty((height, width, 3), kind)

            def finished() -> NDArray[Any]:
                self.render_samples(size, box, samples)
                return samples

            return finished

        def rendered() -> NDArray[Any]:
            out = np.empty((len(self.features), 3, height, width), np.float32)
            import_module("ginr.kernels.render").render_lattice(*self._tables(size, box), out)
            return out

        return rendered

    def _tables(self, size: tuple[int, int], box: Box) -> tuple[Floats, Grid]:
        rows, columns, cell = render_grid(size, box, self.size, self.origin)
        shape, decoder = self.features.shape[:3], self.decoder
        factors = decoder.pitch, decoder.waves, decoder.gain(cell)
        grid = grid_tables(shape, self.base, self.limits, rows, columns, *factors)
        # The codes are the largest array by far: a strip makes those that it reads.
        y = grid.y
        first, last = int(y.code.min()), int(y.code.max()) + 1
        codes = self.codes if last - first == shape[1] else self._codes(first, last)
        grid = grid._replace(y=y._replace(code=y.code - first))
        return np.ascontiguousarray(whole_lanes(codes, 2, 1)), grid
