"""`ginr train`: a checkpoint from folders of pictures."""

import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ginr_cli import console
from ginr_cli.options import (
    BatchOption,
    ConfigOption,
    CropOption,
    FoldersArgument,
    InitOption,
    JsonOption,
    MinutesOption,
    PresetOption,
    RateOption,
    RunOption,
    SeedOption,
    SetOption,
    ShowConfigOption,
    StepsOption,
    StopAfterOption,
)
from ginr_cli.parsing import only_one, usage
from ginr_cli.reports.training import ReportingWatcher, SilentWatcher

if TYPE_CHECKING:
    from ginr.architecture.config import GinrConfig
    from ginr.training.config import TrainConfig


def train(
    folders: FoldersArgument = None,
    run: RunOption = None,
    preset: PresetOption = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    stop_after: StopAfterOption = None,
    batch: BatchOption = None,
    crop: CropOption = None,
    rate: RateOption = None,
    seed: SeedOption = None,
    init: InitOption = None,
    config: ConfigOption = None,
    pairs: SetOption = None,
    show_config: ShowConfigOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a network on folders of pictures.

    The run is saved every few minutes, and measured on pictures held out.
    Ctrl+C saves it as well; the same command goes on with it.
    """
    began = time.monotonic()
    only_one({"--minutes": minutes, "--steps": steps})
    if stop_after is not None and not stop_after > 0:
        raise console.UsageError(f"--stop-after is {stop_after}: give a number above 0")
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
        "init": init,
    }
    given = {key: value for key, value in flags.items() if value not in (None, [])}
    network, settings = _resolved(config, pairs or [], given)
    if show_config:
        from ginr.training.settings import to_toml

        console.result(to_toml(network, settings, documented=True).rstrip())
        return
    from ginr.training.loop import train as run_training
    from ginr.training.processes import ProcessGroup

    team = ProcessGroup(settings.device)
    deadline = None if stop_after is None else began + 60 * stop_after
    watcher = (ReportingWatcher if team.is_main else SilentWatcher)(settings, team, deadline)
    with watcher.listening():
        path = run_training(network, settings, watcher, team)
    watcher.sum_up(path, as_json)


def _resolved(
    file: Path | None, pairs: list[str], flags: Mapping[str, object]
) -> tuple["GinrConfig", "TrainConfig"]:
    """The settings of a run; nothing but the file of settings is read."""
    from ginr.training.settings import Layer, read_pair, read_toml, resolve

    with usage():
        dated = Path("runs", f"{datetime.now():%Y-%m-%d_%H%M%S}")
        alone = os.environ.get("WORLD_SIZE", "1") == "1"  # several processes would not agree on it
        layers = [Layer("default", {"run": dated} if alone else {})]
        if file is not None:
            layers.append(read_toml(file))
        layers += [read_pair(pair) for pair in pairs]
        return resolve([*layers, Layer("command line", flags)])
