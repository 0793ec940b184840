"""`ginr train`: train a checkpoint on folders of pictures."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ginr.errors import GinrError, PictureError
from ginr_cli import console, options
from ginr_cli.files import Writing, clear_left_over, write
from ginr_cli.load_network import in_plain_torch
from ginr_cli.options import argument, option, parse_path
from ginr_cli.parsing import only_one, usage
from ginr_cli.reports.training import ReportingWatcher, SilentWatcher

if TYPE_CHECKING:
    from ginr.architecture.config import GinrConfig
    from ginr.array_types import Image
    from ginr.training.config import TrainConfig


N_SHOWN = 6  # pictures on the sheet of --show-degradation

Folders = Annotated[
    list[Path] | None,
    argument("FOLDER", "Folders of training pictures, subfolders included.", parser=parse_path),
]
Run = Annotated[
    Path | None,
    option(
        "--run DIR",
        "Folder of the run, with its checkpoint and the state to resume it from. "
        "Default: a new folder, runs/DATE_TIME.",
        parser=parse_path,
    ),
]
Preset = Annotated[
    str | None,
    option(
        "--preset NAME",
        "Network configuration: small (default), base, photo, crisp, plain or reconstruct.",
    ),
]
Minutes = Annotated[
    float | None,
    option(
        "--minutes MINUTES",
        "Training time of the whole run, resumed or not. Default: 60, unless --steps is given.",
    ),
]
Steps = Annotated[
    int | None, option("--steps N", "Length of the run in steps, instead of minutes.")
]
StopAfter = Annotated[
    float | None,
    option(
        "--stop-after MINUTES",
        "Save and exit after this time, which includes reading the pictures. "
        "The same command resumes the run.",
    ),
]
Batch = Annotated[
    int | None, option("--batch N", "Crops per step. Default: 8; with presets base, 32; photo, 4.")
]
Crop = Annotated[
    int | None,
    option(
        "--crop PIXELS",
        "Side of a crop in input pixels. Default: 32; with presets base and photo, 48; reconstruct, 64.",
    ),
]
Rate = Annotated[
    float | None,
    option(
        "--rate RATE",
        "Peak learning rate. Default: 3e-3; with presets base and reconstruct, 2e-3; photo, 1e-3.",
    ),
]
Seed = Annotated[int | None, option("--seed N", "Random seed (default 0).")]
Init = Annotated[
    str | None,
    option(
        "--init NAME|FILE",
        "Start from the weights of a checkpoint with the same configuration. The default rate "
        "adapts fastest to another kind of picture; a tenth of it forgets least.",
    ),
]
NewBank = Annotated[
    str | None,
    option(
        "--bank NAME",
        "Train a bank of this name: only LPs, for the network of --init, which does not change. "
        "Default: 3 minutes at rate 1e-2.",
    ),
]
Config = Annotated[
    Path | None,
    option("--config FILE", "TOML file of settings, such as the config.toml of another run."),
]
Set = Annotated[
    list[str] | None,
    option("--set KEY=VALUE", "Change one setting (see --show-config). May be repeated."),
]
ShowDegradation = Annotated[
    Path | None,
    option(
        "--show-degradation SHEET",
        "Write a picture that shows what the degradation does to the first pictures, and exit.",
    ),
]
ShowConfig = Annotated[
    bool, option("--show-config", "Print all settings with their meaning, and exit.")
]


def train(
    folders: Folders = None,
    run: Run = None,
    preset: Preset = None,
    minutes: Minutes = None,
    steps: Steps = None,
    stop_after: StopAfter = None,
    batch: Batch = None,
    crop: Crop = None,
    rate: Rate = None,
    seed: Seed = None,
    init: Init = None,
    bank: NewBank = None,
    config: Config = None,
    pairs: Set = None,
    show_config: ShowConfig = False,
    show_degradation: ShowDegradation = None,
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
