"""A thread that does one piece of work at a time, the most urgent first."""

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from queue import Empty, PriorityQueue
from threading import Thread
from typing import Any


class Urgency(IntEnum):
    """What goes first."""

    VIEW = 0  # somebody waits for it
    SAVE = 1
    AHEAD = 2  # may be needed later


class Lane:
    """A thread with a queue. It ends with the process, whatever it is doing."""

    def __init__(self, name: str) -> None:
        self._queue = PriorityQueue[tuple[int, int, "Future[Any]", Callable[[], Any]]]()
        self._order = itertools.count()
        Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, urgency: Urgency, work: Callable[..., Any], *values: object) -> "Future[Any]":
        """Run `work(*values)` when its turn comes, unless the future is cancelled before."""
        future: Future[Any] = Future()
        self._queue.put((urgency, next(self._order), future, lambda: work(*values)))
        return future

    def make_way(self) -> None:
        """Called by long work in its thread: first run what somebody is waiting for."""
        while self._queue.queue and self._queue.queue[0][0] == Urgency.VIEW:
            try:
                self._do(block=False)
            except Empty:
                return

    def _work(self) -> None:
        while True:
            self._do(block=True)

    def _do(self, *, block: bool) -> None:
        _, _, future, work = self._queue.get(block)
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as problem:
            future.set_exception(problem)
