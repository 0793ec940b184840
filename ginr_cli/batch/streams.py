"""A picture through standard input or output: `-` in place of a path.

Reading and writing need random access, so both are files in a temporary folder meanwhile.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ginr.errors import PictureError
from ginr_cli import console
from ginr_cli.batch.kinds import own_suffix, probe
from ginr_cli.batch.sources import expanded
from ginr_cli.console import UsageError
from ginr_cli.signals import cleaned_up_by, deferred

STREAM = "-"


@dataclass(frozen=True)
class Streams:
    """The paths of a command line with files in place of `-`."""

    paths: list[str]
    output: str | None
    sent: Path | None = None
    """The output that goes to standard output."""

    def send(self) -> None:
        """Write a finished output to standard output. Raises OSError."""
        if self.sent is None or not self.sent.exists():
            return
        with self.sent.open("rb") as file, deferred():
            try:
                shutil.copyfileobj(file, sys.stdout.buffer, 2**20)
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                raise
            except OSError as problem:
                raise OSError(problem.errno, problem.strerror, "standard output") from None


@contextmanager
def streams(paths: list[str], output: str | None, suffix: str | None) -> Iterator[Streams]:
    """Replace `-` among paths; `suffix` is that of the output's format, None for the input's.

    The output is `-` without another one if the only input is, and as the second of two paths.
    Raises `UsageError` for two inputs `-`, for several pictures into one stream, and for terminals.
    """
    if output is None and len(paths) == 2 and paths[1] == STREAM:
        paths, output = paths[:1], STREAM
    elif output is None and paths == [STREAM]:
        output = STREAM
    if paths.count(STREAM) > 1:
        raise UsageError("- is given twice as input: standard input holds one picture")
    if STREAM not in (*paths, output):
        yield Streams(paths, output)
        return
    place = Path(tempfile.mkdtemp(prefix="ginr-"))
    with cleaned_up_by(partial(shutil.rmtree, place, ignore_errors=True)):
        if STREAM in paths:
            received = str(_received(place))
            paths = [received if path == STREAM else path for path in paths]
        if output != STREAM:
            yield Streams(paths, output)
            return
        sent = place / f"stdout{suffix or _suffix_of(paths)}"
        console.call(sent, "standard output")
        yield Streams(paths, str(sent), sent)


def _received(place: Path) -> Path:
    """Standard input as a file, its suffix that of its contents."""
    from ginr.pictures import FORMATS, probe_picture
    from ginr.videos import suffix_of

    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("- reads a picture from standard input: pipe or redirect one into it")
    path = place / "stdin"
    console.call(path, "standard input")
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 2**20)
    if path.stat().st_size == 0:
        raise PictureError("standard input is empty (0 bytes): pipe a picture into it")
    try:
        kind = probe_picture(path).format
    except PictureError:
        suffix = suffix_of(path)
        if suffix is None:  # reported with the other failures
            return path
    else:
        suffixes = {format.name: format.suffixes[0] for format in FORMATS}
        suffix = suffixes.get(kind, f".{kind.lower()}")
    named = path.with_suffix(suffix)
    console.call(named, "standard input")
    return path.rename(named)


def _suffix_of(paths: list[str]) -> str:
    """The suffix of the only input, if its format can be written. Raises `UsageError` for several."""
    from ginr.pictures import WRITABLE

    inputs = expanded(paths)
    if len(inputs) > 1 or os.path.isdir(inputs[0]):
        raise UsageError("- writes one picture, but there are several inputs: give a folder")
    with suppress(PictureError):  # is reported with the other failures
        if moving := own_suffix(inputs[0], probe(inputs[0])):
            return moving
    suffix = inputs[0].suffix.lower()
    return suffix if suffix in WRITABLE else ".png"


def check_stdout(as_json: bool, preview: bool) -> None:
    """Raises `UsageError` if standard output cannot take a picture, or the options need its name."""
    if preview:
        raise UsageError("--preview cannot be combined with - as output: name a file")
    if as_json:
        raise UsageError("--json cannot be combined with - as output: give only one")
    if sys.stdout.isatty():
        raise UsageError("- writes a picture to standard output: redirect it, as in - > large.png")
