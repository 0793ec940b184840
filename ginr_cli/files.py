"""Write one picture: outputs are checked first, and signals wait for a file's end."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.errors import PictureError, printable
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
    label: str | None = None  # what such names end in; None is the scale or size
    preview: bool = False  # whether a page with a slider is written next to each output
    recipe: Mapping[str, str] = field(default_factory=dict)
    """What outputs record about the options they were made with."""
    codec: str | None = None  # of videos
    encoder_options: tuple[tuple[str, str], ...] = ()
    is_piped: bool = False  # whether the output goes to standard output


def output_of(source: Path, place: Path | None, named: Path | None) -> Path | None:
    """The output of a command: `place`, the path after the input's, or `named` by -o.

    A glob may put a picture into `place`, so a file there is never replaced. Raises PictureError,
    or `UsageError` if there are two outputs, or for standard output.
    """
    if Path("-") in (place, named):
        raise console.UsageError("only ginr upscale writes to standard output: name a file, not -")
    if place is None or named is not None:
        if place is not None:
            raise console.UsageError(f"{place} and -o {named}: give only one output")
        return named
    refuse_own_input(source, place)
    if os.path.isfile(place):
        raise PictureError(
            f"{printable(place)} already exists: to replace it, name it with -o and add --overwrite"
        )
    return place


def clear_left_over(folders: Iterable[Path]) -> None:
    """Remove what killed runs left in folders that are about to be written to."""
    from ginr.part_files import remove_left_over

    for folder in dict.fromkeys(folders):
        if n := remove_left_over(folder):
            what = console.count(n, "unfinished file")
            console.say(f"{printable(folder)}: removed {what} of a run that was killed")


def refuse_own_input(source: Path, output: Path) -> None:
    """Raises PictureError if the output is the input, also through a link."""
    # Path.exists would raise for a name that is too long.
    if os.path.exists(output) and os.path.exists(source) and output.samefile(source):
        raise PictureError(f"{printable(output)} is both input and output: choose another name")


def check_output(source: Path, output: Path, size: tuple[int, int], writing: Writing) -> None:
    """Raises PictureError if a picture of `size` (H, W) could not be written."""
    from ginr.pictures import check_target

    refuse_own_input(source, output)
    check_target(output, *size, overwrite=writing.overwrite, quality=writing.quality)


def write(picture: "Picture", output: Path, writing: Writing) -> None:
    from ginr.pictures import write_picture

    with deferred():
        write_picture(picture, output, overwrite=writing.overwrite, quality=writing.quality)
