"""The state of a run, and the callbacks that receive it."""

import math
from dataclasses import dataclass
from typing import Protocol

from ginr.measuring.held_out import Scores
from ginr.training.collect import Collection
from ginr.training.config import TrainConfig


@dataclass
class Progress:
    """How far a run is, and the numbers of its last step."""

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan  # as the settings define it
    psnr: float = math.nan  # of the predicted colours, in dB over RGB
    gradient: float = math.nan  # norm of the gradient before clipping
    diversity: float = math.nan
    """Of the LPs as a checkpoint stores them."""
    rank: float = math.nan  # effective rank of the LPs, see `ginr.lps.measures.effective_rank`
    most_rank: int = 0  # the largest possible one, 0 without LPs
    cuts_on_device: bool = False  # whether crops are cut on the GPU, from pictures in its memory
    waiting: float = 0.0
    """Share of the time since this call's first step that was spent waiting for data."""
    computing: float = 0.0  # share of it spent in forward and backward passes

    def done(self, settings: TrainConfig) -> float:
        """The fraction of the run that is over, from 0 to 1."""
        if settings.steps is not None:
            return min(1.0, self.step / settings.steps)
        return min(1.0, self.seconds / (settings.minutes * 60))


class Watcher(Protocol):
    """Callbacks of a run."""

    def loading(self, n_file: int, n_files: int) -> None:
        """`n_file` of the folders' files have been read."""

    def begin(self, pictures: Collection, progress: Progress) -> None:
        """The pictures are loaded, a resumed run is restored, and the first step is next."""

    def stepped(self, progress: Progress) -> None:
        """A step is done."""

    def saved(self, progress: Progress, scores: Scores) -> None:
        """The run has been saved and measured."""

    def stop(self) -> bool:
        """Whether to save and stop; the same call resumes the run."""
        return False

    def stops_validation(self) -> bool:
        """Whether to skip validation; called before each held-out picture."""
        return False
