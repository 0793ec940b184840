"""Words and progress go to stderr, results to stdout, nothing else in the CLI prints."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_stderr = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def printable(path: Path) -> str:
    """A path as one line that any terminal can show."""
    from ginr.errors import printable as spelled

    return spelled(path)


def visible(text: str) -> str:
    """A text without what would steer the terminal, such as a name may hold."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class UsageError(Exception):
    """The command line contradicts itself or cannot be understood: exit code 2."""


def say(text: str) -> None:
    """A line for the person watching."""
    with suppress(OSError):  # words that cannot be heard are no reason to lose a picture
        _stderr.print(text)


def say_notes(path: Path, notes: Sequence[str], say: Callable[[str], None] = say) -> None:
    """A line with what was converted or could not be kept of a picture, if there is any."""
    if notes:
        say(f"{printable(path)}: {'; '.join(notes)}")


def error(text: str) -> None:
    """A line that says what went wrong, led by the program's name as in `ginr: text`."""
    with suppress(OSError):
        _stderr.print("ginr:", style="bold red", end=" ")
        _stderr.print(visible(text))


def result(text: str) -> None:
    """A line of output, for a pipe."""
    try:
        sys.stdout.write(text + "\n")  # typer.echo takes colours out, and names with them
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, "standard output") from None


def result_json(record: Mapping[str, object]) -> None:
    """One JSON object on one line of output."""
    result(json.dumps(record))


def debugging() -> bool:
    """Whether GINR_DEBUG asks for tracebacks instead of one line per error."""
    return os.environ.get("GINR_DEBUG", "") not in ("", "0")


def describe(problem: BaseException) -> str:
    """An error in one line: our own words as they are, a surprise with its type."""
    from ginr.errors import GinrError

    text = " ".join(str(problem).split())
    if isinstance(problem, GinrError | UsageError):
        return text
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"{os.fsdecode(problem.filename)}: {problem.strerror}"
    kind = type(problem).__name__
    return f"{kind}: {text or 'no details'} (set GINR_DEBUG=1 for the traceback)"


class Bar(ExitStack):
    """A bar with words before and behind it, until it is closed; silent unless stderr is a terminal."""

    def __init__(self, total: float) -> None:
        """It is full at `total`."""
        super().__init__()
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}% {task.fields[pace]}"),
            console=_stderr,
            transient=True,
            # Rich would send results to stderr with the bar: only where both are the terminal.
            redirect_stdout=sys.stdout.isatty(),
            disable=not sys.stderr.isatty(),
        )
        self._bar = self.enter_context(progress)
        self._task = self._bar.add_task("", total=total, pace="")
        self._start = time.monotonic()

    def show(self, completed: float, description: str, pace: str = "") -> None:
        """Fill the bar up to `completed`, with words before it and behind it."""
        name = visible(description)
        self._bar.update(self._task, completed=completed, description=name, pace=pace)

    @property
    def _seconds(self) -> float:
        return max(time.monotonic() - self._start, 1e-3)


class Meter(Bar):
    """A bar over output pixels with the rate and the time left."""

    def __init__(self, total_px: int) -> None:
        """`total_px` output pixels are ahead, over all pictures."""
        super().__init__(total_px)
        self._total_px = total_px
        self._before_px, self._name = 0, ""

    def begin(self, name: str, before_px: int) -> None:
        """The next picture starts after `before_px` output pixels of the whole run."""
        self._before_px, self._name = before_px, name
        self.show(before_px, name)

    def advance(self, done_px: int, total_px: int) -> None:
        """`done_px` of the present picture's pixels are there; the callback of `ginr.upscale`."""
        # The mean over the run, not Rich's recent speed: tiles are few and come in bursts.
        done_px += self._before_px
        rate = done_px / self._seconds
        left = timedelta(seconds=math.ceil((self._total_px - done_px) / max(rate, 1.0)))
        self.show(done_px, self._name, f"{rate / 1e6:.2f} MP/s, {left} left")
