"""Coordinates of whole renders, for queries; places of steps, for mixers."""

import numpy as np
import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import step_places
from ginr.geometry.coords import pixel_centres


def pixel_grid(height: int, width: int) -> Tensor:
    """Centres of all pixels, (height * width, 2), y first, row by row, float32."""
    grid = np.meshgrid(pixel_centres(height), pixel_centres(width), indexing="ij")
    return torch.from_numpy(np.stack(grid, -1).reshape(-1, 2)).float()


def pixel_cell(height: int, width: int) -> Tensor:
    """Footprint (2,) of a pixel, y first, float32."""
    return torch.tensor([2 / height, 2 / width], dtype=torch.float32)


def positions_of(config: GinrConfig) -> Tensor:
    """Where the steps of a sequence stand in their window, (T, 2)."""
    return torch.from_numpy(step_places(config, False)).float()
