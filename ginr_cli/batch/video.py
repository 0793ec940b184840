"""Enlarge a video of `ginr upscale`."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ginr_cli import console
from ginr_cli.batch.animated import encoding_of
from ginr_cli.batch.frames import Enlarged
from ginr_cli.batch.plan import Job
from ginr_cli.batch.signature import facts
from ginr_cli.files import Writing
from ginr_cli.reports.pictures import Outcome, done, outcome_of
from ginr_cli.restoring import Networks

if TYPE_CHECKING:
    from ginr.pictures.samples import Samples


def enlarge_video(
    job: Job,
    networks: Networks,
    writing: Writing,
    until_reported: ExitStack,
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Outcome:
    """Enlarge a video; the network is chosen by a frame from its first third."""
    from ginr.pictures import Picture
    from ginr.rendering.upscale import upscale
    from ginr.videos import sample_frame, write_video

    start, name = time.perf_counter(), console.printable(job.source)
    network, restoration = networks.suited(Picture(sample_frame(job.source)))
    if restoration is not None:
        say(f"{name}: frame of the first third: {restoration}")
    view, size, n_done = job.view, job.out_size, 0
    is_resumed = False

    def count(n_frames: int, n_kept: int) -> None:
        nonlocal n_done, is_resumed
        if n_kept and not is_resumed:
            is_resumed = True
            say(f"{name}: goes on after {console.count(n_kept, 'frame')} of an earlier run")
        n_done = n_frames
        show(0)

    def show(done_px: int) -> None:
        progress(min(n_done * job.frame_px + done_px, job.out_px), job.out_px)

    def one(samples: "Samples") -> "Samples":
        large = upscale(
            Picture(samples), network.model, height=view.whole[0], width=view.whole[1],
            box=view.box, tile=network.tile, precision=network.precision,
            progress=lambda done_px, _: show(done_px), notice=say,
        ).samples  # fmt: skip
        return large[: size[0], : size[1]]

    work = Enlarged(one)

    with _saying_how_to_go_on(job, writing, say):
        n_frames, lost = write_video(
            job.source, job.output, work, size, encoding_of(writing),
            facts(job, writing, network, restoration), progress=count, notice=say,
            overwrite=writing.overwrite, strict=job.rules.strict,
        )  # fmt: skip
    if work.n_repeated:
        say(f"{name}: {console.count(work.n_repeated, 'frame')} as before, enlarged once")
    notes = [*job.notes, *lost]
    console.say_notes(job.source, notes, say)
    outcome = replace(outcome_of(job), frames=n_frames)
    outcome = done(outcome, network, start, notes)
    return outcome if restoration is None else replace(outcome, restoration=restoration.record())


@contextmanager
def _saying_how_to_go_on(job: Job, writing: Writing, say: Callable[[str], None]) -> Iterator[None]:
    """Says, if the block fails or is interrupted, what it leaves for the next run."""
    from ginr.videos import WORK

    try:
        yield
    except BaseException:
        folder = job.output.with_name(job.output.name + WORK)
        if folder.exists() and not writing.is_piped:
            say(
                f"{console.printable(folder)} keeps what is finished: "
                "the same command goes on from there"
            )
        raise
