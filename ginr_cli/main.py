"""The entry of `ginr`: small, so that Ctrl+C is quiet even while the commands are still loading."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from ginr_cli.signals import resend_lost


class _ProcessEnd:
    """The last thing that Python does on its way out, registered first."""

    code: int | None = None
    """That of the process, where it is ours to end."""

    def __call__(self) -> None:
        gc.freeze()  # or all of torch would be searched for cycles: 0.7 s
        if self.code is not None:  # nor is it taken apart: 0.1 s
            for stream in (sys.stdout, sys.stderr):
                with suppress(AttributeError, OSError, ValueError):  # closed, or gone
                    stream.flush()
            os._exit(self.code)


_end = _ProcessEnd()
atexit.register(_end)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends in `SystemExit` with the exit code."""
    try:
        from ginr_cli.app import run

        code = run(arguments)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def process() -> None:
    """What `ginr` and `python -m ginr_cli` are: the command line, and the end of the process."""
    resend_lost()
    try:
        main()
    except SystemExit as leave:
        if not isinstance(leave.code, str):  # Python says those
            _end.code = leave.code or 0
        raise
