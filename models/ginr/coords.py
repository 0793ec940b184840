"""The one place that knows the coordinate convention.

A picture covers [-1, 1] on each axis, y first, whatever its size: with n pixels, pixel i has its
centre at (2 i + 1) / n - 1 and a footprint (cell) of 2 / n. Two renders of one field at different
sizes therefore agree about where things are.
"""

import torch
from torch import Tensor


def pixel_centres(n: int, start: int = 0, stop: int | None = None) -> Tensor:
    """Centres of pixels start..stop-1 of n along one axis, float64 (stop - start,)."""
    stop = n if stop is None else stop
    return (2 * torch.arange(start, stop, dtype=torch.float64) + 1) / n - 1


def pixel_grid(height: int, width: int) -> Tensor:
    """Centres of all pixels, (height * width, 2), y before x, row by row, float32."""
    y, x = torch.meshgrid(pixel_centres(height), pixel_centres(width), indexing="ij")
    return torch.stack([y, x], dim=-1).flatten(0, 1).float()


def pixel_cell(height: int, width: int) -> Tensor:
    """Footprint (2,) of one pixel, y before x, float32."""
    return torch.tensor([2 / height, 2 / width], dtype=torch.float32)


def to_lattice(centres: Tensor, n: int) -> Tensor:
    """Coordinates in [-1, 1] as positions on a lattice of n cells, whose centres are 0..n-1."""
    return (centres + 1) * (n / 2) - 0.5
