"""What became of the pictures of a run: a name or a JSON object each, and how many went which way."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ginr_cli import console
from ginr_cli.batch.plan import Job

if TYPE_CHECKING:
    from ginr_cli.load_network import LoadedNetwork


@dataclass(frozen=True)
class Outcome:
    """What became of one input, as `--json` prints it; sizes in pixels."""

    input: str
    status: str
    """done, skipped (the output was there) or failed."""
    output: str | None = None
    input_width: int | None = None
    input_height: int | None = None
    width: int | None = None
    height: int | None = None
    box: tuple[int, int, int, int] | None = None
    """x, y, width, height of the part of the input that was asked for."""
    seconds: float | None = None
    """Reading, network and writing together."""
    device: str | None = None
    checkpoint: str | None = None
    notes: tuple[str, ...] = ()
    """What the output could not keep, or what was converted."""
    error: str | None = None


@dataclass
class OutcomeReport:
    """Tells what became of each picture and keeps count."""

    as_json: bool
    batch: bool = False
    counts: dict[str, int] = field(default_factory=lambda: {"done": 0, "skipped": 0, "failed": 0})

    def add(self, outcome: Outcome) -> None:
        """A picture is done with, one way or another."""
        self.counts[outcome.status] += 1
        if outcome.error is not None:
            console.error(outcome.error)
        if self.as_json:
            console.result_json(asdict(outcome))
        elif outcome.status == "done":
            console.result(str(outcome.output))

    def fail(self, path: Path | str, problem: Exception) -> None:
        """A picture could not be made; with GINR_DEBUG set, that ends the run."""
        if console.debugging():
            raise problem
        self.add(failure_of(path, problem))

    def sum_up(self) -> None:
        """How many went which way, if there were several."""
        if self.batch:
            counts = [f"{count} {status}" for status, count in self.counts.items() if count]
            console.say(", ".join(counts) or "nothing done")


def failure_of(path: Path | str, problem: Exception) -> Outcome:
    """What became of an input that could not be made."""
    return Outcome(str(path), "failed", error=console.describe(problem))


def new_outcome(
    source: Path, output: Path, size: tuple[int, int], out_size: tuple[int, int]
) -> Outcome:
    """What shall become of an input; sizes are (H, W)."""
    return Outcome(str(source), "skipped", str(output), size[1], size[0], out_size[1], out_size[0])


def outcome_of(job: Job) -> Outcome:
    """What shall become of a job."""
    outcome = new_outcome(job.source, job.output, job.size, job.out_size)
    if job.view.source is None:
        return outcome
    top, left, bottom, right = job.view.source
    return replace(outcome, box=(left, top, right - left, bottom - top))


def done(outcome: Outcome, network: "LoadedNetwork", start: float, notes: Sequence[str]) -> Outcome:
    """The same, now that it is made; `start` is of `time.perf_counter`."""
    return replace(
        outcome,
        status="done",
        seconds=round(time.perf_counter() - start, 3),
        device=network.device,
        checkpoint=network.checkpoint,
        notes=tuple(notes),
    )
