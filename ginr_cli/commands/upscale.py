"""`ginr upscale`: pictures, folders of pictures, larger."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ginr_cli import console
from ginr_cli.batch.one_picture import announce, enlarge
from ginr_cli.batch.plan import Destination, Job, find_sources, plan, split_paths
from ginr_cli.console import printable
from ginr_cli.files import Writing
from ginr_cli.load_network import LoadedNetwork, NetworkChoice, check_network, load_upscaler
from ginr_cli.options import (
    BoxOption,
    CheckpointOption,
    DevicesOption,
    DpiOption,
    EnsembleOption,
    FormatOption,
    JsonOption,
    OutputOption,
    OverwriteOption,
    PathsArgument,
    Precision,
    PrecisionOption,
    PrintOption,
    QualityOption,
    ScaleOption,
    SizeOption,
    TileOption,
)
from ginr_cli.parsing import only_one, parse_target, usage
from ginr_cli.reports.pictures import OutcomeReport, outcome_of

if TYPE_CHECKING:
    from ginr.geometry.size import Target
    from ginr.geometry.view import ViewRule


def upscale(
    paths: PathsArgument,
    output: OutputOption = None,
    scale: ScaleOption = None,
    size: SizeOption = None,
    paper: PrintOption = None,
    dpi: DpiOption = None,
    box: BoxOption = None,
    checkpoint: CheckpointOption = "small",
    device: DevicesOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    tile: TileOption = 0,
    ensemble: EnsembleOption = False,
    picture_format: FormatOption = None,
    quality: QualityOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Enlarge pictures and whole folders, to any scale or size.

    In folders, subfolders are kept and pictures that are done are skipped.
    A picture that fails does not stop the others; the exit code is then 1.
    """
    if paper is not None:
        dpi = dpi or 300.0
    wanted = _wanted(scale, size, paper, dpi, box)
    choices = [
        NetworkChoice(checkpoint, name, precision, tile, ensemble) for name in device.split(",")
    ]
    for choice in choices:  # a wrong one is told at once, not after torch
        check_network(choice)
    writing = Writing(quality, overwrite, _suffix(picture_format), dpi)
    inputs, destination = split_paths(paths, output)
    try:
        jobs, report = _plan_all(inputs, destination, wanted, writing, as_json)
        if jobs:
            if scale is None and size is None and paper is None:
                console.say("no --scale or --size: enlarging x2")
            _run_all(jobs, choices, writing, report)
    finally:
        destination.tidy()
    report.sum_up()
    if report.counts["failed"]:
        raise typer.Exit(1)


def _wanted(
    scale: str | None, size: str | None, paper: str | None, dpi: float | None, box: str | None
) -> "ViewRule":
    """How large and what part, from the options; `dpi` is that of the paper, if there is any."""
    from ginr.geometry.size import parse_print
    from ginr.geometry.view import ViewRule, parse_box

    only_one({"--scale": scale, "--size": size, "--print": paper})
    with usage():
        if paper is not None and dpi is not None:
            target: Target = parse_print(paper, dpi)
        else:
            target = parse_target(scale, size, default="2")
        return ViewRule(target, None if box is None else parse_box(box))


def _suffix(picture_format: str | None) -> str | None:
    from ginr.pictures import WRITABLE

    if picture_format is None:
        return None
    suffix = "." + picture_format.lower().removeprefix(".")
    if suffix not in WRITABLE:
        known = ", ".join(sorted(name.removeprefix(".") for name in WRITABLE))
        raise console.UsageError(f"--format {picture_format} cannot be written: use one of {known}")
    return suffix


def _plan_all(
    inputs: list[Path],
    destination: Destination,
    wanted: "ViewRule",
    writing: Writing,
    as_json: bool,
) -> tuple[list[Job], OutcomeReport]:
    """The jobs ahead; what cannot be done, or is done already, is reported here."""
    from ginr.errors import PictureError

    if writing.suffix and destination.path and not destination.is_folder:
        raise console.UsageError(f"--format and the file {destination.path} together: give one")
    report = OutcomeReport(as_json, batch=len(inputs) > 1 or os.path.isdir(inputs[0]))
    jobs: list[Job] = []
    taken: dict[Path, Path] = {}
    for source in find_sources(inputs, destination, report.fail):
        try:
            job = plan(source, wanted, destination, writing, batch=report.batch)
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
            report.add(outcome_of(job))
        else:
            jobs.append(job)
    return jobs, report


def _run_all(
    jobs: list[Job], choices: Sequence[NetworkChoice], writing: Writing, report: OutcomeReport
) -> None:
    """Does the jobs, on as many devices as are chosen; what is done is counted whatever happens."""
    try:
        if len(choices) > 1 and len(jobs) > 1:
            from ginr_cli.batch.devices import share_out

            share_out(jobs, choices, writing, report)
        else:
            if len(choices) > 1:
                console.say(f"one picture takes one device: {choices[0].device}")
            _run_in_turn(jobs, load_upscaler(choices[0]), writing, report)
    except (KeyboardInterrupt, SystemExit) as end:
        console.say("interrupted" if isinstance(end, KeyboardInterrupt) else "terminated")
        report.sum_up()
        raise


def _run_in_turn(
    jobs: list[Job], network: LoadedNetwork, writing: Writing, report: OutcomeReport
) -> None:
    before_px = 0
    with console.Meter(sum(job.out_px for job in jobs)) as meter:
        for job in jobs:
            announce(job)
            meter.begin(job.source.name, before_px)
            before_px += job.out_px
            with ExitStack() as until_reported:
                try:
                    outcome = enlarge(
                        job, network, writing, until_reported,
                        say=console.say, progress=meter.advance,
                    )  # fmt: skip
                except Exception as problem:
                    report.fail(job.source, problem)
                else:
                    report.add(outcome)
