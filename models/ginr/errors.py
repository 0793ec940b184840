"""Errors that `ginr` raises: one line each, with the file or number at fault and what to do."""

from pathlib import Path

MAX_TEXT = 6000
"""Maximum characters of a message: a path may have 4096, text from a hostile file millions."""


class GinrError(Exception):
    """A problem the caller can solve; its text is one readable line, whatever a file is called."""

    def __init__(self, text: str) -> None:
        text = visible(text)
        half = MAX_TEXT // 2
        super().__init__(text if len(text) <= MAX_TEXT else f"{text[:half]} ... {text[-half:]}")


class PictureError(GinrError):
    """A picture that cannot be read or written."""


class CheckpointError(GinrError):
    """A checkpoint or saved field that cannot be found, read, written or trusted."""


class SizeError(GinrError):
    """A scale, size or box that cannot be rendered."""


def visible(text: str) -> str:
    """A text as one line: control characters, direction marks and the like are escaped.

    File names may contain them, and a terminal would obey.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable(path: Path | str) -> str:
    """A path or text as one line of printable characters."""
    return visible(str(path))
