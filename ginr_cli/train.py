"""`ginr train`: a checkpoint from a folder of pictures."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer

from ginr_cli import console
from ginr_cli.options import (
    BatchOption,
    ConfigOption,
    CropOption,
    FoldersArgument,
    JsonOption,
    MinutesOption,
    PresetOption,
    RateOption,
    RunOption,
    SeedOption,
    SetOption,
    ShowConfigOption,
    StepsOption,
)
from ginr_cli.signals import StopRequest

if TYPE_CHECKING:
    from ginr.config import GinrConfig
    from ginr.data import Collection
    from ginr.train import Progress
    from ginr.train_config import TrainConfig

_MOST_NAMED = 10
"""Files left out that are named one by one."""


def train(
    folders: FoldersArgument = None,
    run: RunOption = None,
    preset: PresetOption = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    batch: BatchOption = None,
    crop: CropOption = None,
    rate: RateOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    pairs: SetOption = None,
    show_config: ShowConfigOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a network on folders of pictures.

    The run is saved every few minutes, and measured on pictures held out.
    Ctrl+C saves it as well; the same command goes on with it.
    """
    if minutes is not None and steps is not None:
        raise console.UsageError("--minutes and --steps together: give one of them")
    flags = {
        "folders": folders,
        "run": run,
        "preset": preset,
        "minutes": minutes,
        "steps": steps,
        "batch": batch,
        "crop": crop,
        "rate": rate,
        "seed": seed,
    }
    given = {key: value for key, value in flags.items() if value not in (None, [])}
    network, settings = _resolved(config, pairs or [], given)
    if show_config:
        from ginr.settings import to_toml

        console.result(to_toml(network, settings, documented=True).rstrip())
        return
    from ginr.train import train as run_training

    console.say(f"reading the pictures in {_names(settings.folders)}")
    with Session(settings) as session:
        path = run_training(
            network, settings, session.report, session.stop, session.begin, session.loading
        )
    session.sum_up(path, as_json)


def _resolved(
    file: Path | None, pairs: list[str], flags: Mapping[str, object]
) -> tuple["GinrConfig", "TrainConfig"]:
    """The settings of a run; nothing but the file of settings is read."""
    from ginr.errors import GinrError
    from ginr.settings import Layer, read_pair, read_toml, resolve

    try:
        layers = [Layer("default", {"run": Path("runs", f"{datetime.now():%Y-%m-%d_%H%M%S}")})]
        if file is not None:
            layers.append(read_toml(file))
        layers += [read_pair(pair) for pair in pairs]
        return resolve([*layers, Layer("command line", flags)])
    except GinrError as error:
        raise console.UsageError(str(error)) from None


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(console.printable(folder) for folder in folders)


class Session:
    """What is said of a run while it lasts, and how it is stopped."""

    def __init__(self, settings: "TrainConfig") -> None:
        """`settings` are those of the run."""
        self._settings = settings
        self._request = StopRequest()
        self._open = ExitStack()
        self._loading = console.Bar(1.0)
        self._scores: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Listen for Ctrl+C."""
        self._open.enter_context(self._request.listening())
        self._open.enter_context(self._loading)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away and give Ctrl+C its usual meaning back."""
        self._open.close()
        if isinstance(problem, KeyboardInterrupt | SystemExit):
            console.say("interrupted: what was saved before stays as it is")

    def loading(self, n_file: int, n_files: int) -> None:
        """`n_file` of the folder's files are read."""
        if self._request.is_made:
            raise KeyboardInterrupt
        self._loading.show(n_file / n_files, f"file {n_file + 1} of {n_files}")

    def begin(self, pictures: "Collection", progress: "Progress") -> None:
        """Say what is there and what will be done."""
        self._loading.stop()
        self._n_pictures = len(pictures.training), len(pictures.held_out)
        self._progress = progress
        for line in _described(pictures, self._settings):
            console.say(line)
        console.say(_intention(self._settings, progress))
        done = progress.done(self._settings)
        self._meter = self._open.enter_context(console.TrainingMeter(progress.step, done))

    def stop(self) -> bool:
        """Whether Ctrl+C or SIGTERM came."""
        if self._request.is_made:
            console.say("stopping: the run is saved and measured, once more leaves at once")
        return self._request.is_made

    def report(self, progress: "Progress", scores: dict[str, float] | None) -> None:
        """A step is done, or the run is saved and has new scores."""
        if scores is None:
            self._meter.advance(progress.step, progress.done(self._settings), progress.loss)
            return
        self._scores = scores
        gains = ", ".join(f"{gain:+.2f} dB at {scale}" for scale, gain in scores.items())
        loss = f"loss {self._meter.levels:.2f}/255, " if self._meter.has_loss else ""
        console.say(f"step {progress.step}: {loss}over bicubic {gains}")

    def sum_up(self, path: Path, as_json: bool) -> None:
        """The checkpoint's path; exit code 130 if the run was stopped before its end."""
        progress = self._progress
        finished = progress.done(self._settings) >= 1
        if as_json:
            console.result_json(
                {
                    "checkpoint": str(path),
                    "finished": finished,
                    "steps": progress.step,
                    "minutes": round(progress.seconds / 60, 2),
                    "n_training": self._n_pictures[0],
                    "n_held_out": self._n_pictures[1],
                    "gain_over_bicubic_db": self._scores,
                }
            )
        else:
            console.result(str(path))
        if not finished:
            same = f"the same command with --run {console.printable(self._settings.run)}"
            console.say(f"stopped after step {progress.step}: {same} goes on from there")
            raise typer.Exit(130)


def _described(pictures: "Collection", settings: "TrainConfig") -> list[str]:
    """What a folder holds, a line each; what is left out comes with its reason."""
    every = [*pictures.training, *([] if pictures.measures_itself else pictures.held_out)]
    megapixels = sum(image.shape[0] * image.shape[1] for image in every) / 1e6
    lines = [f"left out: {reason}" for _, reason in pictures.unreadable[:_MOST_NAMED]]
    if (n_more := len(pictures.unreadable) - _MOST_NAMED) > 0:
        lines.append(f"left out: {n_more} more that cannot be read")
    if pictures.too_small:
        first, n_others = console.printable(pictures.too_small[0]), len(pictures.too_small) - 1
        others = f" and {n_others} more" if n_others else ""
        lines.append(f"left out: {first}{others}, too small for crops of {settings.crop} pixels")
    if pictures.measures_itself:
        return [*lines, f"1 picture, {megapixels:.1f} megapixels: it is also measured with"]
    n_aside = len(pictures.held_out)
    lines.append(f"{len(every)} pictures, {megapixels:.1f} megapixels: {n_aside} held out")
    return lines


def _intention(settings: "TrainConfig", progress: "Progress") -> str:
    run = console.printable(settings.run)
    length = (
        f"{settings.minutes:g} minutes" if settings.steps is None else f"{settings.steps} steps"
    )
    so_far = f"{progress.step} steps and {progress.seconds / 60:.1f} minutes"
    if progress.done(settings) >= 1:
        return f"{run} is finished after {so_far}: a longer run goes on with it"
    crops = f"{settings.batch} crops of {settings.crop}x{settings.crop} pixels per step"
    if progress.step:
        return f"going on in {run} after {so_far}, up to {length}, with {crops}"
    return f"training for {length} with {crops}, kept in {run}"
