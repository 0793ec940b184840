"""Which pictures of stores to enlarge, named one after the other: a million names need no memory."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b
from itertools import chain, groupby, islice
from pathlib import Path

from ginr.errors import visible
from ginr_cli.batch.destination import Destination
from ginr_cli.batch.sources import VIDEO, Source, expanded, find_sources, is_list, lines_of
from ginr_cli.console import UsageError, say
from ginr_cli.reports.pictures import OutcomeReport
from ginr_cli.stored.place import Place
from ginr_cli.stored.task import Order, Stored

_GROUP = 10_000
"""Most names that are compared for suffixes alone."""
_HERE = Path("out")


def find_stored(paths: list[str], order: Order, report: OutcomeReport) -> Iterator[Stored]:
    """The pictures that paths and URLs name, those in folders sorted by name as stores list them.

    Skips what `contents_of` skips in folders of this machine, and reports what cannot be listed.
    """
    found = _told_apart(_all(paths, order, report), order)
    is_one = len(paths) == 1 and not is_list(paths[0])
    if order.place == Place() or (is_one and order.place.destination(_HERE).template is None):
        return found  # no two of them have one output
    return _without_equals(found, report)


def _all(paths: list[str], order: Order, report: OutcomeReport) -> Iterator[Stored]:
    from ginr.stores.store import is_folder
    from ginr.stores.urls import is_url, name_of, suffix_of
    from ginr_cli.batch.kinds import outputs

    for path in chain.from_iterable(lines_of(path) if is_list(path) else [path] for path in paths):
        try:
            if not is_url(path):
                yield from _local(path, order, report)
            elif suffix_of(path) not in outputs() and is_folder(path):
                yield from _in_folder(path, order, report)
            else:
                yield Stored(path, name_of(path), order)
        except Exception as problem:
            if isinstance(problem, UsageError):
                raise
            report.fail(path, problem)


def _local(path: str, order: Order, report: OutcomeReport) -> Iterator[Stored]:
    """The pictures on this machine that a path or a pattern names."""
    given = expanded([path], report.leave_out)
    for source in find_sources(given, None, report.fail, report.skip, report.leave_out):
        is_inside = source.folder is not None
        inside = source.path.relative_to(source.folder or source.path.parent).as_posix()
        n_bytes = os.path.getsize(source.path) if source.path.exists() else 0
        name = str(source.path)
        yield Stored(name, inside, order, n_bytes, in_folder=is_inside)


def _in_folder(folder: str, order: Order, report: OutcomeReport) -> Iterator[Stored]:
    from ginr.errors import PictureError
    from ginr.pictures import READABLE, UNREADABLE, why_unreadable
    from ginr.stores.store import files_below
    from ginr.stores.urls import shown, suffix_of
    from ginr.videos import VIDEOS

    start = folder if folder.endswith("://") else folder.rstrip("/") + "/"
    place = order.place.url or ""
    is_nested = place.startswith(start) and place != start
    n_found = 0
    for url, n_bytes in files_below(start):
        suffix = suffix_of(url)
        if is_nested and url.startswith(place):
            continue
        n_found += suffix in READABLE | UNREADABLE
        if suffix in READABLE:
            yield Stored(url, url[len(start) :].lstrip("/"), order, n_bytes, in_folder=True)
        elif suffix in UNREADABLE:
            report.skip(shown(url), why_unreadable(Path(url)))
        elif suffix in VIDEOS:
            say(f"{visible(shown(url))}: {VIDEO}")
            report.leave_out(shown(url), VIDEO)
    if not n_found:
        known = ", ".join(sorted(READABLE))
        raise PictureError(f"{visible(shown(folder))} contains no pictures; supported are {known}")


def _without_equals(tasks: Iterable[Stored], report: OutcomeReport) -> Iterator[Stored]:
    """The pictures less those whose outputs would be called like that of an earlier one."""
    from ginr.errors import PictureError

    taken = set[int]()  # numbers of 8 bytes: names would need ten times the memory
    for task in tasks:
        path = Path(task.inside)
        spelled_out = frozenset([path] if task.is_spelled_out else [])
        destination = replace(task.order.place.destination(_HERE), spelled_out=spelled_out)
        source = Source(path, Path() if task.in_folder else None)
        name = str(destination.output(source, task.order.writing, "", (0, 0)))
        digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        number = int.from_bytes(digest)
        if number in taken:
            problem = PictureError(
                f"{visible(task.name)} would overwrite the output of another input of that name: "
                "enlarge it separately"
            )
            report.fail(task.name, problem)
            continue
        taken.add(number)
        yield task


def _told_apart(tasks: Iterable[Stored], order: Order) -> Iterator[Stored]:
    """The same with different names of outputs for those that differ in their suffix only."""
    for _, group in groupby(tasks, _stem):
        while some := list(islice(group, _GROUP)):
            if len(some) == 1:
                yield some[0]
                continue
            sources = {Path(task.inside): task for task in some}
            told = Destination(None).telling_apart(map(Source, sources), order.writing)
            for path, task in sources.items():
                yield replace(task, is_spelled_out=path in told.spelled_out)


def _stem(task: Stored) -> str:
    """The path up to the first dot of the name: what lies between two such paths begins alike."""
    folder, _, name = task.source.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"
