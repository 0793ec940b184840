"""The errors `ginr` raises on purpose: one line each, naming the file or number and the remedy."""

from pathlib import Path


class GinrError(Exception):
    """Something the caller can put right; its text is one line fit for a person."""


class PictureError(GinrError):
    """A picture that cannot be read or written."""


class CheckpointError(GinrError):
    """A checkpoint that cannot be found, read or trusted."""


class SizeError(GinrError):
    """A scale, size or box that cannot be rendered."""


def printable(path: Path) -> str:
    """A path as one line that any terminal can show."""
    name = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
