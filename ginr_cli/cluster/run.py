"""Do the jobs of `ginr upscale` on a cluster."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ginr_cli import console
from ginr_cli.batch.one_picture import announce, attempted
from ginr_cli.batch.plan import Job
from ginr_cli.cluster.machines import connected, files_of, machines
from ginr_cli.cluster.parts import Shared, is_large
from ginr_cli.cluster.pool import Pool
from ginr_cli.cluster.tasks import GROUP_PX, Planned, Task, grouped
from ginr_cli.cluster.worker import Setup
from ginr_cli.files import Writing
from ginr_cli.load_network import NetworkChoice
from ginr_cli.reports.pictures import Outcome, OutcomeReport
from ginr_cli.restoring import Networks
from ginr_cli.signals import cleaned_up_by
from ginr_cli.stored.run import report_stored

_DEVICES = ("auto", "cpu", "cuda")
_UNLIMITED = 1 << 30


def check_cluster(choices: Sequence[NetworkChoice]) -> None:
    """Raises `UsageError` for devices that a cluster has no use for."""
    if len(choices) > 1 or choices[0].device not in _DEVICES:
        given = ",".join(choice.device for choice in choices)
        raise console.UsageError(
            f"--device {given}: with --cluster use auto, cpu or cuda, and no --jobs: each core or GPU "
            "of the machines gets a worker"
        )


def run_on_cluster(
    address: str,
    jobs: Sequence[Job],
    choice: NetworkChoice,
    writing: Writing,
    report: OutcomeReport,
) -> None:
    """Do planned jobs, the largest first, and those that several workers share one after the other."""
    large = [job for job in jobs if is_large(job)]
    tasks = [Planned(job, writing) for job in jobs if not is_large(job)]
    tasks.sort(key=lambda task: -task.cost)
    total_px, done_px = sum(job.out_px for job in jobs), 0
    most = _UNLIMITED if large else len(tasks)
    with _pool(address, choice, writing, most) as (pool, n), console.Meter(total_px) as meter:

        def reported(task: Task, outcome: Outcome) -> None:
            nonlocal done_px
            report.add(outcome)
            done_px += task.cost
            meter.begin(os.path.basename(task.name), done_px)

        px = min(GROUP_PX, sum(task.cost for task in tasks) // (8 * n))
        pool.run(grouped(tasks, px), reported)
        if large:
            networks, shared = Networks(choice), Shared(pool, writing, n)
        for job in large:
            announce(job)
            meter.begin(job.source.name, done_px, job.frame_px)
            done_px += job.out_px
            with attempted(job, networks, writing, console.say, meter.advance, shared) as outcome:
                report.add(outcome)


def run_stored_on_cluster(
    address: str,
    tasks: Iterable[Task],
    choice: NetworkChoice,
    writing: Writing,
    report: OutcomeReport,
) -> None:
    """Enlarge pictures of stores as they are listed."""
    with _pool(address, choice, writing, _UNLIMITED) as (pool, _):
        pool.run(grouped(tasks), lambda task, outcome: report_stored(outcome, report))


@contextmanager
def _pool(
    address: str, choice: NetworkChoice, writing: Writing, most: int
) -> Iterator[tuple[Pool, int]]:
    """At most so many workers, and how many there is room for now."""
    setup = Setup(choice, writing, os.getcwd(), files_of(choice))
    with connected(address):
        found = machines()
        if choice.device == "cuda" and not any(machine.n_gpu for machine in found):
            raise console.UsageError("--device cuda: no machine of the cluster has a GPU")
        n = max(1, sum(machine.room(choice.device) for machine in found))
        workers = console.count(min(n, most), "worker")
        console.say(f"{workers} on {console.count(len(found), 'machine')}")
        pool = Pool(setup, most)
        with cleaned_up_by(pool.kill):
            yield pool, n
