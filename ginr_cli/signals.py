"""Signals: those that end the program clean up first; a training run stops between two steps."""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

_TERMINATING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # no SIGHUP on Windows


@contextmanager
def _handling(numbers: Iterable[int], handler: Any) -> Iterator[dict[int, Any]]:
    """Sets a handler of signals within the block; yields the former ones."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield before
    finally:
        _restore(before)


def _restore(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def unwinding() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise `SystemExit`, so that no partial file stays."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    # Ignored signals, as under nohup, stay ignored.
    with _handling([n for n in _TERMINATING if signal.getsignal(n) is signal.SIG_DFL], end):
        yield


def resend_lost() -> None:
    """From now on, send a signal again if Python drops its exception.

    Python prints and ignores exceptions raised in `__del__` or in a weak reference's callback,
    which every import has.
    """
    usual = sys.unraisablehook
    send = partial(os.kill, os.getpid()) if os.name == "posix" else _thread.interrupt_main

    def resend(problem: "sys.UnraisableHookArgs") -> None:
        dropped = problem.exc_value
        number = None
        if isinstance(dropped, KeyboardInterrupt):
            number = signal.SIGINT
        elif isinstance(dropped, SystemExit) and isinstance(dropped.code, int):
            number = next((n for n in _TERMINATING if n == dropped.code - 128), None)
        if number is None:
            usual(problem)
        else:  # sent at once, it would be dropped again
            again = threading.Timer(0.01, send, [number])
            again.daemon = True
            again.start()

    sys.unraisablehook = resend


@contextmanager
def deferred() -> Iterator[None]:
    """Delays a first signal until the end of the block; a second one takes effect at once.

    libvips calls back into Python, where an exception would be printed and lost.
    """
    waiting: list[int] = []

    def wait(number: int, frame: FrameType | None) -> None:
        waiting.append(number)
        if len(waiting) > 1:
            before[number](number, frame)

    numbers = [n for n in (signal.SIGINT, *_TERMINATING) if callable(signal.getsignal(n))]
    try:
        with _handling(numbers, wait) as before:
            yield
    finally:
        if len(waiting) == 1:
            before[waiting[0]](waiting[0], None)


@contextmanager
def ignoring_sigint() -> Iterator[None]:
    """Ignores Ctrl+C within the block; processes started in it ignore it for good."""
    with _handling([signal.SIGINT], signal.SIG_IGN):
        yield


class StopRequest:
    """Whether Ctrl+C or SIGTERM has arrived."""

    is_made = False

    @contextmanager
    def listening(self, *, patient: bool = False) -> Iterator[None]:
        """Within the block the first signal only makes the request; if `patient`, all of them do."""

        def request(number: int, frame: FrameType | None) -> None:
            self.is_made = True
            if not patient:
                _restore(before)

        numbers = (signal.SIGINT, signal.SIGTERM)
        with _handling(
            [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN], request
        ) as before:
            yield
