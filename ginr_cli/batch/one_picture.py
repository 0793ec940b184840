"""Read, enlarge and write one picture of `ginr upscale`."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ginr.assessing.restoration import Restoration
from ginr.errors import PictureError, printable
from ginr.geometry.view import View
from ginr_cli import console
from ginr_cli.batch.frames import enlarge_frames
from ginr_cli.batch.plan import Job
from ginr_cli.batch.preview import write_preview
from ginr_cli.batch.video import enlarge_video
from ginr_cli.batch.work import Elsewhere, Work
from ginr_cli.files import Writing
from ginr_cli.load_network import LoadedNetwork
from ginr_cli.reports.pictures import Outcome, done, failure_of, outcome_of
from ginr_cli.restoring import Networks

if TYPE_CHECKING:
    from ginr.geometry.size import Box
    from ginr.pictures import Page, Picture
    from ginr.pictures.samples import Samples


def announce(job: Job) -> None:
    """Print input, output and sizes; warn if the output needs much memory."""
    import psutil

    from ginr.pictures import memory_needed

    (height, width), (out_height, out_width) = job.size, job.out_size
    source, output = printable(job.source), printable(job.output)
    frames = f", {job.n_frames} frames" if job.n_frames else ""
    console.say(f"{source} {width}x{height} -> {output} {out_width}x{out_height}{frames}")
    if frames:  # only some of them are in memory
        return
    needed, free = memory_needed(job.output, *job.out_size), psutil.virtual_memory().available
    if needed > free / 2:
        console.say(
            f"warning: {output} needs about {needed / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB "
            "of free memory: .png and .tif need far less"
        )


@contextmanager
def attempted(
    job: Job,
    networks: Networks,
    writing: Writing,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
    elsewhere: Elsewhere | None = None,
) -> Iterator[Outcome]:
    """Yields the outcome of a job, to be reported in the block; its parts are rendered here or elsewhere."""
    with ExitStack() as until_reported:
        try:
            outcome = enlarge(
                Work(job, networks, writing, until_reported, say, progress, elsewhere)
            )
        except Exception as problem:
            outcome = failure_of(job.source, problem)
        yield outcome


def enlarge(work: Work) -> Outcome:
    """Read, enlarge and write a picture, an animation or a video."""
    job = work.job
    if not job.n_frames:
        return _Picture(work).enlarge()
    if work.writing.preview:
        work.say("no preview: only pictures have one")
    return enlarge_frames(work) if job.video_size is None else enlarge_video(work)


class _Picture:
    """A picture, or the pages of one."""

    def __init__(self, work: Work) -> None:
        self._work, self._start, self._notes = work, time.perf_counter(), list[str]()
        self._made: list[tuple[LoadedNetwork, Restoration | None]] = []
        self._before_px = 0

    def enlarge(self) -> Outcome:
        from ginr.pictures import write_bands, write_pages

        job, writing = self._work.job, self._work.writing
        if job.pages:
            last = len(job.pages) - 1
            pages = (self._page(n, view, n == last) for n, view in enumerate(job.pages))
            write_pages(pages, job.out_px * 8, job.output, overwrite=writing.overwrite)
        else:
            only = self._page(None, job.view, True)
            write_bands(
                only.bands, only.like, *job.out_size, job.output,
                overwrite=writing.overwrite, quality=writing.quality,
            )  # fmt: skip
        outcome = done(outcome_of(job), *self._made[0], self._start, self._notes)
        if writing.preview:
            self._preview()
        return outcome

    def _page(self, number: int | None, view: View, is_last: bool) -> "Page":
        """Reads a page; its rows are made as they are written."""
        from ginr.pictures import Page, losses, network_losses
        from ginr.pictures.formats import output_format

        work, job = self._work, self._work.job
        picture = work.read(number)
        prefix = f"page {number + 1}: " if number else ""
        lost = *picture.notes, *losses(picture, job.output), *network_losses(picture)
        found = [f"{prefix}{note}" for note in lost]
        self._notes.extend(found)
        console.say_notes(job.source, found, work.say)
        network, done_to_it = work.networks.suited(picture)
        self._made.append((network, done_to_it))
        format = output_format(job.output)
        picture = work.signed(picture, network, done_to_it, format)
        if done_to_it is not None:
            work.say(f"{printable(job.source)}: {prefix}{done_to_it}")
        first_px, self._before_px = self._before_px, self._before_px + view.size[0] * view.size[1]
        bands = self._bands(
            number, picture, view, network,
            lambda done, total: work.progress(first_px + done, job.out_px),
        )  # fmt: skip
        return Page(_then(bands, work.is_computed) if is_last else bands, picture, *view.size)

    def _bands(
        self,
        number: int | None,
        picture: "Picture",
        view: "View",
        network: LoadedNetwork,
        progress: Callable[[int, int], None],
    ) -> Iterator["Samples"]:
        from ginr.rendering.tile_size import tile_side
        from ginr.rendering.upscale import band_boxes

        work = self._work
        if work.elsewhere is None:
            yield from render_bands(picture, view, view.box, network, work.say, progress)
            return
        side, done = tile_side(network.model, network.tile), 0
        boxes = band_boxes(picture, network.model, view.whole, view.box, side)
        for band in work.elsewhere.bands(work.job, number, view, boxes, side):
            yield band
            done += band.shape[0] * band.shape[1]
            progress(done, view.size[0] * view.size[1])

    def _preview(self) -> None:
        work = self._work
        try:
            page = write_preview(work.job, work.writing)
            work.say(f"{printable(page)}: before and after")
        except (PictureError, OSError) as problem:  # no reason to call the picture failed
            work.say(f"no preview: {console.describe(problem)}")


def render_bands(
    picture: "Picture",
    view: View,
    box: "Box | None",
    network: LoadedNetwork,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Iterator["Samples"]:
    """The rows of a page, or of a box of the output."""
    from ginr.rendering.upscale import upscale_bands

    return upscale_bands(
        picture, network.model, height=view.whole[0], width=view.whole[1], box=box,
        tile=network.tile, precision=network.precision, notice=say, progress=progress,
    )  # fmt: skip


def _then(bands: Iterator["Samples"], finish: Callable[[], object]) -> Iterator["Samples"]:
    """The bands; calls `finish` after the last one."""
    yield from bands
    finish()
