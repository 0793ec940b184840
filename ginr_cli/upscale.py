"""`ginr upscale`: pictures, folders of pictures, larger."""

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ginr_cli import console
from ginr_cli.jobs import Job, Writing, find_sources, plan, split_paths
from ginr_cli.options import (
    CheckpointOption,
    DeviceOption,
    FormatOption,
    JsonOption,
    OutputOption,
    OverwriteOption,
    PathsArgument,
    Precision,
    PrecisionOption,
    QualityOption,
    ScaleOption,
    SizeOption,
    TileOption,
)
from ginr_cli.outcomes import Outcome, Report, outcome_of
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.model import Ginr
    from ginr.size import Target
    from ginr.tiles import Precision as PrecisionName


@dataclass(frozen=True)
class Network:
    """A built network, how it is run, and what the reports say about it."""

    model: "Ginr"
    checkpoint: str
    device: str
    tile: int | None
    precision: "PrecisionName"


def upscale(
    paths: PathsArgument,
    output: OutputOption = None,
    scale: ScaleOption = None,
    size: SizeOption = None,
    checkpoint: CheckpointOption = "small",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    tile: TileOption = 0,
    picture_format: FormatOption = None,
    quality: QualityOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Enlarge pictures and whole folders, to any scale or size.

    In folders, subfolders are kept and pictures that are done are skipped.
    A picture that fails does not stop the others; the exit code is then 1.
    """
    from ginr.checkpoint import peek

    target = _target(scale, size)
    _check_device(device)
    peek(checkpoint)  # a wrong name is told at once, not after torch
    writing = Writing(_suffix(picture_format), quality, overwrite)
    jobs, report = _plan_all(paths, output, target, writing, as_json)
    if jobs:
        if scale is None and size is None:
            console.say("no --scale or --size: enlarging x2")
        network = _load(checkpoint, device, precision, tile)
        try:
            _run_all(jobs, network, report, writing)
        except (KeyboardInterrupt, SystemExit) as end:
            console.say("interrupted" if isinstance(end, KeyboardInterrupt) else "terminated")
            report.sum_up()
            raise
    report.sum_up()
    if report.counts["failed"]:
        raise typer.Exit(1)


def _target(scale: str | None, size: str | None) -> "Target":
    from ginr.errors import SizeError
    from ginr.size import parse_scale, parse_size

    if scale is not None and size is not None:
        raise console.UsageError("--scale and --size together: give one of them")
    try:
        return (
            parse_size(size) if size is not None else parse_scale("2" if scale is None else scale)
        )
    except SizeError as error:
        raise console.UsageError(str(error)) from None


def _check_device(device: str) -> None:
    """Refuses a device that is not there before any folder is made for outputs."""
    from ginr.device import choose_device
    from ginr.errors import GinrError

    if device in ("auto", "cpu"):  # always there: no need to wait for torch
        return
    try:
        choose_device(device)
    except GinrError as error:
        raise console.UsageError(f"--device: {error}") from None


def _suffix(picture_format: str | None) -> str | None:
    from ginr.picture import WRITABLE

    if picture_format is None:
        return None
    suffix = "." + picture_format.lower().removeprefix(".")
    if suffix not in WRITABLE:
        known = ", ".join(sorted(name.removeprefix(".") for name in WRITABLE))
        raise console.UsageError(f"--format {picture_format} cannot be written: use one of {known}")
    return suffix


def _plan_all(
    paths: list[str],
    output: str | None,
    target: "Target",
    writing: Writing,
    as_json: bool,
) -> tuple[list[Job], Report]:
    """The jobs ahead; what cannot be done, or is done already, is reported here."""
    from ginr.errors import PictureError
    from ginr.picture import printable

    inputs, destination = split_paths(paths, output)
    if writing.suffix and destination.path and not destination.is_folder:
        raise console.UsageError(f"--format and the file {destination.path} together: give one")
    report = Report(as_json, batch=len(inputs) > 1 or os.path.isdir(inputs[0]))
    jobs: list[Job] = []
    taken: dict[Path, Path] = {}
    for source in find_sources(inputs, destination, report.fail):
        try:
            job = plan(source, target, destination, writing, batch=report.batch)
            if other := taken.get(job.output):
                raise PictureError(
                    f"{printable(source.path)} would overwrite the output of {printable(other)}, "
                    f"{printable(job.output)}: enlarge it on its own"
                )
        except Exception as problem:
            report.fail(source.path, problem)
            continue
        taken[job.output] = job.source
        if job.done:
            report.add(outcome_of(job, "skipped"))
        else:
            jobs.append(job)
    return jobs, report


def _load(checkpoint: str, device: str, precision: Precision, tile: int) -> Network:
    from ginr.checkpoint import load_checkpoint
    from ginr.device import choose_device

    loaded = load_checkpoint(checkpoint)
    place, reason = choose_device(device)
    console.say(f"{loaded.name} on {place} ({reason})")
    return Network(loaded.build(place), loaded.name, str(place), tile or None, precision.value)


def _run_all(jobs: list[Job], network: Network, report: Report, writing: Writing) -> None:
    from ginr.picture import printable

    before_px = 0
    with console.Meter(sum(job.out_px for job in jobs)) as meter:
        for job in jobs:
            (height, width), (out_height, out_width) = job.size, job.out_size
            source, output = printable(job.source), printable(job.output)
            console.say(f"{source} {width}x{height} -> {output} {out_width}x{out_height}")
            meter.begin(job.source.name, before_px)
            before_px += job.out_px
            with ExitStack() as until_reported:
                try:
                    outcome = _run(job, network, meter, writing, until_reported)
                except Exception as problem:
                    report.fail(job.source, problem)
                else:
                    report.add(outcome)


def _run(
    job: Job,
    network: Network,
    meter: console.Meter,
    writing: Writing,
    until_reported: ExitStack,
) -> Outcome:
    from ginr.picture import losses, printable, read_picture, write_picture
    from ginr.tiles import upscale as enlarge

    start = time.perf_counter()
    with deferred():
        picture = read_picture(job.source)
    notes = (*picture.notes, *losses(picture, job.output))
    if notes:
        console.say(f"{printable(job.source)}: {'; '.join(notes)}")
    height, width = job.out_size
    result = enlarge(
        picture,
        network.model,
        height=height,
        width=width,
        tile=network.tile,
        precision=network.precision,
        progress=meter.advance,
        notice=console.say,
    )
    until_reported.enter_context(deferred())
    write_picture(result, job.output, overwrite=writing.overwrite, quality=writing.quality)
    seconds = round(time.perf_counter() - start, 3)
    return outcome_of(
        job,
        "done",
        seconds=seconds,
        device=network.device,
        checkpoint=network.checkpoint,
        notes=notes,
    )
