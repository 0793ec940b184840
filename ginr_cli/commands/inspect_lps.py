"""`ginr inspect-lps`: statistics and plots of the position tokens of checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ginr.errors import CheckpointError, printable, visible
from ginr_cli import console, options
from ginr_cli.files import clear_left_over
from ginr_cli.options import argument, option
from ginr_cli.parsing import usage
from ginr_cli.reports.lp_table import (
    bank_lines,
    history_lines,
    lp_rows,
    picture_rows,
    record,
    table,
    window_map,
)

if TYPE_CHECKING:
    from ginr.checkpoints.checkpoint import Checkpoint
    from ginr.lps.banks import BankReport
    from ginr.lps.history import LpMoment
    from ginr.lps.report import LpReport
    from ginr.lps.response import PictureReport
    from ginr.pictures import Picture

UNMET = 3
"""Exit code when --min-diversity is not met."""


@dataclass
class Subject:
    """A checkpoint on the command line, and what was measured."""

    name: str
    """As given."""
    checkpoint: "Checkpoint"
    report: "LpReport"
    banks: "Sequence[BankReport]"
    history: "Sequence[LpMoment]" = ()
    picture: "PictureReport | None" = None


Checkpoints = Annotated[
    list[str] | None,
    argument(
        "NAME|FILE|RUN",
        "Shipped checkpoints, .safetensors files, or run folders of ginr train, whose history "
        "is shown too. Default: small.",
        show_default=False,
    ),
]


Similarity = Annotated[bool, option("--similarity", "With --json: include the similarity matrix.")]


def inspect_lps(
    checkpoints: Checkpoints = None,
    bank: options.Bank = None,
    image: Annotated[
        Path | None,
        option(
            "--image PICTURE",
            "Also encode the centre of this picture: show what its LPs hold, which pixels change "
            "without one of them, and on which pixels one depends.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, option("--plot FILE", "Draw all results into this picture.")
    ] = None,
    min_diversity: Annotated[
        float | None,
        option(
            "--min-diversity NUMBER",
            "Exit with code 3 if the diversity of a checkpoint is lower.",
            between=(0, 1),
        ),
    ] = None,
    with_similarity: Similarity = False,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    allow_truncated: options.AllowTruncated = False,
    allow_large: options.AllowLarge = False,
    as_json: options.Json = False,
) -> None:
    """Show statistics of the learnable position tokens (LPs) of checkpoints.

    Diversity is 1 minus the mean cosine similarity of all pairs of LPs. The
    effective rank is the number of dimensions they span.
    """
    from ginr.pictures import ReadRules, check_target, read_picture

    if with_similarity and not as_json:
        raise console.UsageError("--similarity needs --json")
    if plot is not None:
        check_target(plot, 1, 1, overwrite=overwrite)
        clear_left_over([plot.parent])
    subjects = [_subject(name, bank) for name in checkpoints or ["small"]]
    if image is not None:
        picture = read_picture(image, ReadRules(strict, allow_truncated, allow_large))
        _measure(subjects, picture, image.name)
    if as_json:
        for subject in subjects:
            console.result_json(_record(subject, with_similarity))
    else:
        _print(subjects)
    if plot is not None:
        _draw(subjects, plot, overwrite)
    if sum(_falls_short(subject, min_diversity) for subject in subjects):  # warns of each
        raise typer.Exit(UNMET)


def _subject(name: str, bank: str | None) -> Subject:
    """Load a checkpoint by its name, its file or the folder of its run, and the bank of --bank."""
    from ginr.checkpoints.checkpoint import load_checkpoint
    from ginr.lps.banks import bank_reports
    from ginr.lps.history import lp_history
    from ginr.lps.report import lp_report

    history: Sequence[LpMoment] = ()
    file: str | Path = name
    if Path(name).is_dir():
        history = lp_history(Path(name))
        file = Path(name, "model.safetensors")
        if not file.exists():
            folder = printable(name)
            raise CheckpointError(f"{folder}: no checkpoint yet: wait for the run's first save")
    checkpoint = load_checkpoint(file)
    banks = dict(checkpoint.banks)
    for own in banks:
        checkpoint.with_bank(own)  # raises for one that is not finite
    if bank is not None:
        with usage("--bank"):
            checkpoint = checkpoint.with_bank(bank)
        banks[bank] = checkpoint.weights["lps"]
    checkpoint.build()  # checks the shapes, which the reports rely on
    return Subject(name, checkpoint, lp_report(checkpoint), bank_reports(banks), history)


def _measure(subjects: Sequence[Subject], picture: "Picture", name: str) -> None:
    """Measure each checkpoint on the picture, with a bar."""
    from ginr.lps.response import picture_report

    with console.Bar(len(subjects)) as bar:
        for k, subject in enumerate(subjects):
            label = f"{name}, {subject.name}"

            def show(done: int, total: int, k: int = k, label: str = label) -> None:
                bar.show(k + done / total, label, f"LP {done} of {total}")

            subject.picture = picture_report(subject.checkpoint, picture, name, show)


def _record(subject: Subject, with_similarity: bool) -> dict[str, object]:
    from ginr.lps.measures import similarity

    values = {"source": subject.name, **record(subject.report)}
    values["banks"] = [record(report) for report in subject.banks]
    if with_similarity:
        values["similarity"] = similarity(subject.checkpoint.weights["lps"]).tolist()
    if subject.history:
        values["history"] = [record(moment) for moment in subject.history]
    if subject.picture is not None:
        values["picture"] = record(subject.picture)
    return values


def _print(subjects: Sequence[Subject]) -> None:
    names = [visible(subject.name) for subject in subjects]
    columns = []
    for subject in subjects:
        measured = [] if subject.picture is None else picture_rows(subject.picture)
        columns.append(lp_rows(subject.report) + measured)
    lines = table(names, columns)
    for name, subject in zip(names, subjects, strict=True):
        lines += ["", *window_map(name, subject.report)]
        if len(subject.banks) > 1:
            lines += ["", *map(visible, bank_lines(name, subject.banks))]
        if subject.history:
            lines += ["", *history_lines(name, subject.history)]
    for line in lines:
        console.result(line)


def _draw(subjects: Sequence[Subject], plot: Path, overwrite: bool) -> None:
    from ginr.lps.plot import Section, draw
    from ginr.pictures import write_picture
    from ginr_cli.signals import deferred

    sections = [
        Section(visible(s.name), s.checkpoint, s.report, s.picture, s.history) for s in subjects
    ]
    page = draw(sections)
    with deferred():
        write_picture(page, plot, overwrite=overwrite)
    console.say(f"plot written to {printable(plot)}")


def _falls_short(subject: Subject, min_diversity: float | None) -> bool:
    """Whether the LPs of a checkpoint are below `min_diversity`; warns if they are too similar."""
    from ginr.lps.report import HEALTHY_DIVERSITY

    report, name = subject.report, visible(subject.name)
    if min_diversity is not None and report.diversity < min_diversity:
        console.say(f"{name}: diversity {report.diversity:.4f} is below {min_diversity:g}")
        return True
    if not report.is_healthy:
        possible = min(report.n_lp, report.width)
        console.say(
            f"warning: {name}: LPs are too similar: diversity {report.diversity:.4f} (healthy: "
            f"above {HEALTHY_DIVERSITY}), effective rank {report.effective_rank:.1f} of {possible}"
        )
    return False
