"""The entry of `ginr`: small, so that Ctrl+C is quiet even while the commands are still loading."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress


class _End:
    """The last thing that Python does on its way out, registered first."""

    code: int | None = None
    """Of a process that is ours."""

    def __call__(self) -> None:
        gc.freeze()  # or all of torch would be searched for cycles: 0.7 s
        if self.code is not None:  # nor is it taken apart: 0.2 s
            for stream in (sys.stdout, sys.stderr):
                with suppress(AttributeError, OSError, ValueError):  # closed, or gone
                    stream.flush()
            os._exit(self.code)


_end = _End()
atexit.register(_end)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends in `SystemExit` with the exit code."""
    try:
        from ginr_cli.app import run

        code = run(arguments)
    except KeyboardInterrupt:
        code = 130
    if arguments is None and not isinstance(code, str):
        _end.code = code or 0
    sys.exit(code)
