"""Training samples: random crops of pictures and their degraded LR versions, prefetched by threads.

A sample depends only on seed, step and place in the batch, so a run resumes exactly, with any number of
threads and processes. Letters: B crops, h LR crop side, Q queries per crop.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ginr.array_types import Image
from ginr.assessing.assessment import traits_of_tile
from ginr.assessing.statistics import SIDE
from ginr.device import sent
from ginr.training.degradation import PRESETS, degrade


class Batch(NamedTuple):
    """LR pictures, queries and target colours."""

    pixels: Tensor  # (B, 3, h, h) in [0, 1], 8-bit values
    coords: Tensor  # (B, Q, 2) in [-1, 1], y first
    cells: Tensor  # (B, 1, 2): one footprint for all queries of a crop
    target: Tensor  # (B, Q, 3) in [0, 1]
    traits: Tensor  # (B, K), of the pictures that the crops are from; K is 0 for networks without

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device, copied asynchronously."""
        return Batch(*(sent(tensor, device) for tensor in self))

    def split(self, n: int) -> list["Batch"]:
        """Split into n batches of equal size; n divides B."""
        return [Batch(*part) for part in zip(*(t.chunk(n) for t in self), strict=True)]


@dataclass(frozen=True)
class Crop:
    """The random choices for one sample."""

    image: int  # index of the picture
    view: Image  # what is degraded (n, n, 3), rotated and mirrored, a view of the picture
    side: int  # of its LR
    corner: tuple[int, int]  # of the crop in this LR
    y: NDArray[np.intp]  # (Q,): rows of the queries in the view, inside the crop
    x: NDArray[np.intp]  # (Q,): columns of the queries
    random: np.random.Generator  # for the degradation


@dataclass(frozen=True)
class Sampler:
    """Draws random samples from pictures."""

    images: Sequence[Image]
    seed: int
    crop: int
    n_query: int
    max_scale: float
    degradation: str = "clean"  # a key of `ginr.training.degradation.PRESETS`
    has_traits: bool = False
    """Whether the network takes the traits of a picture, estimated from more than the crop."""
    patch: int = 0
    """Side of the square that the queries of a crop are; 0 for single places."""

    def batch(self, step: int, places: range) -> Batch:
        """The samples at `places` of a step's batch.

        Each has its own scale, uniform in [1, max_scale], or up to what its picture is large enough for,
        and from what has room for a patch.
        """
        parts = [self._sample(self.draw(step, k)) for k in places]
        stacked = [torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True)]
        return Batch(*stacked)

    def draw(self, step: int, place: int) -> Crop:
        """The crop at a place of a step's batch; reads no pixels."""
        random = np.random.default_rng((self.seed, step, place))
        index = int(random.integers(len(self.images)))
        image = self.images[index]
        lr_side = self.crop
        if self.has_traits:  # more than the crop tells more, but must leave room for every scale
            lr_side = max(self.crop, min(SIDE, int(min(image.shape[:2]) / self.max_scale)))
        largest = min(self.max_scale, min(image.shape[:2]) / lr_side)
        least = min(largest, max(1.0, (self.patch + 1) / self.crop))
        side = round(lr_side * random.uniform(least, largest))
        top = random.integers(image.shape[0] - side + 1)
        left = random.integers(image.shape[1] - side + 1)
        turned = np.rot90(image[top : top + side, left : left + side], int(random.integers(4)))
        if random.integers(2):
            turned = turned[:, ::-1]
        corner = np.zeros(2, int)
        if lr_side > self.crop:
            corner = random.integers(lr_side - self.crop + 1, size=2)
        ends = np.stack([corner, corner + self.crop]) * side / lr_side  # (2, 2)
        low, high = np.ceil(ends[0]).astype(int), np.floor(ends[1]).astype(int)
        if self.patch:
            y, x = _square(random.integers(low, high - self.patch + 1), self.patch)
        else:
            y, x = random.integers(low[:, None], high[:, None], size=(2, self.n_query))
        return Crop(index, turned, lr_side, (int(corner[0]), int(corner[1])), y, x, random)

    def _sample(self, crop: Crop) -> tuple[NDArray[np.float32], ...]:
        y, x = crop.y, crop.x
        hr = crop.view.transpose(2, 0, 1).astype(np.float32)  # (3, n, n)
        lr = degrade(hr, (crop.side, crop.side), crop.random, PRESETS[self.degradation])
        traits = np.empty(0, np.float32)
        if self.has_traits:
            traits = traits_of_tile(lr.transpose(1, 2, 0).astype(np.uint8))
        top, left = crop.corner
        lr = lr[:, top : top + self.crop, left : left + self.crop] / np.float32(255)
        side = len(crop.view) * self.crop / crop.side  # of the crop, in HR pixels
        place = (np.stack([y, x], -1) + 0.5) * crop.side / len(crop.view) - crop.corner
        coords = 2 * place / self.crop - 1
        cells = np.full((1, 2), 2 / side, np.float32)
        target = hr[:, y, x].T / np.float32(255)
        return lr.astype(np.float32), coords.astype(np.float32), cells, target, traits


def _square(corner: NDArray[np.intp], side: int) -> NDArray[np.intp]:
    """The pixels of a square, row by row: (2, side^2)."""
    place: NDArray[np.intp] = corner[:, None] + np.indices((side, side)).reshape(2, -1)
    return place


class Feed:
    """Prefetches the batches of the next steps in threads."""

    def __init__(
        self, make: Callable[[int], Batch], first: int, n_thread: int, device: torch.device
    ) -> None:
        """`make(step)` returns a batch on `device`; the first step is `first`."""
        self._make, self._next = make, first
        # CUDA's current device is thread-local.
        start = partial(torch.cuda.set_device, device.index or 0) if device.type == "cuda" else None
        self._threads = ThreadPoolExecutor(n_thread, "ginr-data", start)
        self._ahead: deque[Future[Batch]] = deque()
        self._n_ahead = n_thread + 1
        self.waited = 0.0  # seconds spent waiting in `next_batch`

    def __enter__(self) -> Self:
        """Start making the first batches."""
        self._fill()
        return self

    def __exit__(self, *exception: object) -> None:
        """Discard the remaining batches and stop the threads."""
        self._threads.shutdown(cancel_futures=True)

    def next_batch(self) -> Batch:
        """The batch of the next step."""
        start = time.perf_counter()
        batch = self._ahead.popleft().result()
        self.waited += time.perf_counter() - start
        self._fill()
        return batch

    def _fill(self) -> None:
        while len(self._ahead) < self._n_ahead:
            self._ahead.append(self._threads.submit(self._make, self._next))
            self._next += 1
