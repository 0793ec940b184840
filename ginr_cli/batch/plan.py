"""The job for each picture, from its header, before any work."""

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.errors import PictureError, printable, visible
from ginr.geometry.view import View, ViewRule
from ginr_cli.batch.destination import Destination
from ginr_cli.batch.kinds import frames_to_enlarge, own_suffix, probe, video_size
from ginr_cli.batch.sources import Source
from ginr_cli.comparing.page import page_of
from ginr_cli.files import Writing, refuse_own_input

if TYPE_CHECKING:
    from ginr.pictures import ReadRules

Identity = tuple[int, int]
"""Device and number of a file, whatever its name."""


def identity(path: Path) -> Identity | None:
    """Identifies the file that a path leads to; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@dataclass(frozen=True)
class Job:
    """A picture to enlarge; sizes are (H, W). `done`: the output exists already."""

    source: Path
    output: Path
    size: tuple[int, int]
    view: View
    rules: "ReadRules"
    done: bool = False
    pages: tuple[View, ...] = ()
    """One for each page, if there are several and the output can hold them."""
    n_frames: int = 0
    """Frames of an animation, if the output can hold them, or of a video; 0 for a picture."""
    video_size: tuple[int, int] | None = None
    """Size of the frames of a video as they are written; None for anything else."""
    notes: tuple[str, ...] = ()
    """Parts of a video that are not read."""
    name: str | None = None
    """The name of the source in the output's metadata, if not that of the file."""

    @property
    def out_size(self) -> tuple[int, int]:
        """H, W of the output, which may be a part of the whole render, and is even for a video."""
        return self.video_size or self.view.size

    @property
    def out_px(self) -> int:
        """Output pixels, the unit of progress."""
        size_px = sum(view.size[0] * view.size[1] for view in self.pages or (self.view,))
        return max(1, self.n_frames) * size_px

    @property
    def frame_px(self) -> int:
        """Output pixels of a frame of an animation or a video; 0 for a picture."""
        return self.out_px // self.n_frames if self.n_frames else 0

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """x, y, width, height of the requested part of the input; None for the whole."""
        if self.view.source is None:
            return None
        top, left, bottom, right = self.view.source
        return left, top, right - left, bottom - top

    def facts(self, writing: Writing) -> dict[str, str]:
        """What the output records about how it was made."""
        box = "" if self.box is None else ",".join(map(str, self.box))
        return {**writing.recipe, "source": self.name or self.source.name, "box": box}


def plan(
    source: Source,
    wanted: ViewRule,
    destination: Destination,
    writing: Writing,
    inputs: Collection[Identity],
    rules: "ReadRules",
    *,
    batch: bool,
) -> Job:
    """The job for one picture, from its header.

    In a batch, an existing output that was made in the same way counts as done; none of the
    `inputs` is ever overwritten. Raises `GinrError` for a picture that cannot be read, enlarged or
    written.
    """
    from ginr.pictures import check_target
    from ginr.pictures.formats import check_place, output_format

    header = probe(source.path, rules)
    size = header.height, header.width
    view = wanted.resolve(*size)
    named = replace(writing, suffix=writing.suffix or own_suffix(source.path, header))
    output = destination.output(source, named, wanted.label(*size), view.size)
    is_whole = destination.bring(output)
    refuse_own_input(source.path, output)
    shape = video_size(view.size) if header.is_video else None
    job = Job(source.path, output, size, view, rules, video_size=shape, notes=header.notes)
    if batch and os.path.isfile(output) and not writing.overwrite:
        check_done(job, writing, is_whole)
        return replace(job, done=True)
    if identity(output) in inputs:
        raise PictureError(
            f"{printable(output)} is an input too: leave it out, or choose another output for "
            f"{printable(source.path)}"
        )
    if destination.is_folder:
        try:
            destination.make(output.parent)
        except OSError as error:
            raise PictureError(
                f"{printable(output.parent)} cannot be created ({error.strerror}): "
                "choose another output folder"
            ) from None
    if n := frames_to_enlarge(source.path, header, rules, output, view.size, writing):
        return replace(job, n_frames=n)
    check_target(
        output,
        *view.size,
        overwrite=writing.overwrite,
        quality=writing.quality,
        channels=header.channels,
        depth=header.depth,
    )
    if writing.preview:
        check_place(page_of(output), writing.overwrite)
    if len(header.pages) > 1 and output_format(output).name == "TIFF":
        return replace(job, pages=tuple(wanted.resolve(*page) for page in header.pages))
    return job


_COMPARED = {
    "checkpoint": "checkpoint",
    "restore": "--restore",
    "detail": "--detail",
    "ensemble": "--ensemble",
    "box": "--box",
}
_ADVICE = "choose another output folder, or replace it with -o and --overwrite"


def check_done(job: Job, writing: Writing, is_whole: bool = True) -> None:
    """Raises PictureError unless the existing output is complete and equals what the job would make.

    If an output does not record how it was made, only its size is compared. Without `is_whole`, only
    its start is there to be read.
    """
    from ginr.pictures import ReadRules, check_whole

    name, there = printable(job.output), probe(job.output, ReadRules(allow_truncated=not is_whole))
    made, now = there.made, job.facts(writing)
    if made.get("source", visible(now["source"])) != visible(now["source"]):
        raise PictureError(
            f"{name} already exists and is the enlargement of another picture, {made['source']}: "
            f"{_ADVICE}"
        )
    if (there.height, there.width) != job.out_size:
        height, width = job.out_size
        raise PictureError(
            f"{name} already exists with {there.width}x{there.height} pixels, not "
            f"{width}x{height}: add --overwrite to replace it"
        )
    for fact, called in _COMPARED.items():
        if made.get(fact, now.get(fact)) != now.get(fact):
            raise PictureError(
                f"{name} already exists, made with {called} {made[fact] or 'none'}, not "
                f"{now[fact] or 'none'}: {_ADVICE}"
            )
    if is_whole and not there.is_video:
        check_whole(job.output)
