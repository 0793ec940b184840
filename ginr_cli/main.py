"""The entry of `ginr`: small, so that Ctrl+C is quiet even while the commands are still loading."""

import atexit
import gc
import sys
from collections.abc import Sequence

atexit.register(gc.freeze)  # or Python's end would search all of torch for cycles: 0.7 s


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends in `SystemExit` with the exit code."""
    try:
        from ginr_cli.app import run

        code = run(arguments)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
