"""What a training run prints: its data, its progress and its result."""

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import typer

from ginr.errors import printable
from ginr_cli import console
from ginr_cli.load_network import announce_compilation
from ginr_cli.signals import StopRequest, exit_code

if TYPE_CHECKING:
    from ginr.measuring.held_out import Scores
    from ginr.training.collect import Collection
    from ginr.training.config import TrainConfig
    from ginr.training.processes import ProcessGroup
    from ginr.training.progress import Progress

_MOST_NAMED = 10  # skipped files that are listed

_FIRST_STEPS = 20  # steps after which the remaining time is estimated


class TrainingMeter(console.Bar):
    """A bar over a training run, with loss, PSNR, LP statistics, speed and time left."""

    def __init__(self, progress: "Progress", settings: "TrainConfig") -> None:
        super().__init__(1.0)
        self._settings = settings
        self._n_step = progress.step
        self._before = progress.step, progress.done(settings)
        self._losses: deque[float] = deque(maxlen=100)
        self._psnr: deque[float] = deque(maxlen=100)

    @property
    def loss(self) -> str:
        """The mean loss of the last 100 steps; empty before the first."""
        if not self._losses:
            return ""
        mean = fmean(self._losses)
        # A squared error is not in 8-bit levels.
        return f"loss {mean:.2e}" if self._settings.loss == "mse" else f"loss {255 * mean:.2f}/255"

    @property
    def n_step(self) -> int:
        """Steps since the bar was created."""
        return self._n_step - self._before[0]

    def seconds_left(self, done: float) -> float:
        """Until the end of the run, when a fraction `done` is over, at the mean speed so far."""
        return self._seconds * (1 - done) / max(done - self._before[1], 1e-9)

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.n_step / self._seconds

    def advance(self, progress: "Progress") -> None:
        self._losses.append(progress.loss)
        self._psnr.append(progress.psnr)
        self._n_step = progress.step
        done = progress.done(self._settings)
        left = timedelta(seconds=math.ceil(self.seconds_left(done)))
        lps = f"LP diversity {progress.diversity:.2f}, rank {progress.rank:.0f}, "
        pace = (
            f"{self.loss}, {fmean(self._psnr):.2f} dB, {lps if progress.most_rank else ''}"
            f"{self.rate:.1f} it/s, {left} left"
        )
        self.show(done, f"step {progress.step}", pace)


class SilentWatcher:
    """A `ginr.training.progress.Watcher` that prints nothing and stops the run at a signal or deadline.

    Before the end of the first step, which may compile kernels for a minute, there is nothing to save:
    a signal ends the program like any command. From then on it is only recorded: the step ends and the
    run is saved, but not measured, since held-out pictures may take minutes.
    """

    def __init__(
        self, settings: "TrainConfig", team: "ProcessGroup", deadline: float | None
    ) -> None:
        """`deadline` is a time of the monotonic clock."""
        self._settings, self._team, self._deadline = settings, team, deadline
        self._request, self._is_deferring = StopRequest(), False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block a signal stops the run between two steps."""
        with ExitStack() as self._deferral:
            if self._team.n > 1:
                self._defer_signals()
            yield

    def _defer_signals(self) -> None:
        if not self._is_deferring:
            # A launcher repeats a signal that its processes have already received.
            patient = self._team.n > 1
            self._deferral.enter_context(self._request.listening(patient=patient))
        self._is_deferring = True

    def loading(self, n_file: int, n_files: int) -> None:
        """Called after each file that is read."""
        self._request.end_if_made()

    def begin(self, pictures: "Collection", progress: "Progress") -> None:
        """Called before the first step."""
        self._progress = progress

    def stepped(self, progress: "Progress") -> None:
        """Called after each step."""
        self._defer_signals()

    def saved(self, progress: "Progress", scores: "Scores") -> None:
        """Called after each save."""

    def stop(self) -> bool:
        """Whether a signal arrived, or the deadline has passed."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        if self._request.is_made:
            self._defer_signals()
        return late or self._request.is_made

    def stops_validation(self) -> bool:
        """Whether a signal arrived; a deadline is planned, and leaves time to measure."""
        return self._request.is_made

    def sum_up(self, path: Path, as_json: bool) -> None:
        """Raises `typer.Exit` if a signal stopped the run before its end."""
        planned = self._deadline is not None and not self._request.is_made
        if self._progress.done(self._settings) < 1 and not planned:
            raise typer.Exit(exit_code())


