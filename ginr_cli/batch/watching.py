"""Enlarge pictures as they arrive in folders: `ginr upscale --watch`."""

import os
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ginr.errors import printable
from ginr.geometry.view import ViewRule
from ginr_cli import console
from ginr_cli.batch.destination import Destination
from ginr_cli.batch.run import plan_all, run_in_turn, summing_up
from ginr_cli.batch.sources import VIDEO, Source, contents_of
from ginr_cli.files import Writing, clear_left_over
from ginr_cli.load_network import NetworkChoice
from ginr_cli.reports.pictures import OutcomeReport
from ginr_cli.restoring import Networks
from ginr_cli.signals import StopRequest

if TYPE_CHECKING:
    from ginr.pictures import ReadRules

_PERIOD_MS = 500
"""A file that has not changed for so long is complete."""
Stamp = tuple[int, int, int]
"""Size, time of the last change and number of a file."""


def watch_folders(
    folders: Sequence[Path],
    destination: Destination,
    wanted: ViewRule,
    writing: Writing,
    rules: "ReadRules",
    choice: NetworkChoice,
    report: OutcomeReport,
) -> NoReturn:
    """Enlarge the pictures in folders, and those that arrive, until a signal ends it.

    Raises `UsageError` if an input is not a folder, or without watchfiles.
    """
    if no_folder := next((path for path in folders if not os.path.isdir(path)), None):
        raise console.UsageError(f"--watch: {printable(no_folder)} is not a folder")
    networks = Networks(choice)
    known, written = list[Source](), set[Path]()
    with summing_up(report):
        for sources in arrivals(folders, destination.path, written):
            sources = list(_readable(sources, report))
            known += sources
            apart = destination.telling_apart(known, writing)
            jobs = plan_all(sources, apart, wanted, writing, rules, report)
            written.update(job.output.absolute() for job in jobs)
            clear_left_over(job.output.parent for job in jobs)
            run_in_turn(jobs, networks, writing, report)
    raise AssertionError("unreachable: only a signal ends it")


def arrivals(folders: Sequence[Path], place: Path | None, own: Set[Path]) -> Iterator[list[Source]]:
    """Pictures in folders, those that are there first, each when it is complete or has changed.

    Leaves out what `contents_of` leaves out, and the paths in `own`. Raises KeyboardInterrupt or
    SystemExit after a signal.
    """
    try:
        from watchfiles import watch
    except ImportError:
        message = '--watch needs watchfiles: pip install "ginr[watch]"'
        raise console.UsageError(message) from None

    stop, taken, before = StopRequest(), dict[Path, Stamp](), dict[Path, Stamp]()
    changes = watch(
        *folders, debounce=_PERIOD_MS, rust_timeout=_PERIOD_MS, yield_on_timeout=True,
        raise_interrupt=False,
    )  # fmt: skip
    names = ", ".join(map(printable, folders))
    console.say(f"watching {names}: Ctrl+C to stop")
    is_due = True
    while True:
        with stop.listening():  # nothing is lost by ending here
            is_due |= bool(next(changes, None))
            stop.end_if_made()
        if not is_due:
            continue
        sources = _present(folders, place, own)
        now = {path: stamp for path in sources if (stamp := _stamp(path)) is not None}
        new = [path for path, stamp in now.items() if taken.get(path) != stamp]
        complete = [path for path in new if before.get(path) == now[path]]
        before, is_due = now, len(new) > len(complete)
        taken.update((path, now[path]) for path in complete)
        if complete:
            yield [sources[path] for path in complete]


def _readable(sources: Sequence[Source], report: OutcomeReport) -> Iterator[Source]:
    """The pictures that can be read; reports the others, and videos."""
    from ginr.pictures import UNREADABLE, why_unreadable
    from ginr.videos import VIDEOS

    for source in sources:
        suffix = source.path.suffix.lower()
        if suffix in UNREADABLE:
            report.skip(source.path, why_unreadable(source.path))
        elif suffix in VIDEOS:
            console.say(f"{printable(source.path)}: {VIDEO}")
            report.leave_out(source.path, VIDEO)
        else:
            yield source


def _present(folders: Sequence[Path], place: Path | None, own: Set[Path]) -> dict[Path, Source]:
    found = dict[Path, Source]()
    for folder in folders:
        contents = contents_of(folder, place)
        found.update((path, Source(path, folder)) for path in contents.pictures + contents.videos)
    return {path: source for path, source in found.items() if path.absolute() not in own}


def _stamp(path: Path) -> Stamp | None:
    """None for a file that is empty or has gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ino) if found.st_size else None
