"""Training data: pictures decoded once, then random crops with their LR made on the fly.

Letters: B crops, h LR crop side, Q queries per crop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ginr.errors import GinrError, PictureError
from ginr.picture import READABLE, read_picture
from ginr.resize import resize_matrix

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Batch:
    """LR pictures and what their fields should answer."""

    pixels: Tensor
    """(B, 3, h, h) in [0, 1], 8-bit values."""
    coords: Tensor
    """(B, Q, 2) in [-1, 1], y first."""
    cells: Tensor
    """(B, 1, 2): one footprint for all queries of a crop."""
    target: Tensor
    """(B, Q, 3) in [0, 1]."""


def load_images(folder: Path) -> list[tuple[Path, Image]]:
    """Every readable picture below `folder`, by name, as 8-bit RGB (H, W, 3).

    Raises GinrError if there is none; unreadable files are left out.
    """
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in READABLE):
        try:
            picture = read_picture(path)
        except PictureError:
            continue
        samples = picture.samples
        if samples.dtype == np.uint16:
            samples = (samples >> 8).astype(np.uint8)
        colour = samples[..., :1].repeat(3, -1) if picture.is_grey else samples[..., :3]
        found.append((path, np.ascontiguousarray(colour)))
    if not found:
        raise GinrError(f"{folder}: no readable picture; give a folder of PNG, JPEG, WebP or TIFF")
    return found


def sample_batch(
    images: Sequence[Image],
    *,
    seed: tuple[int, int],
    batch: int,
    crop: int,
    n_query: int,
    max_scale: float,
) -> Batch:
    """One batch; the same seed gives the same batch, so a run can go on anywhere.

    Each crop has its own scale, uniform in [1, max_scale] as far as its picture is large enough.
    """
    random = np.random.default_rng(seed)
    parts = [
        _sample(images[int(random.integers(len(images)))], random, crop, n_query, max_scale)
        for _ in range(batch)
    ]
    stacked = [torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True)]
    return Batch(*stacked)


def _sample(
    image: Image, random: np.random.Generator, crop: int, n_query: int, max_scale: float
) -> tuple[NDArray[np.float32], ...]:
    largest = min(max_scale, min(image.shape[:2]) / crop)
    side = round(crop * random.uniform(1, largest))
    top = random.integers(image.shape[0] - side + 1)
    left = random.integers(image.shape[1] - side + 1)
    turned = np.rot90(image[top : top + side, left : left + side], int(random.integers(4)))
    if random.integers(2):
        turned = turned[:, ::-1]
    hr = turned.transpose(2, 0, 1).astype(np.float32)  # (3, side, side)
    shrink = _matrix(side, crop)
    lr = np.floor(shrink @ hr @ shrink.T + 0.5).clip(0, 255) / np.float32(255)
    y, x = random.integers(side, size=(2, n_query))
    coords = (2 * np.stack([y, x], -1) + 1) / np.float32(side) - 1
    cells = np.full((1, 2), 2 / side, np.float32)
    target = hr[:, y, x].T / np.float32(255)
    return lr.astype(np.float32), coords.astype(np.float32), cells, target


@lru_cache(maxsize=1024)
def _matrix(n_in: int, n_out: int) -> NDArray[np.float32]:
    return resize_matrix(n_in, n_out).astype(np.float32)
