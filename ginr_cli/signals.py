"""Signals: the first one ends the program at the next safe place, the second one at once.

No handler raises an exception: one that is raised in the middle of an import, or of a lock's code,
leaves locks behind that other threads wait for. A first signal is noted, and the main thread asks for
it (`end_if_asked`) after every tile and before every message. A second one, or a first one that
nobody has asked for in `GRACE_S` seconds, is answered by a thread of its own, since the main thread
may be in a call of C: it removes what is half-written and ends the process.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

GRACE_S = 2.0
_REPEAT_S = 0.1
"""Signals that follow faster are one: `timeout` and launchers send each of them twice."""
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # no SIGHUP on Windows
_NUMBERS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class _State:
    """What has been asked for, and what the main thread is doing."""

    def __init__(self) -> None:
        self.asked: int | None = None
        """The first signal."""
        self.n_deferral = 0
        """Blocks that a first signal waits for."""
        self.is_patient = False
        """Whether later signals wait, too."""
        self.is_answered = False
        """Whether the main thread knows of the signal and ends."""
        self.is_ending = False
        """Whether the process ends at once, and the main thread stops."""

    def is_overdue(self, seconds: float) -> bool:
        """Whether the main thread should have ended by now, `seconds` after the first signal."""
        is_late = seconds >= (GRACE_S if _is_at_work() else 0)
        return is_late and not (self.n_deferral or self.is_answered)


_state = _State()
_clean_ups: list[Callable[[], None]] = []
_pipe_end: Any = None
"""Where Python writes the numbers of signals; None before `listen`."""


def listen() -> Callable[[], None]:
    """From now on, answer signals; returns what undoes it. Ignored ones, as under nohup, stay so."""
    global _pipe_end
    if _pipe_end is not None or threading.current_thread() is not threading.main_thread():
        return lambda: None
    ours, _pipe_end = _pipe()
    before = {
        number: signal.signal(number, _note)
        for number in _NUMBERS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    signal.set_wakeup_fd(_pipe_end.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(ours, set(before)), name="signals", daemon=True).start()

    def undo() -> None:
        global _pipe_end, _state
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        _pipe_end.close()  # ends the thread
        _pipe_end, _state = None, _State()

    return undo


@contextmanager
def listening() -> Iterator[None]:
    """Within the block signals are answered."""
    undo = listen()
    try:
        yield
    finally:
        undo()


def end_if_asked() -> None:
    """A safe place to end: raises KeyboardInterrupt or SystemExit after a signal, once."""
    if _state.asked is not None and not _state.n_deferral:
        _end_if_not_answered()


def exit_code() -> int:
    """130, 143 or 129 after a signal; 0 without one."""
    return 0 if _state.asked is None else 128 + _state.asked


@contextmanager
def deferred() -> Iterator[None]:
    """Delays a first signal until the end of the block; a second one takes effect at once."""
    _state.n_deferral += 1
    try:
        yield
        if _state.asked is not None and _state.n_deferral == 1:
            _end_if_not_answered()
    finally:
        _state.n_deferral -= 1


@contextmanager
def cleaned_up_by(action: Callable[[], None]) -> Iterator[None]:
    """Runs `action` at the end of the block, also if a signal ends the process in it."""
    _clean_ups.append(action)
    try:
        yield
    finally:
        _clean_ups.remove(action)
        action()


@contextmanager
def ignoring_sigint() -> Iterator[None]:
    """Ignores Ctrl+C within the block; processes started in it ignore it for good."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class StopRequest:
    """Whether a signal has asked a long task to stop early."""

    @property
    def is_made(self) -> bool:
        return _state.asked is not None

    @contextmanager
    def listening(self, *, patient: bool = False) -> Iterator[None]:
        """Within the block the first signal only makes the request; if `patient`, all of them do."""
        _state.n_deferral += 1
        _state.is_patient = patient
        try:
            yield
        finally:
            _state.n_deferral -= 1
            _state.is_patient = False
            _state.is_answered = self.is_made

    def end_if_made(self) -> None:
        """A safe place to end instead: raises KeyboardInterrupt or SystemExit."""
        if self.is_made:
            _end_if_not_answered()


def _end_if_not_answered() -> None:
    if _state.is_answered or threading.current_thread() is not threading.main_thread():
        return
    _state.is_answered = True
    if _state.asked == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(exit_code())


def _note(number: int, frame: FrameType | None) -> None:
    """The handler of all signals, which Python runs in the main thread."""
    if _state.asked is None:
        _state.asked = number
    while _state.is_ending:
        time.sleep(1)


def _pipe() -> tuple[Any, Any]:
    """Two ends of a pipe that Python writes the numbers of signals into, from C."""
    if os.name == "nt":  # only sockets can be waited for there
        import socket

        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        return ours.makefile("rb", 0), theirs
    read, write = os.pipe()
    os.set_blocking(write, False)
    return open(read, "rb", 0), open(write, "wb", 0)


def _watch(pipe: Any, numbers: set[int]) -> None:
    """Answer what comes through the pipe, until it is closed."""
    state, first = _state, None
    with pipe:
        while True:
            if select.select([pipe], [], [], None if first is None else 0.05)[0]:
                if not (heard := pipe.read(64)):
                    return
                for number in numbers.intersection(heard):
                    state.asked = state.asked or number
                    if first is None:
                        first = time.monotonic()
                    elif time.monotonic() - first > _REPEAT_S and not state.is_patient:
                        _end_at_once(state)
            if first is not None and state.is_overdue(time.monotonic() - first):
                _end_at_once(state)


def _is_at_work() -> bool:
    """Whether there is something to clean up."""
    return bool(_clean_ups or _called("ginr.part_files", "is_writing"))


def _called(module: str, function: str) -> Any:
    """The result of a function, None if its module is not loaded, or only in part."""
    call = getattr(sys.modules.get(module), function, None)
    return None if call is None else call()


def _end_at_once(state: _State) -> NoReturn:
    """Stop the main thread, remove what is half-written, and end the process."""
    number = state.asked or signal.SIGINT
    is_child = _called("multiprocessing", "parent_process") is not None
    says_so = _is_at_work() and not is_child
    state.is_ending = True
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
        time.sleep(0.02)  # it stops when it next runs Python
    with suppress(Exception):
        _called("ginr.part_files", "finish_own")
    for action in reversed(_clean_ups):
        with suppress(Exception):
            action()
    with suppress(Exception):
        _called("ginr.part_files", "remove_own")
    words = b"\r\x1b[2K\x1b[?25h" if os.isatty(2) else b""  # the bar's line; it hides the cursor
    if says_so:
        words += b"interrupted\n" if number == signal.SIGINT else b"terminated\n"
    with suppress(OSError):
        if words and _takes_words():
            os.write(2, words)
    os._exit(128 + number)


def _takes_words() -> bool:
    """Whether writing to stderr returns: not if it is a full pipe, or a terminal after Ctrl+S."""
    return os.name == "nt" or bool(select.select([], [2], [], 0)[1])  # only sockets there
