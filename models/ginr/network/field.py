"""The continuous field f(c | Z) + base(c): a value that can be asked anywhere, at any scale.

Letters: B batch, H W the LR picture, D width, Q queries, J plane waves, h w codes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from ginr.array_types import Doubles
from ginr.device import fetched, sent
from ginr.geometry.coords import Cell, render_grid, to_lattice
from ginr.geometry.size import Box
from ginr.kernels.grid_tables import bicubic_taps
from ginr.network.limits import limit_at, limit_grid, limits_of
from ginr.pictures.samples import Samples


class Decoder(Protocol):
    """A hyponet: LP features become codes once, codes are read at any place.

    Places and cells are in LR pixels of the encoded part, y first: pixel i has its centre at i.
    """

    def codes(self, features: Tensor) -> Tensor:
        """LP features -> what the field keeps."""

    def query(self, codes: Tensor, places: Tensor, cells: Tensor) -> Tensor:
        """places (B, Q, 2), cells (B, Q or 1, 2) -> rgb (B, Q, 3), the base not included."""

    def render(
        self, codes: Tensor, ground: "Ground | None", rows: Tensor, columns: Tensor, cell: Cell
    ) -> Tensor:
        """The grid rows (h') x columns (w') of pixels of one cell, `on_ground`: (B, 3, h', w')."""


@dataclass(frozen=True)
class Field:
    """A picture as LP features and the decoder that reads them."""

    features: Tensor
    """LP features: (B, h', w', D) as a lattice, or (B, down, across, N, D) by windows."""
    base: Tensor | None
    """The LR pixels (B, 3, h, w) that are interpolated below the field, if any."""
    size: tuple[int, int]
    """H, W: the LR pixels that the coordinates [-1, 1] span."""
    origin: tuple[int, int]
    """The pixel of the H x W at which the encoded part starts: (0, 0) unless this is a tile."""
    decoder: Decoder

    @cached_property
    def codes(self) -> Tensor:
        """What the decoder keeps of the features: worked out once."""
        return self.decoder.codes(self.features)

    @cached_property
    def ground(self) -> "Ground | None":
        """The base and the limits that it sets, if there is one."""
        return None if self.base is None else Ground(self.base)

    def query(self, coords: Tensor, cells: Tensor) -> Tensor:
        """Colours at coords (B, Q, 2) in [-1, 1] for pixels of footprint cells, y first.

        cells is (B, Q, 2), or (B, 1, 2) where all have the same; a cell of 2 / n is a pixel of a
        render n pixels long. Returns rgb (B, Q, 3), within limits but not clipped to [0, 1].
        """
        places = self._places(coords)
        rgb = self._at(places, cells)
        return rgb if self.ground is None else limit_at(rgb, self.ground.limits, places)

    def query_freely(self, coords: Tensor, cells: Tensor) -> Tensor:
        """`query` without limits: what a network is trained by."""
        return self._at(self._places(coords), cells)

    def _at(self, places: Tensor, cells: Tensor) -> Tensor:
        """The field on its base at places (B, Q, 2) in LR pixels of the encoded part, without limits."""
        pixels = torch.stack([cells[..., k] * (self.size[k] / 2) for k in (0, 1)], -1)
        rgb = self.decoder.query(self.codes, places, pixels)
        return rgb if self.base is None else rgb + bicubic_at(self.base, places)

    def _places(self, coords: Tensor) -> Tensor:
        """coords (B, Q, 2) in LR pixels of the encoded part."""
        return torch.stack(
            [to_lattice(coords[..., k], self.size[k]) - self.origin[k] for k in (0, 1)], -1
        )

    def render(self, size: tuple[int, int], box: Box | None = None) -> Tensor:
        """The field as a picture of `size` (H', W') pixels, or only the `box` of that picture.

        Returns (B, 3, h', w'), within limits but not clipped to [0, 1]; the cost is that of the box.
        Raises SizeError for a size or box that is empty or outside.
        """
        rows, columns, cell = self._grid(size, box or (0, 0, *size))
        places = torch.from_numpy(rows), torch.from_numpy(columns)
        return self.decoder.render(self.codes, self.ground, *places, cell)

    @torch.inference_mode()
    def fetch(
        self, size: tuple[int, int], box: Box, depth: int | None = None
    ) -> Callable[[], NDArray[Any]]:
        """Begins to `render`, and to copy the answer (B, 3, h', w') to the host: it is called for.

        With a depth it is the colour of the one opaque picture there is, finished: (h', w', 3)
        integers of so many bits.
        """
        layers = self.render(size, box)
        arrived = fetched(layers if depth is None else levels_of(layers[0], depth))
        return lambda: arrived().numpy()

    @torch.inference_mode()
    def render_samples(self, size: tuple[int, int], box: Box, out: Samples) -> None:
        """`render` of the one picture there is into the first three of out (h', w', C), finished.

        Clipped to [0, 1] and rounded half up to the range of out's type, in one pass. For a field
        that `can_render_samples`.
        """
        grid = self._grid(size, box)
        self.decoder.render_samples(self.codes, self.ground, *grid, out)  # type: ignore[attr-defined]

    @property
    def can_render_samples(self) -> bool:
        """Whether its decoder has a pass that ends in samples: the lattice decoder's on the CPU."""
        return self.features.device.type == "cpu" and hasattr(self.decoder, "render_samples")

    def _grid(self, size: tuple[int, int], box: Box) -> tuple[Doubles, Doubles, Cell]:
        return render_grid(size, box, self.size, self.origin)


