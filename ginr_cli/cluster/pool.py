"""The workers of a run: hired where there is room, fed group by group, replaced when they die."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from ginr.errors import printable
from ginr_cli import console
from ginr_cli.cluster.machines import Hired, Machine, hired, machines, the_ray
from ginr_cli.cluster.tasks import Task, Try
from ginr_cli.cluster.worker import Said, Setup, Trouble
from ginr_cli.reports.pictures import failure_of
from ginr_cli.signals import deferred, end_if_asked

_AHEAD = 2
"""Groups that a worker is given at once: the next one waits when one is done."""
_DEATHS = 2
"""Workers that a picture may take with it."""
_BAD_STARTS = 3
"""Workers that may fail to start on a machine before it is left out."""
_HIRING_S = 2.0
_PATIENCE_S = 10.0
"""Time for workers to leave their pictures when the run ends."""


class Pool:
    """Workers, what they have been given, and what waits."""

    def __init__(self, setup: Setup, most: int) -> None:
        """At most `most` workers are hired, when there is work."""
        self._setup, self._most = setup, most
        self._report: Callable[[Task, Any], None] = lambda task, result: None
        self._groups = iter(list[list[Try]]())
        self._waiting = deque[list[Try]]()  # from workers that died
        self._workers, self._bad_starts = list[Hired](), dict[str | None, int]()
        self._looked, self._is_told = 0.0, False
        self._start = time.monotonic()

    def run(self, groups: Iterator[list[Task]], report: Callable[[Task, Any], None]) -> None:
        """Do everything; `report` gets what `Task.do` returns, or the outcome of one that failed.

        Raises GinrError if workers cannot start, or cannot load the networks.
        """
        self._give_out(groups, report)
        try:
            while self._step():
                pass
        except BaseException:
            self._cancel()
            raise

    def in_order(self, tasks: Iterable[Task], ahead: int) -> Iterator[Any]:
        """The results of tasks, in order; as `run`, but at most `ahead` tasks before what is taken."""
        numbers, results, n_taken = dict[int, int](), dict[int, Any](), 0  # by identity

        def groups() -> Iterator[list[Task]]:
            for number, task in enumerate(tasks):
                while number - n_taken >= ahead:
                    yield []
                numbers[id(task)] = number
                yield [task]

        def report(task: Task, result: Any) -> None:
            results[numbers.pop(id(task))] = result

        self._give_out(groups(), report)
        try:
            while self._step() or results:
                while n_taken in results:
                    result = results.pop(n_taken)
                    n_taken += 1
                    yield result
        except BaseException:
            self._cancel()
            raise

    def _give_out(self, groups: Iterator[list[Task]], report: Callable[[Task, Any], None]) -> None:
        self._groups = ([Try(task) for task in group] for group in groups)
        self._report = report

    def _step(self) -> bool:
        """Hire, give and listen; False if nothing is left to do."""
        if not self._has_work():
            return False
        end_if_asked()
        self._hire()
        self._listen()
        return True

    def kill(self) -> None:
        """End all workers at once; also called from another thread."""
        for worker in list(self._workers):
            worker.kill()

    def _has_work(self) -> bool:
        """Give the workers what they have room for; False if nothing is left to do."""
        for ahead in range(1, _AHEAD + 1):  # first one for each
            for worker in self._workers:
                if worker.is_ready and len(worker.given) < ahead and (group := self._next()):
                    self._give(worker, group)
        if any(worker.given for worker in self._workers):
            return True
        group = self._next()
        if group:
            self._waiting.appendleft(group)
        return group is not None

    def _next(self) -> list[Try] | None:
        """The next group, an empty one if it is not its time yet, None after the last."""
        return self._waiting.popleft() if self._waiting else next(self._groups, None)

    def _give(self, worker: Hired, group: list[Try]) -> None:
        items = [(one.task, one.again) for one in group]
        stream = worker.actor.do.options(num_returns="streaming").remote(items)
        worker.given.append((deque(group), stream))

    def _hire(self) -> None:
        """Hire workers where there is room, and one more: a cluster that grows does so for it."""
        now = time.monotonic()
        if now - self._looked < _HIRING_S:
            return
        self._looked = now
        for machine in machines():
            here = sum(worker.node == machine.id for worker in self._workers)
            for _ in range(machine.room(self._setup.choice.device) - here):
                self._hire_one(machine)
        if all(worker.is_ready for worker in self._workers):
            self._hire_one(None)
        if not self._is_told and now - self._start > 10 and not self._ready():
            self._is_told = True
            console.say("waiting for a free core in the cluster")

    def _hire_one(self, machine: Machine | None) -> None:
        node = None if machine is None else machine.id
        if len(self._workers) >= self._most or self._bad_starts.get(node, 0) >= _BAD_STARTS:
            return
        actor = hired(self._setup, machine)
        self._workers.append(Hired(actor, node, actor.hello.remote()))

    def _ready(self) -> list[Hired]:
        return [worker for worker in self._workers if worker.is_ready]

    def _listen(self) -> None:
        """Wait for what workers say, and take it in."""
        ray = the_ray()
        promised = {
            worker.given[0][1] if worker.is_ready else worker.hello: worker
            for worker in self._workers
            if worker.given or not worker.is_ready
        }
        if not promised:
            time.sleep(0.1)
            return
        ready, _ = ray.wait(list(promised), num_returns=1, timeout=0.5)
        if ready:
            ready, _ = ray.wait(list(promised), num_returns=len(promised), timeout=0)
        for promise in ready:
            end_if_asked()
            with deferred():  # finished pictures are reported
                if promised[promise].is_ready:
                    self._hear(promised[promise])
                else:
                    self._welcome(promised[promise])

    def _welcome(self, worker: Hired) -> None:
        """Take in the first words of a worker. Raises GinrError if no machine is left."""
        from ginr import __version__
        from ginr.errors import GinrError

        try:
            hello = the_ray().get(worker.hello)
            if hello.version == __version__:
                worker.is_ready, worker.node = True, hello.node
                return
            reason = f"it has ginr {hello.version}, not {__version__}"
            worker.kill()
        except Exception as error:  # as of an import on a machine without ginr
            reason = " ".join(str(error).split())[-300:]
        self._workers.remove(worker)
        n = self._bad_starts[worker.node] = self._bad_starts.get(worker.node, 0) + 1
        if n == _BAD_STARTS and worker.node is not None:
            console.say(f"machine {worker.node[:8]} is left out: no worker starts there ({reason})")
        rooms = [machine.id for machine in machines()]
        if rooms and all(self._bad_starts.get(node, 0) >= _BAD_STARTS for node in rooms):
            raise GinrError(
                f'no worker starts ({reason}): install the same "ginr[ray]" on all machines'
            )

    def _hear(self, worker: Hired) -> None:
        """Take in one report of a worker, or the end of its group. Raises GinrError for trouble."""
        from ginr.errors import GinrError

        ray = the_ray()
        group, stream = worker.given[0]
        try:
            said = ray.get(next(stream))
        except StopIteration:
            worker.given.popleft()
            if group:  # it ended early
                self._waiting.append(list(group))
            return
        except ray.exceptions.RayTaskError as error:  # no error of a picture
            if console.debugging():
                raise
            self._fail(group.popleft(), console.describe(error.cause or error))
            return
        except ray.exceptions.RayError:
            self._replace(worker)
            return
        if isinstance(said, Trouble):
            raise GinrError(said.error)
        assert isinstance(said, Said)
        for message in said.messages:
            console.say(message)
        self._report(group.popleft().task, said.result)

    def _replace(self, worker: Hired) -> None:
        """A worker has died: others get what it had. Its first picture has taken it along.

        That is the first it has not reported; one that it had just finished is blamed wrongly, but
        then done by itself.
        """
        worker.kill()
        self._workers.remove(worker)
        self._looked = 0.0
        is_there = any(machine.id == worker.node for machine in machines())
        for number, (group, _) in enumerate(worker.given):
            rest = list(group)
            if number == 0 and rest:
                for one in rest:
                    one.again = True
                first = rest.pop(0)
                first.deaths += is_there  # else the machine is gone
                if first.deaths >= _DEATHS:
                    self._fail(first, f"its worker died during this picture, {_DEATHS} times: left")
                else:
                    name = printable(first.task.name)
                    console.say(f"a worker died at {name}: another one takes over")
                    self._waiting.append([first])
            if rest:
                self._waiting.append(rest)

    def _fail(self, one: Try, reason: str) -> None:
        from ginr.errors import GinrError

        name = printable(one.task.name)
        problem = GinrError(reason if reason.startswith(name) else f"{name}: {reason}")
        self._report(one.task, failure_of(one.task.name, problem))

    def _cancel(self) -> None:
        """Ask workers to leave their pictures, and report what they have finished."""
        for worker in self._ready():
            with suppress(Exception):
                worker.actor.cancel.options(concurrency_group="cancelling").remote()
        self._waiting.clear()
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            busy = {worker.given[0][1]: worker for worker in self._ready() if worker.given}
            if not busy:
                break
            ready, _ = the_ray().wait(list(busy), num_returns=1, timeout=0.5)
            for stream in ready:
                with suppress(Exception):
                    self._hear_last(busy[stream])

        self.kill()  # those of a later run are new
        self._workers.clear()

    def _hear_last(self, worker: Hired) -> None:
        group, stream = worker.given[0]
        try:
            said = the_ray().get(next(stream))
        except BaseException:
            worker.given.popleft()
            return
        if isinstance(said, Said):
            self._report(group.popleft().task, said.result)
