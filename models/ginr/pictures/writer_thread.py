"""Write rows in a second thread while the next are made, at most one band ahead."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

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
    # Not a Queue: Ctrl+C inside its Python code would leave a lock locked.
    waiting: SimpleQueue[T | None] = SimpleQueue()
    room: SimpleQueue[None] = SimpleQueue()
    room.put(None)
    ended, written = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def arriving() -> Iterator[T]:
        while (band := waiting.get()) is not None:
            room.put(None)
            for part in cut(band):
                if ended.is_set():
                    raise _EndedError
                yield part
            del band  # frees it while the next one is made
        if ended.is_set():
            raise _EndedError

    def run() -> None:
        try:
            write(arriving())
        except BaseException as failure:
            failures.append(failure)
        finally:
            written.set()

    def hand_over(band: T) -> None:
        while not written.is_set():  # a failed writer makes no room
            with suppress(Empty):
                room.get(timeout=0.1)
                return waiting.put(band)

    def end_early() -> None:
        ended.set()
        waiting.put(None)
        writer.join(_PATIENCE_S)

    writer = threading.Thread(target=run, name="writer", daemon=True)
    writer.start()
    try:
        with finished_by(end_early) if keeps_work else nullcontext():
            for band in bands:
                hand_over(band)
                del band
                if written.is_set():
                    break
    except BaseException:
        ended.set()
        raise
    finally:
        waiting.put(None)
        writer.join()
    if failures:
        raise failures[0]
