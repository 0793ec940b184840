"""Shared by the tests of training: pictures that can and cannot be learned, a watcher that counts."""

import math

import numpy as np
from numpy.typing import NDArray

from ginr.measuring.held_out import Scores
from ginr.training.collect import Collection
from ginr.training.progress import Progress, Watcher

Pixels = NDArray[np.uint8]


def stripes(side: int, period: int) -> Pixels:
    """Sharp slanted stripes: a network can learn them, bicubic blurs them."""
    y, x = np.mgrid[:side, :side]
    grey = np.where((x + 2 * y) // period % 2, 230, 20).astype(np.uint8)
    return np.stack([grey, 255 - grey, grey], -1)


def noise(side: int) -> Pixels:
    return np.random.default_rng(0).integers(256, size=(side, side, 3), dtype=np.uint8)


class Log(Watcher, list[float]):
    """The loss of every step; asks to stop after `stop_after` of them."""

    def __init__(self, stop_after: float = math.inf) -> None:
        super().__init__()
        self.stop_after = stop_after
        self.scores: list[Scores] = []
        self.cuts_on_device = False

    def begin(self, pictures: Collection, progress: Progress) -> None:
        self.cuts_on_device = progress.cuts_on_device

    def stepped(self, progress: Progress) -> None:
        self.append(progress.loss)

    def saved(self, progress: Progress, scores: Scores) -> None:
        self.scores.append(scores)

    def stop(self) -> bool:
        return len(self) >= self.stop_after
