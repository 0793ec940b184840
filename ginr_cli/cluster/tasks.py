"""What a worker is given: pictures, several small ones together, by what they are expected to cost."""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ginr.errors import printable
from ginr_cli.batch.one_picture import announce, enlarge
from ginr_cli.batch.plan import Job, check_done
from ginr_cli.batch.work import Work
from ginr_cli.files import Writing
from ginr_cli.reports.pictures import Outcome, failure_of, outcome_of

GROUP_PX = 4 << 20
"""Pixels of the pictures that are given together: some seconds of work."""
GROUP = 64
"""Most pictures that are given together."""


class Task(Protocol):
    """A picture to enlarge, or a part of one."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def cost(self) -> int:
        """Expected work, in pixels."""

    def do(self, work_of: Callable[[Job], Work], *, again: bool = False) -> Any:
        """Enlarge it; returns the outcome, or what was made of a part. `again`: an earlier worker may have done it, and died before it said so."""


@dataclass
class Try:
    """A picture, and what its workers came to."""

    task: Task
    deaths: int = 0
    again: bool = False


@dataclass(frozen=True)
class OfJob:
    """A task whose files are on a disk that all machines share."""

    job: Job

    @property
    def name(self) -> str:
        return str(self.job.source)


@dataclass(frozen=True)
class Planned(OfJob):
    """A planned picture."""

    writing: Writing

    @property
    def cost(self) -> int:
        """Pixels of the output."""
        return self.job.out_px

    def do(self, work_of: Callable[[Job], Work], *, again: bool = False) -> Outcome:
        job = self.job
        try:
            check_shared(job)
            if again and os.path.isfile(job.output) and not self.writing.overwrite:
                check_done(job, self.writing)
                return replace(outcome_of(job), status="done")
            announce(job)
            return enlarge(work_of(job))
        except Exception as problem:
            return failure_of(job.source, problem)


def check_shared(job: Job) -> None:
    """Raises PictureError on a machine where the folders of the job are not."""
    from ginr.errors import PictureError

    if not (os.path.lexists(job.source) and os.path.isdir(job.output.parent)):
        raise PictureError(
            f"{printable(job.source)}: it or the folder of its output is not on "
            f"{socket.gethostname()}: use a folder that all machines share, or URLs"
        )


def grouped(tasks: Iterable[Task], most_px: int = GROUP_PX) -> Iterator[list[Task]]:
    """Tasks in groups of at most `GROUP`, and of at most so many pixels unless one alone has more."""
    group, px = list[Task](), 0
    for task in tasks:
        if group and (px + task.cost > most_px or len(group) == GROUP):
            yield group
            group, px = [], 0
        group.append(task)
        px += task.cost
    if group:
        yield group
