"""A job of `ginr upscale` together with what doing it needs."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from ginr_cli.batch.plan import Job
from ginr_cli.files import Writing
from ginr_cli.restoring import Networks
from ginr_cli.signals import deferred


@dataclass(frozen=True)
class Work:
    """A job, the networks for it, how its output is written, and who is told of it."""

    job: Job
    networks: Networks
    writing: Writing
    until_reported: ExitStack
    """What ends when the outcome is reported."""
    say: Callable[[str], None]
    progress: Callable[[int, int], None]
    """Called with the output pixels that are done, and with all of the job."""

    def is_computed(self) -> None:
        """From now on, signals wait until the outcome is reported."""
        self.until_reported.enter_context(deferred())
