"""The commands of `ginr`, and the one place that turns an error into a message.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 --min-diversity not met; 130, 143 and 129 after
Ctrl+C, SIGTERM and SIGHUP.
"""

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from ginr_cli import console
from ginr_cli.commands.compare import compare
from ginr_cli.commands.doctor import doctor
from ginr_cli.commands.evaluate import evaluate
from ginr_cli.commands.inspect_lps import inspect_lps
from ginr_cli.commands.models import models
from ginr_cli.commands.reconstruct import reconstruct
from ginr_cli.commands.train import train
from ginr_cli.commands.upscale import upscale
from ginr_cli.commands.view import view
from ginr_cli.commands.warp import warp
from ginr_cli.commands.zoom import zoom
from ginr_cli.defaults import LazyDefaults
from ginr_cli.help import Command, Group, epilog
from ginr_cli.options import option
from ginr_cli.signals import listening

app = typer.Typer(
    name="ginr",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "default_map": LazyDefaults()},
)
for _command in (
    upscale, view, compare, warp, zoom, reconstruct, train, evaluate, inspect_lps, models, doctor,
):  # fmt: skip
    _name = _command.__name__.replace("_", "-")
    app.command(_name, cls=Command, epilog=epilog(_name))(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.result(f"ginr {importlib.metadata.version('ginr')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        option("--version", "Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Enlarge pictures by any factor from 1 to 30 with a neural network (super-resolution)."""


def _open_streams() -> None:
    """Send what is written to a closed stream to the null device."""
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _report_error(error: Exception) -> int:
    """Print one line; returns the exit code."""
    if (format_message := getattr(error, "format_message", None)) is not None:
        # An error of Typer's, whose class is not public; empty when help was printed instead.
        context = getattr(error, "ctx", None)
        if text := format_message():
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
        # File names that are not UTF-8 are printed as the bytes they are.
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        with listening():
            code: int | str | None = app(arguments, standalone_mode=False) or 0  # 130 after Ctrl+C
    except SystemExit as end:  # a signal, or a closed pipe
        code = end.code
    except Exception as error:
        code = _report_error(error)
    try:
        sys.stdout.flush()
    except OSError:
        # A closed pipe or a full disk; without this Python would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    return code
