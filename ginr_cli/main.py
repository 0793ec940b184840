"""The `ginr` command: the list of commands, and the one place where an error becomes words.

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
from ginr_cli.doctor import doctor
from ginr_cli.evaluate import evaluate
from ginr_cli.inspect_lps import inspect_lps
from ginr_cli.signals import unwinding
from ginr_cli.train import train
from ginr_cli.upscale import upscale

app = typer.Typer(
    name="ginr",
    help="Enlarge pictures by any factor from 1 to 30, with one checkpoint for all of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(upscale)
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends in `SystemExit` with the exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name that is not UTF-8 goes out as it came in.
        sys.stdout.reconfigure(errors="surrogateescape")
    code: object = 0
    try:
        with unwinding():
            app(arguments)
    except SystemExit as leave:  # Typer's own: 0, 2 for usage, 130 for Ctrl+C; ours at a signal
        code = leave.code
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if console.debugging():
            raise
        console.error(console.describe(error))
        code = 2 if isinstance(error, console.UsageError) else 1
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has left. What is buffered goes nowhere, or Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)  # type: ignore[arg-type]
