"""A process on a machine of the cluster that keeps its networks and enlarges what it is given."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ginr_cli import console
from ginr_cli.batch.plan import Job
from ginr_cli.batch.work import Work
from ginr_cli.cluster.tasks import Task
from ginr_cli.files import Writing
from ginr_cli.load_network import NetworkChoice
from ginr_cli.restoring import Networks


class Sent(NamedTuple):
    """A file that a worker may lack."""

    parts: tuple[str, ...]
    """What its path ends in, from which the network is named."""
    data: bytes


@dataclass(frozen=True)
class Setup:
    """What every worker of a run is told once."""

    choice: NetworkChoice
    writing: Writing
    folder: str
    """The current folder of the command."""
    files: Mapping[str, Sent]
    """Checkpoints and banks that do not come with ginr, by what the choice calls them."""


class Hello(NamedTuple):
    """What a worker says when it has started."""

    node: str
    version: str


class Said(NamedTuple):
    """What a worker says after each task."""

    messages: list[str]
    result: Any


class Trouble(NamedTuple):
    """What a worker says if no picture can be enlarged, as will the others."""

    error: str


class Cancelled(BaseException):
    """The run ends: what is half-written is removed on the way out."""


class Unloadable(BaseException):
    """The networks cannot be loaded; not an Exception, which would be the failure of one picture."""


class Worker:
    """Runs as a Ray actor."""

    def __init__(self, setup: Setup, n_threads: int) -> None:
        self._setup, self._n_threads = setup, n_threads
        self._messages, self._is_cancelled = list[str](), False
        console.tell(self._messages.append)
        if os.path.isdir(setup.folder):  # paths are as in the command
            os.chdir(setup.folder)

    def hello(self) -> Hello:
        """Where it runs, and which ginr."""
        import ray

        from ginr import __version__

        return Hello(ray.get_runtime_context().get_node_id(), str(__version__))

    def do(self, tasks: Sequence[tuple[Task, bool]]) -> Iterator[Said | Trouble]:
        """Enlarge pictures; with each, whether it may have been done by another worker."""
        for task, again in tasks:
            if self._is_cancelled:
                return
            with ExitStack() as until_reported:
                try:
                    result = task.do(self._work_with(until_reported), again=again)
                except Cancelled:
                    return
                except Unloadable as problem:
                    yield Trouble(str(problem))
                    return
            said = Said(list(self._messages), result)
            self._messages.clear()
            yield said

    def cancel(self) -> None:
        """End at the next tile; called from another thread."""
        self._is_cancelled = True

    @cached_property
    def networks(self) -> Networks:
        """Those of this worker, loaded for its first picture."""
        from ginr.kernels.threads import limit_threads

        limit_threads(self._n_threads)
        try:
            return Networks(_at_hand(self._setup))
        except Exception as problem:
            if console.debugging():
                raise
            raise Unloadable(console.describe(problem)) from problem

    def _work_with(self, until_reported: ExitStack) -> Callable[[Job], Work]:
        return lambda job: Work(
            job, self.networks, self._setup.writing, until_reported, console.say, self._progress
        )

    def _progress(self, done_px: int, total_px: int) -> None:
        if self._is_cancelled:
            raise Cancelled


def _at_hand(setup: Setup) -> NetworkChoice:
    """The choice with paths that exist on this machine."""
    paths = dict[str, str]()
    for name, sent in setup.files.items():
        if not os.path.exists(name):
            path = Path(tempfile.mkdtemp(prefix="ginr-"), *sent.parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sent.data)
            paths[name] = str(path)
    choice = setup.choice
    return replace(
        choice,
        checkpoint=paths.get(choice.checkpoint, choice.checkpoint),
        restorer=paths.get(choice.restorer or "", choice.restorer),
        bank=paths.get(choice.bank or "", choice.bank),
    )
