"""`ginr upscale`: enlarge pictures and folders of pictures."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from ginr.geometry.size import Target, parse_print
from ginr.geometry.view import ViewRule, parse_box
from ginr_cli import console, options, upscale_options
from ginr_cli.batch.destination import split_paths
from ginr_cli.batch.kinds import outputs
from ginr_cli.batch.run import Where, plan_all, run_all
from ginr_cli.batch.sources import find_sources, names_urls
from ginr_cli.batch.streams import STREAM, Streams, check_stdout, streams
from ginr_cli.defaults import say_ignored
from ginr_cli.files import Writing, clear_left_over
from ginr_cli.load_network import NetworkChoice
from ginr_cli.parsing import only_one, parse_pairs, parse_target, usage
from ginr_cli.reports.pictures import OutcomeReport
from ginr_cli.restoring import choose, parse_detail, parse_restore, recipe
from ginr_cli.signals import cleaned_up_by

if TYPE_CHECKING:
    from ginr.pictures import ReadRules


def upscale(
    paths: upscale_options.Paths,
    output: upscale_options.Output = None,
    scale: options.Scale = None,
    size: options.Size = None,
    paper: upscale_options.Paper = None,
    dpi: upscale_options.Dpi = None,
    box: upscale_options.Box = None,
    checkpoint: options.ChosenCheckpoint = None,
    bank: options.Bank = None,
    restore: upscale_options.Restore = None,
    detail: upscale_options.Detail = "auto",
    device: upscale_options.Devices = "auto",
    jobs: upscale_options.Jobs = 1,
    cluster: upscale_options.Cluster = None,
    precision: options.Precision = options.NumberFormat.AUTO,
    tile: options.Tile = 0,
    ensemble: options.Ensemble = False,
    picture_format: upscale_options.Format = None,
    suffix: upscale_options.Suffix = None,
    quality: options.Quality = None,
    codec: upscale_options.Codec = None,
    encoder_option: upscale_options.EncoderOptions = None,
    overwrite: options.Overwrite = False,
    preview: upscale_options.Preview = False,
    dry_run: upscale_options.DryRun = False,
    watch: upscale_options.Watch = False,
    strict: options.Strict = False,
    allow_truncated: options.AllowTruncated = False,
    allow_large: options.AllowLarge = False,
    as_json: options.Json = False,
    quiet: upscale_options.Quiet = False,
    verbose: upscale_options.Verbose = False,
) -> None:
    """Enlarge pictures and folders of pictures to any scale or size.

    The scale is 2 unless a scale or size is given. Folders keep their
    structure; pictures that are already done are skipped. If one fails, the
    others are still enlarged, and the exit code is 1.
    """
    from ginr.pictures import ReadRules
    from ginr.stores.urls import as_path

    console.configure(quiet=quiet, verbose=verbose)
    say_ignored()
    rules = ReadRules(strict, allow_truncated, allow_large)
    if paper is not None:
        dpi = dpi or 300.0
    wanted = _wanted(scale, size, paper, dpi, box)
    strength = parse_restore(restore, bank)
    invented = parse_detail(detail)
    plain, restorer = choose(checkpoint, strength, bank, invented)
    choices = [
        NetworkChoice(plain, name, precision, tile, ensemble, restorer, strength, bank, invented)
        for name in device.split(",") * jobs
    ]
    where = Where(choices, cluster)
    where.check()  # before torch is loaded
    ending = _ending(picture_format)
    writing = Writing(
        quality, overwrite, ending, dpi, _label(suffix), preview, recipe(choices[0]),
        codec, parse_pairs(encoder_option or []),
    )  # fmt: skip
    paths, output = [as_path(path) for path in paths], output and as_path(output)
    if cluster is not None and (watch or STREAM in (*paths, output)):
        raise console.UsageError("--cluster goes neither with --watch nor with -: leave one out")
    with streams(paths, output, ending) as piped:
        if piped.sent is not None and not dry_run:
            check_stdout(as_json, preview)
        report = _upscale_all(
            piped, wanted, writing, rules, where, as_json,
            is_default_scale=scale is None and size is None and paper is None,
            dry_run=dry_run, watch=watch,
        )  # fmt: skip
        piped.send()
    report.sum_up()
    if report.counts["failed"] or (strict and report.n_unread):
        raise typer.Exit(1)


def _upscale_all(
    piped: Streams,
    wanted: ViewRule,
    writing: Writing,
    rules: "ReadRules",
    where: Where,
    as_json: bool,
    *,
    is_default_scale: bool,
    dry_run: bool,
    watch: bool,
) -> OutcomeReport:
    """Plan and run the jobs, or only announce them; returns the outcome of the inputs."""
    if piped.sent is not None:
        writing = replace(writing, suffix=None, is_piped=True)
    report = OutcomeReport(as_json, is_piped=piped.sent is not None)
    if names_urls(piped.paths, piped.output):
        if dry_run or watch or piped.sent is not None:
            raise console.UsageError(
                "URLs go neither with --dry-run and --watch nor with - as output"
            )
        _upscale_stored(piped, wanted, writing, rules, where, report, is_default_scale)
        return report
    inputs, destination, report.batch = split_paths(
        piped.paths, piped.output, overwrite=writing.overwrite, leave_out=report.leave_out
    )
    if writing.suffix and destination.path and not destination.is_folder:
        raise console.UsageError(
            f"--format cannot be combined with the file name {destination.path}: give only one"
        )
    with cleaned_up_by(destination.tidy):
        if watch:
            if dry_run or len(where.choices) > 1:
                raise console.UsageError(
                    "--watch cannot be combined with --dry-run, or several jobs or devices"
                )
            _say_scale(is_default_scale)
            from ginr_cli.batch.watching import watch_folders

            watch_folders(inputs, destination, wanted, writing, rules, where.choices[0], report)
        sources = list(
            find_sources(inputs, destination.path, report.fail, report.skip, report.leave_out)
        )
        destination = destination.telling_apart(sources, writing)
        jobs = plan_all(sources, destination, wanted, writing, rules, report)
        is_encoded = bool(writing.codec or writing.encoder_options)
        if is_encoded and jobs and not any(job.video_size for job in jobs):
            raise console.UsageError("--codec and --encoder-option are for videos: leave them out")
        _say_scale(is_default_scale and bool(jobs))
        if jobs and dry_run:
            from ginr_cli.batch.rehearsal import announce_all

            announce_all(jobs, where.choices, report)
        elif jobs:
            clear_left_over(job.output.parent for job in jobs)
            run_all(jobs, where, writing, report)
    return report


def _upscale_stored(
    piped: Streams,
    wanted: ViewRule,
    writing: Writing,
    rules: "ReadRules",
    where: Where,
    report: OutcomeReport,
    is_default_scale: bool,
) -> None:
    """Plan and run the jobs of inputs or an output named by URLs."""
    from ginr_cli.stored.listing import find_stored
    from ginr_cli.stored.run import order_of, run_stored, split_urls

    urls = split_urls(piped.paths, piped.output, overwrite=writing.overwrite)
    order = order_of(*urls, wanted, writing, rules)
    _say_scale(is_default_scale)
    report.batch = order.batch
    run_stored(find_stored(urls[0], order, report), order, where, report)


def _say_scale(is_default: bool) -> None:
    if is_default:
        console.say("no --scale or --size: enlarging x2")


def _wanted(
    scale: str | None, size: str | None, paper: str | None, dpi: float | None, box: str | None
) -> ViewRule:
    """The size and part to render; `dpi` is needed with `paper` only."""
    only_one({"--scale": scale, "--size": size, "--print": paper})
    with usage():
        if paper is not None and dpi is not None:
            target: Target = parse_print(paper, dpi)
        else:
            target = parse_target(scale, size, default="2")
        return ViewRule(target, None if box is None else parse_box(box))


def _ending(picture_format: str | None) -> str | None:
    """The suffix of outputs, such as .png. Raises `UsageError` for one that cannot be written."""
    if picture_format is None:
        return None
    suffix = "." + picture_format.lower().removeprefix(".")
    if suffix not in outputs():
        known = ", ".join(sorted(name.removeprefix(".") for name in outputs()))
        raise console.UsageError(f"--format {picture_format} cannot be written: use one of {known}")
    return suffix


def _label(text: str | None) -> str | None:
    """What names of outputs end in. Raises `UsageError` for what is a folder."""
    if text is not None and (set(text) & {"/", os.sep, "\0"}):
        raise console.UsageError(f"--suffix {text}: give the end of a name, without a folder")
    return text
