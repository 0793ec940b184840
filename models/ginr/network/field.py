"""The continuous field f(c | Z) + base(c), evaluated at any coordinates and scale.

Letters: B batch, H W the LR picture, D width, Q queries, h' w' a rendered grid.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from ginr.architecture.limits import find_limits
from ginr.array_types import Doubles, Floats
from ginr.device import fetched, sent
from ginr.geometry.coords import Cell, render_grid, to_lattice
from ginr.geometry.size import Box
from ginr.kernels.consistency import (
    SIDE,
    Finer,
    Shrinking,
    by_pixel,
    corrected,
    finer,
    measure_shrinking,
)
from ginr.kernels.grid_tables import bicubic_taps
from ginr.network.limits import limit_at, limit_grid
from ginr.pictures.samples import Samples


class Decoder(Protocol):
    """Turns LP features into codes once, then evaluates the codes at any place.

    Places and cells are in LR pixels of the encoded part, y first: pixel i has its centre at i.
    """

    def codes(self, features: Tensor) -> Tensor:
        """LP features -> codes."""

    def query(self, codes: Tensor, places: Tensor, cells: Tensor) -> Tensor:
        """places (B, Q, 2), cells (B, Q or 1, 2) -> rgb (B, Q, 3), without the base."""

    def render(
        self, codes: Tensor, ground: "Ground | None", rows: Tensor, columns: Tensor, cell: Cell
    ) -> Tensor:
        """The grid of rows (h') x columns (w') with pixels of one cell, `on_ground`: (B, 3, h', w')."""


@dataclass(frozen=True)
class Field:
    """A picture as LP features and the decoder that evaluates them."""

    features: Tensor
    """LP features: (B, h', w', D) as a lattice, or (B, down, across, N, D) by windows."""
    base: Tensor | None
    """The LR pixels (B, 3, h, w) whose interpolation is added to the field, if any."""
    size: tuple[int, int]
    """H, W: the LR pixels covered by coordinates [-1, 1]."""
    origin: tuple[int, int]
    """The pixel of the picture at which the encoded part starts; (0, 0) unless it is a tile."""
    decoder: Decoder
    consistent: bool = False
    """Whether renders shrink back to the picture (`ginr.kernels.consistency`)."""
    shrinkings: dict[Finer, Shrinking] = field(default_factory=dict, repr=False)
    """Measurements of the decoder that this needs, shared between fields."""
    _grounds: dict[Finer | None, "Ground"] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def codes(self) -> Tensor:
        """The decoder's codes, computed once."""
        return self.decoder.codes(self.features)

    @cached_property
    def limits(self) -> Tensor | None:
        """Limits of field plus base (`ginr.architecture.limits`), (B, 8, h, w)."""
        return None if self.base is None else find_limits(self.base.detach())

    def ground(self, cell: Cell) -> "Ground | None":
        """What is added to the field at pixels of one footprint (LR pixels), and its limits."""
        if self.base is None or self.limits is None:
            return None
        n = finer(cell) if self.consistent else None
        if n not in self._grounds:
            base = self.base if n is None else self._corrected(self.base, self.limits, n)
            self._grounds[n] = Ground(base, self.limits)
        return self._grounds[n]

    def _corrected(self, base: Tensor, limits: Tensor, n: Finer) -> Tensor:
        """The base (B, 3, h, w) with which renders shrink to it."""
        per_side, known = self.features.shape[1] // base.shape[2], self.shrinkings
        if n not in known:
            known[n] = self._measured(per_side, n)
        shrinking = known[n]._replace(
            kernel=known[n].kernel.to(base), level=known[n].level.to(base)
        )
        features = by_pixel(self.features, per_side).to(base)
        right: Tensor = corrected(base, limits, features, shrinking)
        return right

    @torch.no_grad()
    def _measured(self, per_side: int, n: Finer) -> Shrinking:
        def render(features: Floats, size: tuple[int, int]) -> Floats:
            given = torch.from_numpy(features).to(self.features)
            alone = Field(given, None, (SIDE, SIDE), (0, 0), self.decoder)
            planes: Floats = alone.render(size).cpu().numpy()
            return planes

        found = measure_shrinking(render, self.features.shape[-1], per_side, n)
        kernel, level = (torch.from_numpy(v) for v in (found.kernel, found.level))
        return found._replace(kernel=kernel, level=level)

    def query(self, coords: Tensor, cells: Tensor, *, limited: bool = True) -> Tensor:
        """Colours at coords (B, Q, 2) in [-1, 1] for pixels with footprints cells, y first.

        cells is (B, Q, 2), or (B, 1, 2) if all are equal; a pixel of a render n pixels long has a
        cell of 2 / n. Returns rgb (B, Q, 3), not clipped to [0, 1]; within limits unless `limited` is
        false, as in training. The base is not corrected.
        """
        y, x = (to_lattice(coords[..., k], self.size[k]) - self.origin[k] for k in (0, 1))
        places = torch.stack([y, x], -1)  # in LR pixels of the encoded part
        pixels = torch.stack([cells[..., k] * (self.size[k] / 2) for k in (0, 1)], -1)
        rgb = self.decoder.query(self.codes, places, pixels)
        if self.base is None:
            return rgb
        rgb = rgb + bicubic_at(self.base, places)
        if not limited or self.limits is None:
            return rgb
        return limit_at(rgb, self.limits, places)

    def render(self, size: tuple[int, int], box: Box | None = None) -> Tensor:
        """The field as a picture of `size` (H', W') pixels, or only a `box` of that picture.

        Returns (B, 3, h', w'), within limits but not clipped to [0, 1]. Raises SizeError for an empty
        size, or a box that is empty or outside.
        """
        rows, columns, cell = self._grid(size, box or (0, 0, *size))
        places = torch.from_numpy(rows), torch.from_numpy(columns)
        return self.decoder.render(self.codes, self.ground(cell), *places, cell)

    @torch.inference_mode()
    def begin_render(
        self, size: tuple[int, int], box: Box, out: Samples | None = None
    ) -> Callable[[], NDArray[Any]]:
        """See `ginr.architecture.contract.EncodedField`; on the CPU it returns when all is done."""
        fused = getattr(self.decoder, "render_samples", None)  # the compiled lattice decoder's
        if out is not None and fused is not None and self.features.device.type == "cpu":
            grid = self._grid(size, box)
            fused(self.codes, self.ground(grid[-1]), *grid, out)
            return lambda: out
        planes = self.render(size, box)
        if out is None:
            arrived = fetched(planes)
            return lambda: arrived().numpy()
        samples = fetched(levels_of(planes[0], 8 * out.itemsize))

        def finish() -> NDArray[Any]:
            out[..., :3] = samples().numpy()
            return out

        return finish

    def _grid(self, size: tuple[int, int], box: Box) -> tuple[Doubles, Doubles, Cell]:
        return render_grid(size, box, self.size, self.origin)


