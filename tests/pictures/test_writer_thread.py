"""Rows made in one thread and written in another: pytest tests/pictures/test_writer_thread.py"""

import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import ginr.pictures.writer_thread as module
from ginr.pictures.writer_thread import while_made

Band = npt.NDArray[Any]


def band(value: int, n_rows: int = 3) -> Band:
    return np.full((n_rows, 4, 1), value, np.uint8)


def test_rows_arrive_in_order_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 8)  # two rows
    seen: list[tuple[int, int]] = []
    threads = set()

    def write(pieces: Iterator[Band]) -> None:
        for piece in pieces:
            seen.append((len(piece), int(piece[0, 0, 0])))
            threads.add(threading.current_thread())

    while_made((band(value) for value in range(5)), write)
    assert seen == [(n, value) for value in range(5) for n in (2, 1)]
    assert threads and threading.current_thread() not in threads


def test_few_bands_are_held() -> None:
    bands_made: list[weakref.ref[Any]] = []
    most = 0

    def bands() -> Iterator[Band]:
        nonlocal most
        for value in range(20):
            made = band(value)
            bands_made.append(weakref.ref(made))
            most = max(most, sum(one() is not None for one in bands_made))
            yield made

    def write(pieces: Iterator[Band]) -> None:
        for _ in pieces:
            pass

    while_made(bands(), write)
    assert most <= 4  # being made, waiting, being written, and the one a loop still names


@pytest.mark.parametrize("after", [0, 1, 30])
@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_a_failing_writer_ends_the_making(after: int, error: BaseException) -> None:
    made = 0

    def bands() -> Iterator[Band]:
        nonlocal made
        for value in range(30):
            made += 1
            yield band(value)

    def write(pieces: Iterator[Band]) -> None:
        for _ in range(after):
            next(pieces, None)
        raise error

    with pytest.raises(type(error)) as caught:
        while_made(bands(), write)
    assert caught.value is error and made <= after + 4


@pytest.mark.parametrize("error", [ValueError("odd"), KeyboardInterrupt()])
def test_failing_bands_end_the_writing(error: BaseException) -> None:
    reached, ended = list[object](), threading.Event()

    def bands() -> Iterator[Band]:
        yield band(1)
        yield band(2)
        raise error

    def write(pieces: Iterator[Band]) -> None:
        try:
            for piece in pieces:
                reached.append(len(piece))
            reached.append("the end")
        finally:
            ended.set()

    with pytest.raises(type(error)) as caught:
        while_made(bands(), write)
    assert caught.value is error and ended.is_set() and "the end" not in reached
