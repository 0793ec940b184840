"""The entry point of `ginr`: small, so that Ctrl+C is quiet while the commands are being imported."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from ginr_cli.signals import listen

_exit_code: int | None = None  # of the process, if this program owns it


@atexit.register  # first, so that it runs last
def _end() -> None:
    gc.freeze()  # saves searching torch's objects for cycles: 0.7 s
    if _exit_code is not None:  # saves destroying them: 0.1 s
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # closed
                stream.flush()
        os._exit(_exit_code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; raises `SystemExit` with the exit code."""
    try:
        from ginr_cli.app import run

        code = run(arguments)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def process() -> None:
    """Run the command line and end the process: `ginr` and `python -m ginr_cli`."""
    global _exit_code
    listen()
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, str):  # Python prints those
            _exit_code = end.code or 0
        raise
