"""`ginr upscale` where URLs are among the paths: what is asked for, and doing it in turn."""

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from ginr.errors import visible
from ginr_cli import console
from ginr_cli.batch.plan import Job
from ginr_cli.batch.run import Where, summing_up
from ginr_cli.batch.sources import EARLIER, names_inputs, names_several
from ginr_cli.batch.work import Work
from ginr_cli.files import Writing
from ginr_cli.load_network import NetworkChoice
from ginr_cli.reports.pictures import Outcome, OutcomeReport
from ginr_cli.restoring import Networks
from ginr_cli.signals import end_if_asked
from ginr_cli.stored.place import place_of
from ginr_cli.stored.task import Order, Stored

if TYPE_CHECKING:
    from ginr.geometry.view import ViewRule
    from ginr.pictures import ReadRules


def split_urls(
    paths: list[str], output: str | None, *, overwrite: bool
) -> tuple[list[str], str | None]:
    """The inputs and the output; the second of two paths is the output, unless it names inputs.

    Raises `UsageError` for one that exists, since it may be a picture to enlarge, and PictureError for
    a store that fails.
    """
    from ginr.stores.store import size_of
    from ginr.stores.urls import is_url, shown

    if output is not None or len(paths) != 2:
        return paths, output
    second = paths[1]
    if not is_url(second) and names_inputs(second):
        return paths, None
    if second.endswith("/") or os.path.isdir(second):
        if overwrite:
            raise console.UsageError(
                f"--overwrite replaces files in a folder only with -o: -o {shown(second)}"
            )
    elif size_of(second) is not None if is_url(second) else os.path.isfile(second):
        raise console.UsageError(
            f"{visible(shown(second))} exists, so it may be an input: name the output with -o"
        )
    return paths[:1], second


def order_of(
    paths: list[str], output: str | None, wanted: "ViewRule", writing: Writing, rules: "ReadRules"
) -> Order:
    """What is asked of every picture. Raises `UsageError`, and PictureError for a store that fails."""
    is_album = any(map(_is_folder, paths))
    batch = is_album or len(paths) > 1 or names_several(paths)
    place = place_of(output, batch, is_album)
    return Order(place, wanted, replace(writing, is_piped=True), rules, batch)


def _is_folder(path: str) -> bool:
    from ginr.stores.store import is_folder
    from ginr.stores.urls import is_url, suffix_of
    from ginr_cli.batch.kinds import outputs

    if is_url(path):
        return suffix_of(path) not in outputs() and is_folder(path)
    return os.path.isdir(path)


def run_stored(tasks: Iterable[Stored], order: Order, where: Where, report: OutcomeReport) -> None:
    """Enlarge pictures as they are listed, here or on a cluster; sums up what was done."""
    with summing_up(report):
        if where.cluster is not None:
            from ginr_cli.cluster.run import run_stored_on_cluster

            run_stored_on_cluster(where.cluster, tasks, where.choices[0], order.writing, report)
        elif len(where.choices) > 1:
            raise console.UsageError(
                "several devices or jobs and URLs: add --cluster auto instead, for all there are"
            )
        else:
            _run_in_turn(tasks, order, where.choices[0], report)


def _run_in_turn(
    tasks: Iterable[Stored], order: Order, choice: NetworkChoice, report: OutcomeReport
) -> None:
    networks = cache(lambda: Networks(choice))

    def work_with(until_reported: ExitStack) -> Callable[[Job], Work]:
        return lambda job: Work(
            job,
            networks(),
            order.writing,
            until_reported,
            console.say,
            lambda done, total: end_if_asked(),
        )

    for task in tasks:
        end_if_asked()
        with ExitStack() as until_reported:
            report_stored(task.do(work_with(until_reported)), report)


def report_stored(outcome: Outcome, report: OutcomeReport) -> None:
    """Report a picture; results of earlier runs are left out, as in a folder of this machine."""
    if outcome.notes == (EARLIER,):
        report.leave_out(outcome.input, EARLIER)
    else:
        report.add(outcome)
