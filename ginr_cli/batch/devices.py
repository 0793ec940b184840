"""Several devices at one list of pictures: a process each, and the next picture to whoever is free."""

import multiprocessing
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, wait

from ginr_cli import console
from ginr_cli.batch.one_picture import announce, enlarge
from ginr_cli.batch.plan import Job
from ginr_cli.files import Writing
from ginr_cli.load_network import LoadedNetwork, NetworkChoice, load_upscaler
from ginr_cli.reports.pictures import Outcome, OutcomeReport, failure_of
from ginr_cli.signals import deferred, ignoring_sigint, unwinding

_PATIENCE_S = 10.0
"""How long a file that is being finished may take before its process is asked once more."""


def share_out(
    jobs: Sequence[Job], choices: Sequence[NetworkChoice], writing: Writing, report: OutcomeReport
) -> None:
    """Does the jobs on all the choices' devices, and reports them in their order, as one would."""
    choices = choices[: len(jobs)]
    with console.Meter(sum(job.out_px for job in jobs)) as meter:
        share, workers = _Share(jobs, report, meter), list[_Worker]()
        try:
            with ignoring_sigint():
                workers += [_Worker(choice, len(choices), writing) for choice in choices]
            present = {worker.pipe: worker for worker in workers}
            while present and not share.is_done:
                ready = wait(list(present))
                for pipe in [pipe for pipe in present if pipe in ready]:
                    with deferred():  # what is made is reported
                        if not share.receive(present[pipe]):
                            del present[pipe]
            share.fail_waiting()
        except BaseException:
            _terminate(workers)
            share.report_rest(workers)
            raise
        finally:
            for worker in workers:
                worker.pipe.close()
                worker.process.join()


class _Worker:
    """A process with a device of its own, as the one that hands out the jobs sees it."""

    def __init__(self, choice: NetworkChoice, n_worker: int, writing: Writing) -> None:
        spawn = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.device, self.is_ready = choice.device, False
        self.job: int | None = None
        """The number of the job at hand."""
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(
            target=_serve, args=(theirs, choice, n_worker, writing), daemon=True
        )
        self.process.start()
        theirs.close()  # so that the pipe ends with the process

    def end(self) -> str:
        """How the process came to its end, which it has."""
        self.process.join()
        code = self.process.exitcode or 0
        return f"ended with code {code}" if code >= 0 else f"was ended by signal {-code}"


class _Share:
    """The jobs, who has which, and what has become of them."""

    def __init__(self, jobs: Sequence[Job], report: OutcomeReport, meter: console.Meter) -> None:
        self._jobs, self._report, self._meter = jobs, report, meter
        self._waiting = deque(range(len(jobs)))
        self._outcomes: dict[int, Outcome] = {}
        self._n_reported = 0
        self._done_px = dict.fromkeys(range(len(jobs)), 0)

    @property
    def is_done(self) -> bool:
        return len(self._outcomes) == len(self._jobs)

    def receive(self, worker: _Worker) -> bool:
        """What a worker has to say, answered with its next job; whether it is still there."""
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
            case Exception():  # it has no network, and neither will the others
                raise message
            case Outcome() | None:
                worker.is_ready = True
                self._finish(worker, message)
                self._assign(worker)
        return True

    def fail_waiting(self) -> None:
        """The jobs for which no worker is left."""
        from ginr.errors import GinrError

        for number in self._waiting:
            source = self._jobs[number].source
            problem = GinrError(f"{console.printable(source)}: no process is left to make it")
            self._outcomes[number] = failure_of(source, problem)
        self._report_ready()

    def report_rest(self, workers: Sequence[_Worker]) -> None:
        """After an early end: reports what was made, whatever is missing before it."""
        for worker in workers:
            with suppress(EOFError, OSError):
                while worker.pipe.poll():
                    if isinstance(message := worker.pipe.recv(), Outcome):
                        self._finish(worker, message)
        for number in sorted(n for n in self._outcomes if n >= self._n_reported):
            self._report.add(self._outcomes[number])

    def _assign(self, worker: _Worker) -> None:
        if not self._waiting:
            return
        worker.job = self._waiting.popleft()
        job = self._jobs[worker.job]
        announce(job)
        with suppress(OSError):  # it is gone: its pipe says so next
            worker.pipe.send(job)

    def _show_progress(self, worker: _Worker, done_px: int) -> None:
        assert worker.job is not None
        self._done_px[worker.job] = 0
        job = self._jobs[worker.job]
        self._meter.begin(job.source.name, sum(self._done_px.values()))
        self._meter.advance(done_px, job.out_px)
        self._done_px[worker.job] = done_px

    def _finish(self, worker: _Worker, outcome: Outcome | None) -> None:
        if outcome is None or worker.job is None:
            return
        self._outcomes[worker.job] = outcome
        self._done_px[worker.job] = self._jobs[worker.job].out_px
        worker.job = None
        self._report_ready()

    def _fail_job_of(self, worker: _Worker) -> None:
        """A process has ended by itself: what it had at hand is not made."""
        from ginr.errors import GinrError

        ended = f"the process on {worker.device} {worker.end()}"
        if not worker.is_ready:
            raise GinrError(f"{ended} before its first picture: leave this device out")
        if worker.job is None:
            return
        source = self._jobs[worker.job].source
        problem = GinrError(f"{console.printable(source)}: {ended} while it was at work on it")
        if console.debugging():
            raise problem
        self._finish(worker, failure_of(source, problem))

    def _report_ready(self) -> None:
        while self._n_reported in self._outcomes:
            self._report.add(self._outcomes[self._n_reported])
            self._n_reported += 1


def _terminate(workers: Sequence[_Worker]) -> None:
    """End the processes as SIGTERM ends one: a file that is being finished is, unless asked twice."""
    for worker in workers:
        worker.process.terminate()
    try:
        while any(worker.process.is_alive() for worker in workers):
            for worker in workers:
                worker.process.join(_PATIENCE_S)
                worker.process.terminate()  # again: the first one may have come to nothing
    except BaseException:
        for worker in workers:
            worker.process.terminate()
        raise


def _serve(
    pipe: "Connection[object, Job]", choice: NetworkChoice, n_worker: int, writing: Writing
) -> None:
    """A worker's process: says words (str), pixels done (int), outcomes, and None when it is ready."""
    with suppress(EOFError, ConnectionError):  # nobody hands out jobs any more
        try:
            from ginr.kernels.threads import limit_threads, thread_count

            limit_threads(max(1, thread_count() // n_worker))
            network = load_upscaler(choice, pipe.send)
        except Exception as problem:
            if console.debugging():
                raise
            pipe.send(_sendable(problem))
            return
        with unwinding():
            pipe.send(None)
            while True:
                _serve_job(pipe.recv(), network, writing, pipe)


def _serve_job(
    job: Job, network: LoadedNetwork, writing: Writing, pipe: "Connection[object, Job]"
) -> None:
    with ExitStack() as until_reported:
        try:
            outcome = enlarge(
                job, network, writing, until_reported,
                say=pipe.send, progress=lambda done_px, total_px: pipe.send(done_px),
            )  # fmt: skip
        except Exception as problem:
            if console.debugging():
                raise
            outcome = failure_of(job.source, problem)
        pipe.send(outcome)


def _sendable(problem: Exception) -> Exception:
    from ginr.errors import GinrError

    kind = console.UsageError if isinstance(problem, console.UsageError) else GinrError
    return kind(console.describe(problem))
