"""Enlarge a video of `ginr upscale`."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ginr_cli import console
from ginr_cli.batch.animated import encoding_of
from ginr_cli.batch.frames import Enlarged
from ginr_cli.batch.plan import Job
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
    from ginr.videos import open_video, sample_frame, write_video

    start, name = time.perf_counter(), console.printable(job.source)
    network, restoration = networks.suited(Picture(sample_frame(job.source)))
    if restoration is not None:
        say(f"{name}: frame of the first third: {restoration}")
    view, size, n_done = job.view, job.out_size, 0

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

    def counted(samples: "Samples") -> "Samples":
        nonlocal n_done
        large = work(samples)
        n_done += 1
        show(0)
        return large

    lost = write_video(
        job.source, job.output, counted, size, encoding_of(writing),
        overwrite=writing.overwrite, strict=job.rules.strict,
    )  # fmt: skip
    if work.n_repeated:
        say(f"{name}: {console.count(work.n_repeated, 'frame')} as before, enlarged once")
    notes = [*open_video(job.source).notes, *lost]
    console.say_notes(job.source, notes, say)
    outcome = replace(outcome_of(job), frames=n_done)
    outcome = done(outcome, network, start, notes)
    return outcome if restoration is None else replace(outcome, restoration=restoration.record())
