"""Write rows in a second thread while the next are made, at most one band ahead."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from ginr.part_files import finished_by
from ginr.pictures.samples import Samples

T = TypeVar("T")

_PATIENCE_S = 5.0  # for what `write` keeps as the process ends
_PIECE = 1 << 20  # bytes written at a time, after which the writer checks for an early end


class _EndedError(Exception):
    """The bands ended early; it stays in the writer's thread."""


def cut_band(band: Samples) -> Iterator[Samples]:
    """Some rows of a band at a time."""
    n_rows = max(1, _PIECE // band[0].nbytes)
    for top in range(0, len(band), n_rows):
        yield band[top : top + n_rows]


def while_made(
    bands: Iterable[T],
    write: Callable[[Iterator[T]], None],
    cut: Callable[[Any], Iterable[Any]] = cut_band,
    *,
    keeps_work: bool = False,
) -> None:
    """Runs `write` on the bands in a second thread while they are made in this one.

    It gets each in the parts that `cut` makes of it. An exception in either thread ends the other one and is raised here.
    `keeps_work`: `write` keeps what it has when the bands end by an error, also as the process ends.
    """
    writer = _Writer(write, cut)
    writer.thread.start()
    try:
        with finished_by(writer.end_early) if keeps_work else nullcontext():
            for band in bands:
                writer.hand_over(band)
                del band
                if writer.written.is_set():
                    break
    except BaseException:
        writer.ended.set()
        raise
    finally:
        writer.waiting.put(None)
        writer.thread.join()
    if writer.failure is not None:
        raise writer.failure


class _Writer(Generic[T]):
    """A thread that writes, and what it shares with the one that makes bands."""

    def __init__(
        self, write: Callable[[Iterator[T]], None], cut: Callable[[Any], Iterable[Any]]
    ) -> None:
        self._write, self._cut = write, cut
        # Not a Queue: Ctrl+C inside its Python code would leave a lock locked.
        self.waiting: SimpleQueue[T | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._room.put(None)
        self.ended, self.written = threading.Event(), threading.Event()
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def hand_over(self, band: T) -> None:
        """Wait until there is room for a band; a failed writer makes none."""
        while not self.written.is_set():
            with suppress(Empty):
                self._room.get(timeout=0.1)
                return self.waiting.put(band)

    def end_early(self) -> None:
        """Let the writer keep what it has, as the process ends."""
        self.ended.set()
        self.waiting.put(None)
        self.thread.join(_PATIENCE_S)

    def _run(self) -> None:
        try:
            self._write(self._arriving())
        except BaseException as failure:
            self.failure = failure
        finally:
            self.written.set()

    def _arriving(self) -> Iterator[T]:
        while (band := self.waiting.get()) is not None:
            self._room.put(None)
            for part in self._cut(band):
                if self.ended.is_set():
                    raise _EndedError
                yield part
            del band  # frees it while the next one is made
        if self.ended.is_set():
            raise _EndedError
