"""Errors that `ginr` raises: one line each, with the file or number at fault and what to do."""

from pathlib import Path


class GinrError(Exception):
    """A problem the caller can solve; its text is one readable line."""


class PictureError(GinrError):
    """A picture that cannot be read or written."""


class CheckpointError(GinrError):
    """A checkpoint or saved field that cannot be found, read, written or trusted."""


class SizeError(GinrError):
    """A scale, size or box that cannot be rendered."""


def printable(path: Path | str) -> str:
    """A path or text as one line of printable characters."""
    name = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
