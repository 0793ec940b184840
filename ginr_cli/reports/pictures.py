"""Outcomes of pictures: a file name or a JSON object each, and a count of each status."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.errors import printable
from ginr_cli import console
from ginr_cli.batch.plan import Job

if TYPE_CHECKING:
    from ginr.assessing.restoration import Restoration
    from ginr_cli.load_network import LoadedNetwork


STATUSES = "done", "planned", "skipped", "failed"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one input, as `--json` prints it; sizes in pixels."""

    input: str
    status: str
    """done, skipped (the output exists, or `notes` say why the input is left out), failed, or planned."""
    output: str | None = None
    input_width: int | None = None
    input_height: int | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    """Frames of an animation or a video that were written, or would be."""
    box: tuple[int, int, int, int] | None = None
    """x, y, width, height of the requested part of the input."""
    seconds: float | None = None  # for reading, enlarging and writing
    device: str | None = None
    checkpoint: str | None = None
    bank: str | None = None
    """The bank of LPs, if not the network's own."""
    restoration: Mapping[str, object] | None = None
    """The damage found in the picture, and the strength with which it was removed."""
    notes: tuple[str, ...] = ()  # what was converted or dropped
    error: str | None = None


@dataclass
class OutcomeReport:
    """Prints the outcome of each picture and counts them."""

    as_json: bool
    batch: bool = False
    is_piped: bool = False
    """Whether the picture itself goes to stdout."""
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    n_unread: int = 0
    """Pictures among those skipped whose kind cannot be read."""

    def add(self, outcome: Outcome) -> None:
        """Print and count an outcome."""
        self.counts[outcome.status] += 1
        if outcome.error is not None:
            console.error(outcome.error)
        if outcome.seconds:
            px = (outcome.width or 0) * (outcome.height or 0) * (outcome.frames or 1)
            console.detail(
                f"{printable(str(outcome.output))}: {outcome.seconds:.2f} s with "
                f"{outcome.checkpoint} on {outcome.device}, {px / 1e6 / outcome.seconds:.2f} MP/s"
            )
        if self.as_json:
            console.result_json(asdict(outcome))
        elif outcome.status == "done" and not self.is_piped:
            console.result_path(str(outcome.output))

    def fail(self, path: Path | str, problem: Exception) -> None:
        """Report a failed picture; raises the problem if GINR_DEBUG is set."""
        self.add(failure_of(path, problem))

    def skip(self, path: Path | str, reason: str) -> None:
        """Report a picture whose kind cannot be read."""
        console.say_notes(path, [f"skipped, {reason}"])
        self.n_unread += 1
        self.add(Outcome(str(path), "skipped", notes=(reason,)))

    def leave_out(self, path: Path | str, reason: str) -> None:
        """Report a result of an earlier run or a video in a folder; a message counts them."""
        if self.as_json:
            console.result_json(asdict(Outcome(str(path), "skipped", notes=(reason,))))

    def sum_up(self) -> None:
        """Print the counts, if there were several pictures."""
        if self.batch:
            counts = [f"{count} {status}" for status, count in self.counts.items() if count]
            console.say(", ".join(counts) or "nothing to do")


def failure_of(path: Path | str, problem: Exception) -> Outcome:
    """The outcome of an input that failed; raises the problem if GINR_DEBUG is set."""
    if console.debugging():
        raise problem
    return Outcome(str(path), "failed", error=console.describe(problem))


def new_outcome(
    source: Path, output: Path, size: tuple[int, int], out_size: tuple[int, int]
) -> Outcome:
    """The outcome of an input that is not enlarged; sizes are (H, W)."""
    return Outcome(str(source), "skipped", str(output), size[1], size[0], out_size[1], out_size[0])


def outcome_of(job: Job) -> Outcome:
    """The same for a job."""
    outcome = new_outcome(job.source, job.output, job.size, job.out_size)
    return replace(outcome, box=job.box)


def done(
    outcome: Outcome,
    network: "LoadedNetwork",
    restoration: "Restoration | None",
    start: float,
    notes: Sequence[str],
) -> Outcome:
    """The same for a finished picture, started at `start` of `time.perf_counter`."""
    return replace(
        outcome,
        status="done",
        seconds=round(time.perf_counter() - start, 3),
        device=network.device,
        checkpoint=network.checkpoint,
        bank=network.bank,
        restoration=None if restoration is None else restoration.record(),
        notes=tuple(notes),
    )
