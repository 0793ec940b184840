"""Read and write one picture: outputs are checked first, and signals wait for a file's end."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ginr_cli import console
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.pictures import Picture


@dataclass(frozen=True)
class Writing:
    """How outputs are named and written."""

    quality: int | None
    overwrite: bool
    suffix: str | None = None  # of outputs without a given name; None keeps the input's
    dpi: float | None = None  # resolution to store; None keeps the input's


def refuse_own_input(source: Path, output: Path) -> None:
    """Raises PictureError if the output is the input, also through a link."""
    from ginr.errors import PictureError

    if os.path.exists(output) and output.samefile(source):
        name = console.printable(output)
        raise PictureError(f"{name} is both input and output: choose another name")


def check_output(source: Path, output: Path, size: tuple[int, int], writing: Writing) -> None:
    """Raises PictureError if a picture of `size` (H, W) could not be written."""
    from ginr.pictures import check_target

    refuse_own_input(source, output)
    check_target(output, *size, overwrite=writing.overwrite, quality=writing.quality)


def read(source: Path) -> "Picture":
    from ginr.pictures import read_picture

    with deferred():
        return read_picture(source)


def write(picture: "Picture", output: Path, writing: Writing) -> None:
    from ginr.pictures import write_picture

    with deferred():
        write_picture(picture, output, overwrite=writing.overwrite, quality=writing.quality)