def levels_of(colour: Tensor, depth: int) -> Tensor:
    """Opaque colour (3, h, w) as `quantize` rounds it, on its own device: (h, w, 3) integers."""
    peak, kind = (255, torch.uint8) if depth == 8 else (65535, torch.uint16)
    return (colour.permute(1, 2, 0).contiguous().clamp(0, 1) * peak + 0.5).to(kind)


@dataclass(frozen=True)
class Ground:
    """What a field is added to, and what holds it."""

    base: Tensor
    """The LR pixels (B, 3, h, w)."""

    @cached_property
    def limits(self) -> Tensor:
        """What keeps flat ground flat (`ginr.architecture.limits`), (B, 8, h, w): worked out once."""
        return limits_of(self.base)


def on_ground(field: Tensor, ground: Ground | None, rows: Tensor, columns: Tensor) -> Tensor:
    """A grid of the field (B, 3, h', w') added to its base and held within limits, if it has them."""
    if ground is None:
        return field
    field = field + bicubic_grid(ground.base, rows, columns)
    return limit_grid(field, ground.limits, rows, columns)


def bicubic_at(base: Tensor, places: Tensor) -> Tensor:
    """The pixels base (B, 3, H, W) interpolated at places (B, Q, 2): rgb (B, Q, 3).

    On the CPU one fused loop, unless a gradient is asked for.
    """
    learning = torch.is_grad_enabled() and (base.requires_grad or places.requires_grad)
    if learning or base.device.type != "cpu" or base.dtype != torch.float32:
        return bicubic_at_plain(base, places)
    from ginr.kernels.query import query_base

    out = base.new_empty(*places.shape[:2], 3)
    query_base(*(v.detach().contiguous().numpy() for v in (base, places)), out.numpy())
    return out


def bicubic_at_plain(base: Tensor, places: Tensor) -> Tensor:
    """`bicubic_at` in torch."""
    height, width = base.shape[2:]
    y, wy = bicubic_taps(places[..., 0], height)  # (B, Q, 4)
    x, wx = bicubic_taps(places[..., 1], width)
    index = (y[..., :, None] * width + x[..., None, :]).flatten(1)  # (B, Q 16)
    weight = (wy[..., :, None] * wx[..., None, :]).to(base.dtype)  # (B, Q, 4, 4)
    pixels = base.flatten(2).gather(2, index[:, None].expand(-1, base.shape[1], -1))
    return torch.einsum("bcqk,bqk->bqc", pixels.unflatten(2, (-1, 16)), weight.flatten(2))


def bicubic_grid(base: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels base (B, 3, H, W) at rows (h') x columns (w'): (B, 3, h', w'), axis by axis."""
    y, wy = bicubic_taps(sent(rows, base.device), base.shape[2])  # (h', 4)
    x, wx = bicubic_taps(sent(columns, base.device), base.shape[3])
    tall = torch.einsum("bchkw,hk->bchw", base[:, :, y], wy.to(base))
    return torch.einsum("bchwk,wk->bchw", tall[..., x], wx.to(base))
