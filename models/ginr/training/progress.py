"""Where a run stands, and who hears of it."""

import math
from dataclasses import dataclass
from typing import Protocol

from ginr.measuring.held_out import Scores
from ginr.training.collect import Collection
from ginr.training.config import TrainConfig


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    """Of the last step, as the settings define it."""
    psnr: float = math.nan
    """Of the last step's answers, in dB over RGB."""
    gradient: float = math.nan
    """Norm of the last step's gradient, before it was clipped."""
    diversity: float = math.nan
    """Of the LPs as a checkpoint holds them: centred, which keeps it near 1 whatever they are like."""
    rank: float = math.nan
    """Their effective rank, see `ginr.lps.measures.effective_rank`."""
    most_rank: int = 0
    """The largest it could be."""
    cuts_on_device: bool = False
    """Whether crops are cut by the GPU that trains, the pictures being in its memory."""
    waiting: float = 0.0
    """Share of the time since training began or went on that was spent waiting for data."""
    computing: float = 0.0
    """Share of it spent in forward and backward of the network."""

    def done(self, settings: TrainConfig) -> float:
        """How much of the run is over, from 0 to 1."""
        if settings.steps is not None:
            return min(1.0, self.step / settings.steps)
        return min(1.0, self.seconds / (settings.minutes * 60))


class Watcher(Protocol):
    """Hears of a run while it lasts, and may ask it to stop."""

    def loading(self, n_file: int, n_files: int) -> None:
        """So many of the folders' files are read."""

    def begin(self, pictures: Collection, progress: Progress) -> None:
        """What the folders hold and where a resumed run stands; the first step is next."""

    def stepped(self, progress: Progress) -> None:
        """A step is done."""

    def saved(self, progress: Progress, scores: Scores) -> None:
        """The run is saved and measured."""

    def stop(self) -> bool:
        """Whether to save and leave, to go on with the same call another time."""
        return False
