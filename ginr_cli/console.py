"""All printing: messages and progress on stderr, results on stdout."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ginr.errors import GinrError, printable, visible
from ginr_cli.signals import end_if_asked

_stderr = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
_PERIOD_S = 5.0
"""Seconds between two lines of progress if stderr is not a terminal."""


@dataclass
class _Settings:
    is_quiet: bool = False
    is_verbose: bool = False
    names: dict[str, str] = field(default_factory=dict)
    """How files with a name of our own are shown."""
    sink: Callable[[str], None] | None = None
    """Who is told messages, if they are not printed."""


_settings = _Settings()


def configure(*, quiet: bool = False, verbose: bool = False) -> None:
    """How much is printed; `quiet` leaves errors and results. Raises `UsageError` for both."""
    if quiet and verbose:
        raise UsageError("--quiet and --verbose cannot be combined: give only one")
    _settings.is_quiet, _settings.is_verbose = quiet, verbose
    _settings.names.clear()


def call(path: Path, name: str) -> None:
    """Print `name` in place of a path from now on."""
    _settings.names[str(path)] = name


@contextmanager
def called(names: Mapping[Path, str]) -> Iterator[None]:
    """Within the block, print a name in place of each path."""
    _settings.names.update((str(path), name) for path, name in names.items())
    try:
        yield
    finally:
        for path in names:
            _settings.names.pop(str(path), None)


def tell(sink: Callable[[str], None]) -> None:
    """Call `sink` with messages from now on, in place of printing them."""
    _settings.sink = sink


def named(text: str) -> str:
    """A text with names in place of made-up paths."""
    for path in sorted(_settings.names, key=len, reverse=True):
        text = text.replace(path, _settings.names[path])
    return text


def count(n: int, noun: str) -> str:
    """As in "1 picture" and "2 pictures"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


class UsageError(Exception):
    """A wrong command line: exit code 2."""


def say(text: str) -> None:
    """Print a message; a safe place to end after a signal."""
    end_if_asked()
    if _settings.sink is not None:
        _settings.sink(named(text))
        return
    if _settings.is_quiet:
        return
    with suppress(OSError):  # a closed stderr must not cost a picture
        _stderr.print(visible(named(text)))


def say_end(end: BaseException) -> None:
    """Print which signal ends the command: `end` is what it raised."""
    say("interrupted" if isinstance(end, KeyboardInterrupt) else "terminated")


def say_last(text: str) -> None:
    """Print a message as a signal ends the process, from another thread: takes no lock."""
    if not _settings.is_quiet:
        with suppress(OSError):
            os.write(2, f"{visible(named(text))}\n".encode())


def detail(text: str) -> None:
    """Print a message for --verbose."""
    if _settings.is_verbose:
        say(text)


def say_notes(path: Path | str, notes: Sequence[str], say: Callable[[str], None] = say) -> None:
    """Print what was converted or dropped of a picture, if anything."""
    if notes:
        say(f"{printable(path)}: {'; '.join(notes)}")


def error(text: str) -> None:
    """Print an error as `ginr: text`."""
    with suppress(OSError):
        _stderr.print("ginr:", style="bold red", end=" ")
        _stderr.print(visible(named(text)))


def result(text: str) -> None:
    """Print lines to stdout; on a terminal, control characters are escaped."""
    text = named(text)
    if sys.stdout.isatty():
        text = "\n".join(map(visible, text.split("\n")))
    try:
        sys.stdout.write(text + "\n")  # typer.echo would strip escape sequences from names
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, "standard output") from None


def result_path(path: str) -> None:
    """Print a path to stdout: escaped on a terminal, unchanged for programs."""
    result(visible(path) if sys.stdout.isatty() else path)


def result_json(record: Mapping[str, object]) -> None:
    """Print a JSON object on one line."""
    told = {key: named(value) if isinstance(value, str) else value for key, value in record.items()}
    result(json.dumps(told))


def debugging() -> bool:
    """Whether GINR_DEBUG is set: errors then end the program with a traceback."""
    return os.environ.get("GINR_DEBUG", "") not in ("", "0")


def describe(problem: BaseException) -> str:
    """An error in one line; unexpected ones with their type."""
    text = " ".join(str(problem).split())
    if isinstance(problem, GinrError | UsageError):
        return text
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"{os.fsdecode(problem.filename)}: {problem.strerror}"
    kind = type(problem).__name__
    return f"{kind}: {text or 'no details'} (set GINR_DEBUG=1 for the traceback)"


class Bar(ExitStack):
    """A progress bar between two texts, shown on a terminal until it is closed."""

    def __init__(self, total: float) -> None:
        """The bar is full at `total`."""
        super().__init__()
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}% {task.fields[pace]}"),
            console=_stderr,
            transient=True,
            # Only where both are terminals, or Rich would send results to stderr.
            redirect_stdout=sys.stdout.isatty(),
            disable=_settings.is_quiet or not sys.stderr.isatty(),
        )
        self._bar = self.enter_context(progress)
        self._task = self._bar.add_task("", total=total, pace="")
        self._start = time.monotonic()

    def show(self, completed: float, description: str, pace: str = "") -> None:
        """Fill the bar up to `completed`, between `description` and `pace`; also a safe place."""
        end_if_asked()
        name = visible(description)
        self._bar.update(self._task, completed=completed, description=name, pace=pace)

    @property
    def _seconds(self) -> float:
        return max(time.monotonic() - self._start, 1e-3)


class Meter(Bar):
    """A bar over output pixels, with the rate of pixels or frames, and the time left.

    Prints lines where no bar is shown.
    """

    def __init__(self, total_px: int) -> None:
        """`total_px` is the sum over all pictures."""
        super().__init__(total_px)
        self._total_px = total_px
        self._before_px, self._name, self._frame_px = 0, "", 0
        self._last_px = self._earlier_px = 0
        self._printed = self._start

    def begin(self, name: str, before_px: int, frame_px: int = 0) -> None:
        """Start a picture, after `before_px` output pixels of the whole run.

        If it has frames of `frame_px` each, their number per second is shown.
        """
        self._before_px, self._name, self._frame_px = before_px, name, frame_px
        self.show(before_px, name)

    def advance(self, done_px: int, total_px: int) -> None:
        """`done_px` pixels of this picture are done: a `progress` callback of `ginr`."""
        # The mean over the run, not Rich's recent rate: tiles are few and finish in bursts.
        done_px += self._before_px
        if 0 < self._frame_px < done_px - self._last_px:  # several frames: of an earlier run
            self._earlier_px += done_px - self._last_px
        self._last_px = done_px
        rate = (done_px - self._earlier_px) / self._seconds
        left = timedelta(seconds=math.ceil((self._total_px - done_px) / max(rate, 1.0)))
        pace = f"{rate / 1e6:.2f} MP/s"
        if self._frame_px:
            pace = f"{rate / self._frame_px:.2f} frames/s"
        pace = f"{pace}, {left} left"
        self.show(done_px, self._name, pace)
        is_due = done_px > 0 and time.monotonic() >= self._printed + _PERIOD_S
        if is_due and not sys.stderr.isatty():
            self._printed = time.monotonic()
            say(f"{self._name}: {100 * done_px / self._total_px:.0f}%, {pace}")
