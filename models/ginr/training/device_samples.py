"""Training samples cut on the GPU, in whose memory all pictures lie.

The CPU draws what `Sampler` would and sends numbers only; a batch is a few large operations without
synchronization. Letters: B crops, h LR crop side, S the largest HR crop side, n that of one crop, Q
queries per crop.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ginr.array_types import Image
from ginr.device import sent
from ginr.training.degradation import shrink_matrix
from ginr.training.samples import Batch, Crop, Sampler

MOST_MEMORY = 0.5  # share of the free GPU memory that the pictures may take


class DeviceSampler:
    """`Sampler` on a device, for LR by bicubic alone: equal batches except for ties in rounding."""

    def __init__(self, sampler: Sampler, device: torch.device) -> None:
        """Copies all pictures, which are contiguous, to the device."""
        self._sampler, self._device = sampler, device
        self._largest = round(sampler.crop * sampler.max_scale)  # S
        n_pixel = np.cumsum([0, *(image.shape[0] * image.shape[1] for image in sampler.images)])
        self._first = n_pixel[:-1]
        self._pixels = torch.empty(int(n_pixel[-1]), 3, dtype=torch.uint8, device=device)
        for image, (first, end) in zip(sampler.images, pairwise(n_pixel), strict=True):
            own = np.array(image)  # a copy: a memory-mapped picture is read-only
            self._pixels[first:end] = torch.from_numpy(own).view(-1, 3).to(device)
        self._shrink = torch.from_numpy(_shrink_matrices(sampler.crop, self._largest)).to(device)

    def batch(self, step: int, places: range) -> Batch:
        """The crops at `places` of a step's batch."""
        crops = [self._sampler.draw(step, k) for k in places]
        side = self._sent([len(crop.view) for crop in crops])  # (B,)
        first, down, across = self._sent([self._strides(crop) for crop in crops]).t()  # (B,) each
        y, x = self._sent([[crop.y for crop in crops], [crop.x for crop in crops]])  # (B, Q) each
        target = self._pixels[first[:, None] + y * down[:, None] + x * across[:, None]]
        coords = (2 * torch.stack([y, x], -1) + 1).double() / side[:, None, None] - 1
        cells = (2 / side.double())[:, None, None].expand(-1, 1, 2)
        lr = self._shrunk(self._cut(side, first, down, across), side)
        no_traits = cells.new_empty(len(lr), 0)
        return Batch(lr / 255, coords.float(), cells.float(), target.float() / 255, no_traits)

    def _strides(self, crop: Crop) -> tuple[int, int, int]:
        """The first pixel of a crop, and the pixels from one row and one column to the next."""
        start = crop.view.ctypes.data - self._sampler.images[crop.image].ctypes.data
        down, across, _ = crop.view.strides  # bytes, three a pixel; negative where mirrored
        return int(self._first[crop.image]) + start // 3, down // 3, across // 3

    def _cut(self, side: Tensor, first: Tensor, down: Tensor, across: Tensor) -> Tensor:
        """The crops (B, S, S, 3) in 8-bit levels, their last pixels repeated up to S."""
        place = torch.arange(self._largest, device=self._device)
        place = place.minimum(side[:, None] - 1)  # (B, S)
        rows = first[:, None] + place * down[:, None]
        columns = place * across[:, None]
        return self._pixels[rows[:, :, None] + columns[:, None]].float()

    def _shrunk(self, high: Tensor, side: Tensor) -> Tensor:
        """Their LR (B, 3, h, h), whole levels from 0 to 255."""
        shrink = self._shrink[side - self._sampler.crop]  # (B, h, S)
        tall = torch.einsum("bys,bsxc->byxc", shrink, high)
        return (torch.einsum("bxs,bysc->bcyx", shrink, tall) + 0.5).floor().clamp(0, 255)

    def _sent(self, numbers: Sequence[object]) -> Tensor:
        return sent(torch.from_numpy(np.array(numbers, np.int64)), self._device)


def _shrink_matrices(crop: int, largest: int) -> NDArray[np.float32]:
    """Matrices (sides, h, S) that shrink crops of side `crop` to `largest`, zero beyond each side."""
    matrices = np.zeros((largest - crop + 1, crop, largest), np.float32)
    for n, matrix in enumerate(matrices, crop):
        matrix[:, :n] = shrink_matrix("bicubic", n, crop)
    return matrices


def fits(images: Sequence[Image], device: torch.device) -> bool:
    """Whether `device` is a GPU with room for the decoded pictures."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return sum(image.nbytes for image in images) <= MOST_MEMORY * free
