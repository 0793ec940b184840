"""Enlarge pictures on several devices: one process each, and the next picture to a free one."""

import multiprocessing
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait

from ginr.errors import GinrError, printable
from ginr_cli import console
from ginr_cli.batch.one_picture import announce, attempted
from ginr_cli.batch.plan import Job
from ginr_cli.files import Writing
from ginr_cli.load_network import NetworkChoice
from ginr_cli.reports.pictures import Outcome, OutcomeReport, failure_of
from ginr_cli.restoring import Networks
from ginr_cli.signals import cleaned_up_by, deferred, end_if_asked, ignoring_sigint, listening

_PATIENCE_S = 10.0
"""Time for finishing a file before its process is asked to end at once."""


def share_out(
    jobs: Sequence[Job], choices: Sequence[NetworkChoice], writing: Writing, report: OutcomeReport
) -> None:
    """Do the jobs on the devices of all choices; reports them in order."""
    choices = choices[: len(jobs)]
    workers: list[_Worker] = []
    with (
        console.Meter(sum(job.out_px for job in jobs)) as meter,
        cleaned_up_by(partial(_terminate, workers)),
    ):
        share = _Share(jobs, report, meter)
        try:
            with ignoring_sigint():
                workers += [_Worker(choice, len(choices), writing) for choice in choices]
            present = {worker.pipe: worker for worker in workers}
            while present and len(share.outcomes) < len(jobs):
                end_if_asked()
                ready = wait(list(present), timeout=0.5)
                for pipe in [pipe for pipe in present if pipe in ready]:
                    with deferred():  # finished pictures are reported
                        if not share.receive(present[pipe]):
                            del present[pipe]
            share.fail_waiting()
        except BaseException:
            _end(workers)
            share.report_rest(workers)
            raise
        finally:
            for worker in workers:
                worker.pipe.close()
                worker.process.join()


class _Worker:
    """A process with its own device, seen from the main process."""

    def __init__(self, choice: NetworkChoice, n_worker: int, writing: Writing) -> None:
        spawn = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.device, self.is_ready = choice.device, False
        self.job: int | None = None
        """Number of the current job."""
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(
            target=_serve, args=(theirs, choice, n_worker, writing), daemon=True
        )
        self.process.start()
        theirs.close()  # so that the pipe ends with the process

    def end(self) -> str:
        """How the process, which has ended, did so."""
        self.process.join()
        code = self.process.exitcode or 0
        how = f"exited with code {code}" if code >= 0 else f"was killed by signal {-code}"
        return f"the process on {self.device} {how}"


class _Share:
    """The jobs, their workers and their outcomes."""

    def __init__(self, jobs: Sequence[Job], report: OutcomeReport, meter: console.Meter) -> None:
        self._jobs, self._report, self._meter = jobs, report, meter
        self._waiting = deque(range(len(jobs)))
        self.outcomes: dict[int, Outcome] = {}
        self._n_reported = 0
        self._done_px = dict.fromkeys(range(len(jobs)), 0)

    def receive(self, worker: _Worker) -> bool:
        """Handle a message of a worker and assign its next job; False if the worker has ended."""
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            self._fail_job_of(worker)
            return False
        match message:
            case str():
                console.say(message)
            case int():
                self._show_progress(worker, message)
            case Exception():  # loading the network failed, as it will for the others
                raise message
            case Outcome() | None:
                worker.is_ready = True
                self._finish(worker, message)
                self._assign(worker)
        return True

    def fail_waiting(self) -> None:
        """Report the jobs that are left without a worker as failed."""
        for number in self._waiting:
            self.outcomes[number] = self._failure(number, "not enlarged, all processes have ended")
        self._report_ready()

    def report_rest(self, workers: Sequence[_Worker]) -> None:
        """After an early end: report finished pictures, also those after unfinished ones."""
        for worker in workers:
            with suppress(EOFError, OSError):
                while worker.pipe.poll():
                    if isinstance(message := worker.pipe.recv(), Outcome):
                        self._finish(worker, message)
        for number in sorted(n for n in self.outcomes if n >= self._n_reported):
            self._report.add(self.outcomes[number])

    def _assign(self, worker: _Worker) -> None:
        if not self._waiting:
            return
        worker.job = self._waiting.popleft()
        job = self._jobs[worker.job]
        announce(job)
        with suppress(OSError):  # it has ended: its pipe says so next
            worker.pipe.send(job)

    def _show_progress(self, worker: _Worker, done_px: int) -> None:
        assert worker.job is not None
        self._done_px[worker.job] = 0
        job = self._jobs[worker.job]
        self._meter.begin(job.source.name, sum(self._done_px.values()), job.frame_px)
        self._meter.advance(done_px, job.out_px)
        self._done_px[worker.job] = done_px

    def _finish(self, worker: _Worker, outcome: Outcome | None) -> None:
        if outcome is None or worker.job is None:
            return
        self.outcomes[worker.job] = outcome
        self._done_px[worker.job] = self._jobs[worker.job].out_px
        worker.job = None
        self._report_ready()

    def _fail_job_of(self, worker: _Worker) -> None:
        """Report the job of a worker that has ended as failed."""
        if not worker.is_ready:
            raise GinrError(f"{worker.end()} before its first picture: leave this device out")
        if worker.job is not None:
            self._finish(worker, self._failure(worker.job, f"{worker.end()} during this picture"))

    def _failure(self, number: int, reason: str) -> Outcome:
        source = self._jobs[number].source
        return failure_of(source, GinrError(f"{printable(source)}: {reason}"))

    def _report_ready(self) -> None:
        while self._n_reported in self.outcomes:
            self._report.add(self.outcomes[self._n_reported])
            self._n_reported += 1


def _terminate(workers: Sequence[_Worker]) -> None:
    """Send SIGTERM to the processes, which first finish a file; a second one ends them at once."""
    for worker in workers:
        worker.process.terminate()


def _end(workers: Sequence[_Worker]) -> None:
    """Terminate the processes, again if that takes too long."""
    _terminate(workers)
    while any(worker.process.is_alive() for worker in workers):
        for worker in workers:
            worker.process.join(_PATIENCE_S)
            worker.process.terminate()


def _serve(
    pipe: "Connection[object, Job]", choice: NetworkChoice, n_worker: int, writing: Writing
) -> None:
    """Run a worker; sends messages (str), pixels done (int), outcomes, and None when ready."""

    def report_progress(done_px: int, total_px: int) -> None:
        end_if_asked()
        pipe.send(done_px)

    with suppress(EOFError, ConnectionError):  # the main process has ended
        try:
            from ginr.kernels.threads import limit_threads, thread_count

            limit_threads(max(1, thread_count() // n_worker))
            networks = Networks(choice, pipe.send)
        except Exception as problem:
            if console.debugging():
                raise
            kind = console.UsageError if isinstance(problem, console.UsageError) else GinrError
            pipe.send(kind(console.describe(problem)))
            return
        with listening():
            pipe.send(None)
            while True:
                job = pipe.recv()
                with attempted(job, networks, writing, pipe.send, report_progress) as outcome:
                    pipe.send(outcome)
