"""Enlarge a video of `ginr upscale`."""

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ginr.errors import printable
from ginr_cli import console
from ginr_cli.batch.frames import Frames
from ginr_cli.batch.kinds import encoding_of
from ginr_cli.batch.work import Work
from ginr_cli.reports.pictures import Outcome
from ginr_cli.signals import cleaned_up_by

if TYPE_CHECKING:
    from ginr.pictures.samples import Samples


def enlarge_video(work: Work) -> Outcome:
    """Enlarge a video; a frame from its first third chooses the network."""
    from ginr.videos import Elsewhere, sample_frame, write_video

    job, writing = work.job, work.writing
    frames = Frames(work, sample_frame(job.source), "frame of the first third")
    is_announced = False

    def progress(n_done: int, n_kept: int) -> None:
        nonlocal is_announced
        if n_kept and not is_announced:
            is_announced, kept = True, console.count(n_kept, "frame")
            work.say(f"{printable(job.source)}: continues after {kept} of an earlier run")
        frames.count(n_done)

    enlarge: Callable[[Samples], Samples] | Elsewhere = frames.enlarged
    if work.elsewhere is not None:
        enlarge = Elsewhere(frames.enlarged, partial(work.elsewhere.segments, job))
    with cleaned_up_by(partial(_say_how_to_go_on, work)):
        n_frames, lost = write_video(
            job.source, job.output, enlarge, job.out_size, encoding_of(writing),
            work.facts(frames.network, frames.restoration), progress=progress,
            notice=work.say, overwrite=writing.overwrite, strict=job.rules.strict,
        )  # fmt: skip
    return frames.outcome(n_frames, [*job.notes, *lost])


def _say_how_to_go_on(work: Work) -> None:
    """Says what an unfinished video leaves for the next run."""
    from ginr.videos import WORK

    folder = work.job.output.with_name(work.job.output.name + WORK)
    if folder.exists() and not work.writing.is_piped:
        is_main = threading.current_thread() is threading.main_thread()
        say = work.say if is_main else console.say_last  # else a signal ends the process
        name = printable(folder)
        say(f"{name} keeps the finished frames: the same command continues from there")