def levels_of(colour: Tensor, depth: int) -> Tensor:
    """Opaque colour (3, h, w) as (h, w, 3) integers, rounded as by `quantize`, on its device."""
    peak, kind = (255, torch.uint8) if depth == 8 else (65535, torch.uint16)
    return (colour.permute(1, 2, 0).contiguous().clamp(0, 1) * peak + 0.5).to(kind)


@dataclass(frozen=True)
class Ground:
    """The base that a field is added to, and its limits."""

    base: Tensor  # (B, 3, h, w)
    limits: Tensor  # of the sum (`ginr.architecture.limits`), (B, 8, h, w)


def on_ground(field: Tensor, ground: Ground | None, rows: Tensor, columns: Tensor) -> Tensor:
    """A grid of the field (B, 3, h', w') plus its base, within limits; unchanged without a base."""
    if ground is None:
        return field
    field = field + bicubic_grid(ground.base, rows, columns)
    return limit_grid(field, ground.limits, rows, columns)


def bicubic_at(base: Tensor, places: Tensor) -> Tensor:
    """The pixels base (B, 3, H, W) interpolated at places (B, Q, 2): rgb (B, Q, 3).

    One compiled pass on the CPU, unless gradients are needed.
    """
    learning = torch.is_grad_enabled() and (base.requires_grad or places.requires_grad)
    if learning or base.device.type != "cpu" or base.dtype != torch.float32:
        return bicubic_at_plain(base, places)
    from ginr.kernels.query import query_base

    out = base.new_empty(*places.shape[:2], 3)
    query_base(*(v.detach().contiguous().numpy() for v in (base, places)), out.numpy())
    return out


def bicubic_at_plain(base: Tensor, places: Tensor) -> Tensor:
    """`bicubic_at` in plain torch, with gradients and on any device."""
    height, width = base.shape[2:]
    y, wy = bicubic_taps(places[..., 0], height)  # (B, Q, 4)
    x, wx = bicubic_taps(places[..., 1], width)
    index = (y[..., :, None] * width + x[..., None, :]).flatten(1)  # (B, Q 16)
    weight = (wy[..., :, None] * wx[..., None, :]).to(base.dtype)  # (B, Q, 4, 4)
    pixels = base.flatten(2).gather(2, index[:, None].expand(-1, base.shape[1], -1))
    return torch.einsum("bcqk,bqk->bqc", pixels.unflatten(2, (-1, 16)), weight.flatten(2))


def bicubic_grid(base: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels base (B, 3, H, W) interpolated at rows (h') x columns (w'): (B, 3, h', w')."""
    y, wy = bicubic_taps(sent(rows, base.device), base.shape[2])  # (h', 4)
    x, wx = bicubic_taps(sent(columns, base.device), base.shape[3])
    tall = torch.einsum("bchkw,hk->bchw", base[:, :, y], wy.to(base))
    return torch.einsum("bchwk,wk->bchw", tall[..., x], wx.to(base))
