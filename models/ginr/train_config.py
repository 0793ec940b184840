"""How a network is trained: one flat frozen dataclass; what each field means stands below it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ginr.errors import GinrError


@dataclass(frozen=True)
class TrainConfig:
    """How to train; `run` holds everything that is written. Raises GinrError for nonsense."""

    folders: tuple[Path, ...]
    """Folders of pictures to learn from, those in subfolders included."""
    run: Path
    """Where the run is kept: its checkpoint, and how to go on."""
    minutes: float = 60.0
    """Length of the whole run, over all the times it goes on; the rate reaches zero at its end."""
    steps: int | None = None
    """Length in steps, instead of minutes."""
    batch: int = 8
    """Crops per step."""
    crop: int = 32
    """Side of an LR crop in pixels."""
    n_query: int = 4096
    """Pixels asked for in each crop."""
    rate: float = 3e-3
    """Learning rate at its peak."""
    warm_up: int = 200
    """Steps from zero to the peak."""
    ema: float = 0.999
    """What the averaged weights keep of themselves at each step, from 0 to less than 1."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 0
    """Another seed, other crops and weights."""
    n_held_out: int = 16
    """Pictures kept aside to measure with, a fifth of them all at the most."""
    save_minutes: float = 3.0
    """Minutes between saves; the averaged weights are measured at each."""

    FREE: ClassVar = frozenset({"folders", "run", "minutes", "steps", "save_minutes"})
    """Fields that may differ when a run goes on; another value of any other is another run."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise GinrError("folders: name a folder of pictures")
        for name in ("batch", "crop", "n_query", "warm_up", "n_held_out"):
            if getattr(self, name) < 1:
                raise GinrError(f"{name} is {getattr(self, name)}: give 1 or more")
        for name in ("minutes", "rate", "clip", "save_minutes"):
            if not 0 < getattr(self, name) < math.inf:  # NaN is not either
                raise GinrError(f"{name} is {getattr(self, name)}: give a number above 0")
        if self.steps is not None and self.steps < 1:
            raise GinrError(f"steps is {self.steps}: give 1 or more")
        if not 0 <= self.ema < 1:
            raise GinrError(f"ema is {self.ema}: give a number from 0 to less than 1")
        if not 0 <= self.seed < 2**63:
            raise GinrError(f"seed is {self.seed}: give a number from 0 to {2**63 - 1}")
