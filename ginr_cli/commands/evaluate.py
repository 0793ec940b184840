"""`ginr evaluate`: a checkpoint compared with bicubic interpolation on folders of pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ginr.errors import SizeError, printable
from ginr.geometry.size import parse_scale
from ginr_cli import console, options
from ginr_cli.batch.sources import find_sources
from ginr_cli.files import clear_left_over
from ginr_cli.load_network import NetworkChoice, check_network
from ginr_cli.options import argument, option
from ginr_cli.parsing import usage
from ginr_cli.reports.scores import Row, ScoreReport, check_csv
from ginr_cli.restoring import Networks, choose, parse_restore

if TYPE_CHECKING:
    from ginr.array_types import Image
    from ginr.measuring.benchmark import Perceptual, Upscaler
    from ginr.pictures import ReadRules


@dataclass(frozen=True)
class Task:
    """A picture to measure; `folder` is the path it was given by."""

    folder: str
    path: Path
    rules: "ReadRules"
    out_px: int
    """Approximate output pixels over all scales: the unit of progress."""


Evaluated = Annotated[
    str,
    argument(
        "NAME|FILE",
        "A shipped checkpoint (small, base, photo, crisp), a .safetensors file, the folder of a run, or "
        "auto: as ginr upscale chooses for each picture.",
    ),
]
AUTO = "auto"
Folders = Annotated[
    list[Path], argument("FOLDER", "Folders of high-resolution pictures; means are per folder.")
]
Scales = Annotated[
    str, option("--scales SCALES", "Scale factors from 1 to 30, separated by commas.")
]
DegradationName = Annotated[
    str,
    option(
        "--degradation NAME",
        "How the pictures are shrunk: clean (bicubic), or with damage like that of a phone, the web, "
        "film, or any of these (photo).",
    ),
]
WithPerceptual = Annotated[
    bool,
    option(
        "--perceptual",
        "Also report LPIPS and DISTS, which measure how different pictures look. Needs a file of "
        "weights, see docs/quality.md.",
    ),
]
CsvFile = Annotated[
    Path | None, option("--csv FILE", "Also write a row per picture and scale to this file.")
]
Limit = Annotated[
    int | None,
    option("--limit N", "Use only the first N pictures of each folder.", between=(1, math.inf)),
]


def evaluate(
    checkpoint: Evaluated,
    folders: Folders,
    scales: Scales = "2,3,3.7,4,6,8",
    degradation: DegradationName = "clean",
    perceptual: WithPerceptual = False,
    bank: options.Bank = None,
    csv_file: CsvFile = None,
    device: options.Device = "auto",
    tile: options.Tile = 0,
    ensemble: options.Ensemble = False,
    limit: Limit = None,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    allow_truncated: options.AllowTruncated = False,
    allow_large: options.AllowLarge = False,
    as_json: options.Json = False,
) -> None:
    """Shrink pictures, enlarge them again, and compare the result with bicubic interpolation.

    Reports PSNR on Y and RGB and SSIM on Y, per picture and as means, and LPIPS
    and DISTS on request. Pictures that cannot be read are skipped; the exit code
    is then 1.
    """
    from ginr.checkpoints.checkpoint import peek
    from ginr.pictures import ReadRules

    factors, rules = _factors(scales), ReadRules(strict, allow_truncated, allow_large)
    _check_degradation(degradation)
    strength = parse_restore(None, bank)
    plain, restorer = choose(None if checkpoint == AUTO else checkpoint, strength, bank)
    choice = NetworkChoice(
        plain, device, tile=tile, ensemble=ensemble, restorer=restorer, restore=strength,
        bank=bank,
    )  # fmt: skip
    check_network(choice)  # before torch is loaded
    if csv_file is not None:
        check_csv(csv_file, overwrite)
        clear_left_over([csv_file.parent])
    measures = _perceptual_measures(device) if perceptual else None
    report = ScoreReport(as_json)
    tasks = [task for folder in folders for task in _find(folder, factors, limit, rules, report)]
    facts: Row = {
        "protocol": _protocol(perceptual), "degradation": degradation,
        "checkpoint": AUTO if checkpoint == AUTO else peek(checkpoint).name, "bank": bank, "device": None, "scales": factors,
        "ensemble": ensemble,
    }  # fmt: skip
    if tasks:
        networks = Networks(choice)
        facts["device"] = networks.plain.device
        console.say(_protocol(perceptual))
        _measure_all(tasks, factors, degradation, networks, measures, report)
    report.conclude(facts)
    if csv_file is not None:
        report.write_csv(csv_file, overwrite)
    if report.failed or not report.scores:
        raise typer.Exit(1)


def _factors(text: str) -> list[float]:
    """The scales in their order, without repetitions."""
    factors = []
    for part in text.split(","):
        with usage("--scales"):
            scale = parse_scale(part)
        if scale.x != scale.y:
            raise console.UsageError(f"--scales: {part!r} has two factors: give one for both axes")
        factors.append(scale.x)
    return list(dict.fromkeys(factors))


def _check_degradation(name: str) -> None:
    from ginr.training.degradation import PRESETS

    if name not in PRESETS:
        raise console.UsageError(f"--degradation is {name}: use one of {', '.join(PRESETS)}")


def _protocol(perceptual: bool) -> str:
    from ginr.measuring.benchmark import PERCEPTUAL_PROTOCOL, PROTOCOL

    return f"{PROTOCOL} {PERCEPTUAL_PROTOCOL}" if perceptual else PROTOCOL


def _perceptual_measures(device: str) -> "Perceptual":
    """LPIPS and DISTS on a device. Raises `GinrError` without their weights."""
    from ginr.measuring.perceptual_weights import check_weights, load_weights, weights_path

    check_weights(path := weights_path())  # before torch is loaded
    from ginr.device import choose_device
    from ginr.measuring.perceptual import PerceptualMeasures

    return PerceptualMeasures(load_weights(path), choose_device(device)[0])


def _find(
    folder: Path,
    factors: Sequence[float],
    limit: int | None,
    rules: "ReadRules",
    report: ScoreReport,
) -> list[Task]:
    """The pictures of a folder whose headers can be read; reports the others as failed."""
    from ginr.measuring.benchmark import LANCZOS_FROM
    from ginr.pictures import probe_picture

    # A render of the whole picture per scale, and one of LR x4 for the comparison with Lanczos.
    share = sum(1 + (LANCZOS_FROM / s) ** 2 * (s > LANCZOS_FROM) for s in factors)
    tasks = []
    for source in islice(find_sources([folder], None, report.fail), limit):
        try:
            header = probe_picture(source.path, rules)
        except Exception as problem:
            report.fail(source.path, problem)
        else:
            out_px = int(header.height * header.width * share)
            tasks.append(Task(str(folder), source.path, rules, out_px))
    return tasks


def _renderer(networks: Networks, meter: console.Meter, name: str, before_px: int) -> "Upscaler":
    """The networks as `ginr.measuring.benchmark` calls them; `before_px` are done already."""
    import numpy as np

    from ginr.pictures import Picture
    from ginr.rendering.upscale import upscale

    def render(lr: "Image", height: int, width: int) -> "Image":
        nonlocal before_px
        meter.begin(name, before_px)
        before_px += height * width
        picture = Picture(lr)
        network, _ = networks.suited(picture)
        result = upscale(
            picture, network.model, height=height, width=width, tile=network.tile,
            progress=meter.advance, notice=console.say,
        )  # fmt: skip
        return np.asarray(result.samples, np.uint8)

    return render


def _measure_all(
    tasks: Sequence[Task],
    factors: Sequence[float],
    degradation: str,
    networks: Networks,
    perceptual: "Perceptual | None",
    report: ScoreReport,
) -> None:
    """Every picture at every scale."""
    if degradation != "clean":
        console.say(f"LR is damaged, not bicubic alone: degradation {degradation}, by file name.")
    done_px = 0
    with console.Meter(sum(task.out_px for task in tasks)) as meter:
        for number, task in enumerate(tasks, 1):
            if report.as_json:  # without --json the table shows the progress
                console.say(f"{number} of {len(tasks)}: {printable(task.path)}")
            render = _renderer(networks, meter, task.path.name, done_px)
            done_px += task.out_px
            try:
                _measure(task, factors, degradation, render, perceptual, report)
            except Exception as problem:
                report.fail(task.path, problem)


def _measure(
    task: Task,
    factors: Sequence[float],
    degradation: str,
    render: "Upscaler",
    perceptual: "Perceptual | None",
    report: ScoreReport,
) -> None:
    from ginr.measuring.benchmark import reference, score
    from ginr.pictures import read_picture
    from ginr.training.degradation import damaged

    damage = partial(damaged, preset=degradation, name=task.path.stem)
    shrink = None if degradation == "clean" else damage
    picture = read_picture(task.path, task.rules)
    hr, dropped = reference(picture)
    report.note(task.path, (*picture.notes, *dropped))
    for scale in factors:
        try:
            found = score(str(task.path), hr, scale, render, shrink, perceptual)
        except SizeError as problem:
            report.leave_out(task.folder, task.path, scale, problem)
        else:
            report.add(task.folder, found)
