"""Rows that are made in one thread and written in another, at most one band ahead."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

from ginr.pictures.samples import Samples

_PIECE = 1 << 20  # bytes handed to the writer at a time, and so how soon it hears of an end


class _EndedError(Exception):
    """The bands ended before their time; it stays in the writer's thread."""


def while_made(bands: Iterable[Samples], write: Callable[[Iterator[Samples]], None]) -> None:
    """Runs `write` on the bands in a thread of its own while they are made in this one.

    What goes wrong on one side ends the other and is raised here, once `write` has returned.
    """
    # Not a Queue, whose locks are taken by Python code: Ctrl+C in there would leave one locked.
    waiting: SimpleQueue[Samples | None] = SimpleQueue()
    room: SimpleQueue[None] = SimpleQueue()
    room.put(None)
    ended, written = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def arriving() -> Iterator[Samples]:
        while (band := waiting.get()) is not None:
            room.put(None)
            n_rows = max(1, _PIECE // band[0].nbytes)
            for top in range(0, len(band), n_rows):
                if ended.is_set():
                    raise _EndedError
                yield band[top : top + n_rows]
            del band  # not to be held while the next one is made
        if ended.is_set():
            raise _EndedError

    def run() -> None:
        try:
            write(arriving())
        except BaseException as failure:
            failures.append(failure)
        finally:
            written.set()

    def hand_over(band: Samples) -> None:
        while not written.is_set():  # a writer that has failed makes no room
            with suppress(Empty):
                room.get(timeout=0.1)
                return waiting.put(band)

    writer = threading.Thread(target=run, name="writer", daemon=True)
    writer.start()
    try:
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
