"""Plan the jobs of `ginr upscale`, and do them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.errors import PictureError, printable
from ginr.geometry.view import ViewRule
from ginr_cli import console
from ginr_cli.batch.destination import Destination
from ginr_cli.batch.one_picture import announce, attempted
from ginr_cli.batch.plan import Job, identity, plan
from ginr_cli.batch.sources import Source
from ginr_cli.files import Writing
from ginr_cli.load_network import NetworkChoice, check_network
from ginr_cli.reports.pictures import OutcomeReport, outcome_of
from ginr_cli.restoring import Networks
from ginr_cli.signals import end_if_asked

if TYPE_CHECKING:
    from ginr.pictures import ReadRules


def plan_all(
    sources: Sequence[Source],
    destination: Destination,
    wanted: ViewRule,
    writing: Writing,
    rules: "ReadRules",
    report: OutcomeReport,
) -> list[Job]:
    """The jobs to do; reports those that cannot be done or are done already."""
    jobs: list[Job] = []
    taken: dict[Path, Path] = {}
    present = {found for source in sources if (found := identity(source.path)) is not None}
    for source in sources:
        end_if_asked()
        try:
            job = plan(source, wanted, destination, writing, present, rules, batch=report.batch)
            if other := taken.get(job.output):
                raise PictureError(
                    f"{printable(source.path)} would overwrite the output of {printable(other)}, "
                    f"{printable(job.output)}: enlarge it separately"
                )
        except Exception as problem:
            report.fail(source.path, problem)
            continue
        taken[job.output] = job.source
        if job.done:
            report.add(outcome_of(job))
        else:
            jobs.append(job)
    return jobs


@contextmanager
def summing_up(report: OutcomeReport) -> Iterator[None]:
    """Sums up what was done if a signal ends the block."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        console.say_end(end)
        report.sum_up()
        raise


@dataclass(frozen=True)
class Where:
    """Where pictures are enlarged: on devices of this machine, or by workers on a cluster."""

    choices: Sequence[NetworkChoice]
    """The network, on each device."""
    cluster: str | None = None
    """The address of the cluster."""

    def check(self) -> None:
        """Raises an error for what is not available, before any output is created."""
        for choice in self.choices:
            if self.cluster is None:
                check_network(choice)
            else:
                check_network(replace(choice, device="auto"))  # this machine's devices do not count
        if self.cluster is not None:
            from ginr_cli.cluster.run import check_cluster

            check_cluster(self.choices)


def run_all(jobs: Sequence[Job], where: Where, writing: Writing, report: OutcomeReport) -> None:
    """Do the jobs on the chosen devices; sums up what was done, interrupted or not."""
    choices = where.choices
    with summing_up(report):
        if where.cluster is not None:
            from ginr_cli.cluster.run import run_on_cluster

            run_on_cluster(where.cluster, jobs, choices[0], writing, report)
        elif len(choices) > 1 and len(jobs) > 1:
            from ginr_cli.batch.devices import share_out

            share_out(jobs, choices, writing, report)
        else:
            if len(choices) > 1:
                console.say(f"one picture uses one device: {choices[0].device}")
            run_in_turn(jobs, Networks(choices[0]), writing, report)


def run_in_turn(
    jobs: Sequence[Job], networks: Networks, writing: Writing, report: OutcomeReport
) -> None:
    """Do the jobs one after the other."""
    before_px = 0
    with console.Meter(sum(job.out_px for job in jobs)) as meter:
        for job in jobs:
            announce(job)
            meter.begin(job.source.name, before_px, job.frame_px)
            before_px += job.out_px
            with attempted(job, networks, writing, console.say, meter.advance) as outcome:
                report.add(outcome)
