"""`ginr train`: train a checkpoint on folders of pictures."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.errors import GinrError, PictureError
from ginr_cli import console, options
from ginr_cli.files import Writing, clear_left_over, write
from ginr_cli.load_network import in_plain_torch
from ginr_cli.parsing import only_one, usage
from ginr_cli.reports.training import ReportingWatcher, SilentWatcher

if TYPE_CHECKING:
    from ginr.architecture.config import GinrConfig
    from ginr.array_types import Image
    from ginr.training.config import TrainConfig


N_SHOWN = 6  # pictures on the sheet of --show-degradation


def train(
    folders: options.Folders = None,
    run: options.Run = None,
    preset: options.Preset = None,
    minutes: options.Minutes = None,
    steps: options.Steps = None,
    stop_after: options.StopAfter = None,
    batch: options.Batch = None,
    crop: options.Crop = None,
    rate: options.Rate = None,
    seed: options.Seed = None,
    init: options.Init = None,
    bank: options.NewBank = None,
    config: options.Config = None,
    pairs: options.Set = None,
    show_config: options.ShowConfig = False,
    show_degradation: options.ShowDegradation = None,
    as_json: options.Json = False,
) -> None:
    """Train a network on folders of pictures.

    Every few minutes the run is saved and validated on held-out pictures.
    Ctrl+C saves it and exits; the same command resumes it.
    """
    began = time.monotonic()
    only_one({"--minutes": minutes, "--steps": steps})
    if stop_after is not None and not stop_after > 0:
        raise console.UsageError(f"--stop-after is {stop_after}: give a number above 0")
    flags = {
        "folders": folders, "run": run, "preset": preset, "minutes": minutes, "steps": steps,
        "batch": batch, "crop": crop, "rate": rate, "seed": seed, "init": init, "bank": bank,
    }  # fmt: skip
    given = {key: value for key, value in flags.items() if value not in (None, [])}
    network, settings = _resolved(config, pairs or [], given)
    if show_config:
        from ginr.training.settings import to_toml

        console.result(to_toml(network, settings, documented=True).rstrip())
        return
    if show_degradation is not None:
        _show_degradation(settings, show_degradation)
        return
    clear_left_over([settings.run])
    from ginr.training.loop import train as run_training
    from ginr.training.processes import ProcessGroup

    team = ProcessGroup(settings.device)
    if team.is_main and (plain := in_plain_torch(team.device, network)):
        console.say(plain)
    deadline = None if stop_after is None else began + 60 * stop_after
    watcher = (ReportingWatcher if team.is_main else SilentWatcher)(settings, team, deadline)
    with watcher.listening():
        path = run_training(network, settings, watcher, team)
    watcher.sum_up(path, as_json)


def _show_degradation(settings: "TrainConfig", output: Path) -> None:
    """Write a contact sheet of up to six pictures."""
    from ginr.pictures import Picture, read_picture
    from ginr.training.collect import picture_files, rgb_of
    from ginr.training.degradation import SHEET_SIDE, contact_sheet

    images: list[Image] = []
    for path in picture_files(settings.folders):
        with suppress(PictureError):  # training names the unreadable ones
            image = rgb_of(read_picture(path))
            images += [image] if min(image.shape[:2]) >= SHEET_SIDE else []
        if len(images) == N_SHOWN:
            break
    if not images:
        raise GinrError(f"no picture has {SHEET_SIDE} pixels on its shorter side: add larger ones")
    sheet = contact_sheet(images, settings.degradation, settings.seed)
    write(Picture(sheet), output, Writing(None, False))
    console.result_path(str(output))


def _resolved(
    file: Path | None, pairs: list[str], flags: Mapping[str, object]
) -> tuple["GinrConfig", "TrainConfig"]:
    """The settings of a run, from defaults, the file, --set and the other options."""
    from ginr.training.settings import Layer, read_pair, read_toml, resolve

    with usage():
        dated = Path("runs", f"{datetime.now():%Y-%m-%d_%H%M%S}")
        alone = os.environ.get("WORLD_SIZE", "1") == "1"  # the clocks of several processes differ
        layers = [Layer("default", {"run": dated} if alone else {})]
        if file is not None:
            layers.append(read_toml(file))
        layers += [read_pair(pair) for pair in pairs]
        return resolve([*layers, Layer("command line", flags)])
