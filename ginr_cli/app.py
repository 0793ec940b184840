"""The commands of `ginr`: the list of commands, and the one place where an error becomes words.

Exit codes: 0 all done, 1 something failed, 2 wrong usage, 130 interrupted, 143 terminated.
"""

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from ginr_cli import console
from ginr_cli.commands.doctor import doctor
from ginr_cli.commands.evaluate import evaluate
from ginr_cli.commands.inspect_lps import inspect_lps
from ginr_cli.commands.reconstruct import reconstruct
from ginr_cli.commands.train import train
from ginr_cli.commands.upscale import upscale
from ginr_cli.commands.warp import warp
from ginr_cli.commands.zoom import zoom
from ginr_cli.signals import unwinding

app = typer.Typer(
    name="ginr",
    help="Enlarge pictures by any factor from 1 to 30, with one checkpoint for all of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(upscale)
app.command()(warp)
app.command()(zoom)
app.command()(reconstruct)
app.command()(train)
app.command()(evaluate)
app.command()(inspect_lps)
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.result(f"ginr {importlib.metadata.version('ginr')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Enlarge pictures by any factor from 1 to 30, with one checkpoint for all of them."""


def _open_streams() -> None:
    """Where the caller has closed a stream, what goes there goes nowhere."""
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _report_error(error: Exception) -> int:
    """One line for a person; returns the exit code."""
    if (spell := getattr(error, "format_message", None)) is not None:
        # Typer's own, whose class is not public; empty after the help that stands in for it.
        context = getattr(error, "ctx", None)
        if text := spell():
            console.error(text + (f" (see {context.command_path} --help)" if context else ""))
        return 2
    if console.debugging():
        raise error
    console.error(console.describe(error))
    return 2 if isinstance(error, console.UsageError) else 1


def run(arguments: Sequence[str] | None = None) -> int | str | None:
    """Run the command line; returns the exit code."""
    _open_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name that is not UTF-8 goes out as it came in.
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        with unwinding():
            code: int | str | None = (
                app(arguments, standalone_mode=False) or 0
            )  # None, or 130 after Ctrl+C
    except SystemExit as leave:  # a signal, or a reader that has left
        code = leave.code
    except Exception as error:
        code = _report_error(error)
    try:
        sys.stdout.flush()
    except OSError:
        # The reader has left, or the disk is full; Python would complain at exit once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    return code