class ReportingWatcher(SilentWatcher):
    """The watcher of the main process, which prints the progress."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """As above, showing progress bars."""
        console.say(f"reading pictures from {', '.join(map(printable, self._settings.folders))}")
        self._scores: Scores | None = None
        self._has_warned = False
        try:
            with ExitStack() as self._bars, super().listening():
                self._loading = self._bars.enter_context(console.Bar(1.0))
                yield
        except (KeyboardInterrupt, SystemExit):
            console.say("interrupted: earlier saves of the run are unchanged")
            raise

    def loading(self, n_file: int, n_files: int) -> None:
        super().loading(n_file, n_files)
        self._loading.show(n_file / n_files, f"file {n_file + 1} of {n_files}")

    def begin(self, pictures: "Collection", progress: "Progress") -> None:
        super().begin(pictures, progress)
        self._loading.close()
        self._n_pictures = len(pictures.training), len(pictures.held_out)
        for line in _collection_lines(pictures, self._settings):
            console.say(line)
        console.say(_plan_line(self._settings, progress, self._team.n))
        announce_compilation(self._team.device)
        if self._team.device.type == "cuda":
            console.say(_where_crops_are_cut(progress))
        self._meter = self._bars.enter_context(TrainingMeter(progress, self._settings))

    def stepped(self, progress: "Progress") -> None:
        """Update the bar; print once the remaining time, and once a warning if the LPs are similar.

        Similar means a low diversity or a low effective rank: vectors whose mean is zero have a
        diversity near 1 even if they lie on one line.
        """
        from ginr.lps.report import HEALTHY_DIVERSITY, HEALTHY_RANK

        super().stepped(progress)
        self._meter.advance(progress)
        if self._meter.n_step == _FIRST_STEPS:
            seconds = self._meter.seconds_left(progress.done(self._settings))
            left = timedelta(seconds=math.ceil(seconds))
            console.say(
                f"{1000 / self._meter.rate:.0f} ms per step: about "
                f"{seconds * self._meter.rate:.0f} more steps, {left} left"
            )
        is_low = progress.diversity <= HEALTHY_DIVERSITY
        if (is_low or progress.rank < HEALTHY_RANK * progress.most_rank) and not self._has_warned:
            self._has_warned = True
            console.say(
                f"warning: step {progress.step}: the LPs have become too similar: diversity "
                f"{progress.diversity:.2f}, effective rank {progress.rank:.1f} of {progress.most_rank}"
            )

    def saved(self, progress: "Progress", scores: "Scores") -> None:
        self._scores = scores
        words = [self._meter.loss] if self._meter.loss else []
        words += [f"{scores.psnr['x1']:.2f} dB at x1"] if "x1" in scores.psnr else []
        gains = ", ".join(f"{gain:+.2f} dB at {scale}" for scale, gain in scores.gain.items())
        words += [f"gain over bicubic {gains}"] if gains else []
        words += [] if scores.psnr else ["not validated"]
        console.say(f"step {progress.step}: {', '.join(words)}")

    def stop(self) -> bool:
        stops = super().stop()
        if stops:
            what = "saving the run" if self._request.is_made else "saving and validating the run"
            again = " (again to quit at once)" if self._team.n == 1 else ""
            console.say(f"stopping: {what}{again}")
        return stops

    def sum_up(self, path: Path, as_json: bool) -> None:
        """Print the result, then as above."""
        progress = self._progress
        finished, has_lps = progress.done(self._settings) >= 1, progress.most_rank > 0
        if as_json:
            console.result_json(
                {
                    "checkpoint": str(path),
                    "finished": finished,
                    "steps": progress.step,
                    "minutes": round(progress.seconds / 60, 2),
                    "n_training": self._n_pictures[0],
                    "n_held_out": self._n_pictures[1],
                    "lp_diversity": round(progress.diversity, 4) if has_lps else None,
                    "lp_effective_rank": round(progress.rank, 2) if has_lps else None,
                    "waiting_for_data": round(progress.waiting, 4),
                    "gain_over_bicubic_db": self._scores.gain if self._scores else {},
                    "psnr_y_db": self._scores.psnr if self._scores else {},
                }
            )
        else:
            console.result_path(str(path))
        if self._meter.n_step:
            console.say(f"{progress.waiting:.1%} of the time spent waiting for data")
        if not finished:
            run = printable(self._settings.run)
            console.say(f"stopped after step {progress.step}: repeat with --run {run} to resume")
        super().sum_up(path, as_json)


def _collection_lines(pictures: "Collection", settings: "TrainConfig") -> list[str]:
    """Lines on the pictures, and on the files that are skipped and why."""
    every = [*pictures.training, *([] if pictures.measures_itself else pictures.held_out)]
    megapixels = sum(image.shape[0] * image.shape[1] for image in every) / 1e6
    lines = [f"skipped: {reason}" for _, reason in pictures.unreadable[:_MOST_NAMED]]
    if (n_more := len(pictures.unreadable) - _MOST_NAMED) > 0:
        lines.append(f"skipped: {n_more} more unreadable files")
    if pictures.too_small:
        some = _some(pictures.too_small)
        lines.append(f"skipped: {some}: smaller than a crop of {settings.crop} pixels")
    if pictures.animated:
        lines.append(f"{_some(pictures.animated)}: only the first frame or page is used")
    if pictures.measures_itself:
        return [*lines, f"1 picture, {megapixels:.1f} megapixels, also used for validation"]
    n_aside = len(pictures.held_out)
    lines.append(f"{len(every)} pictures, {megapixels:.1f} megapixels, {n_aside} for validation")
    return lines


def _some(paths: Sequence[Path]) -> str:
    """The first of several paths, and how many more there are."""
    others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return printable(paths[0]) + others


def _plan_line(settings: "TrainConfig", progress: "Progress", n_process: int) -> str:
    run = printable(settings.run)
    length = (
        f"{settings.minutes:g} minutes"
        if settings.steps is None
        else console.count(settings.steps, "step")
    )
    so_far = f"step {progress.step} ({progress.seconds / 60:.1f} minutes)"
    if progress.done(settings) >= 1:
        return f"{run} is complete at {so_far}: give more --minutes or --steps to continue"
    crops = console.count(settings.batch, "crop")
    crops += f" of {settings.crop}x{settings.crop} pixels per step"
    if n_process > 1:
        crops += f" in {n_process} processes"
    if progress.step:
        return f"resuming {run} at {so_far}, until {length}, with {crops}"
    return f"training {run} for {length} with {crops}"


def _where_crops_are_cut(progress: "Progress") -> str:
    if progress.cuts_on_device:
        return "crops are cut on the GPU, which holds the pictures"
    return (
        "crops are cut on the CPU: the GPU can do it for degradation = clean only, and for "
        "pictures that fit into half of its free memory"
    )
