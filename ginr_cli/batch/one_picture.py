"""Read, enlarge and write one picture of `ginr upscale`."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ginr_cli import console
from ginr_cli.batch.frames import enlarge_frames
from ginr_cli.batch.plan import Job
from ginr_cli.batch.preview import write_preview
from ginr_cli.batch.signature import signed
from ginr_cli.batch.video import enlarge_video
from ginr_cli.files import Writing
from ginr_cli.load_network import LoadedNetwork
from ginr_cli.reports.pictures import Outcome, done, outcome_of
from ginr_cli.restoring import Networks, Restoration
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.geometry.view import View
    from ginr.pictures import Page, Picture
    from ginr.pictures.samples import Samples


def announce(job: Job) -> None:
    """Print input, output and sizes; warn if the output needs much memory."""
    import psutil

    from ginr.pictures import memory_needed

    (height, width), (out_height, out_width) = job.size, job.out_size
    source, output = console.printable(job.source), console.printable(job.output)
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


def enlarge(
    job: Job,
    networks: Networks,
    writing: Writing,
    until_reported: ExitStack,
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Outcome:
    """Read, enlarge and write a picture; after its last row, signals wait for `until_reported`."""
    from ginr.errors import PictureError
    from ginr.pictures import Page, write_bands, write_pages
    from ginr.pictures.formats import output_format

    if job.n_frames:
        if writing.preview:
            say("no preview: only of pictures")
        moving = enlarge_frames if job.video_size is None else enlarge_video
        return moving(job, networks, writing, until_reported, say=say, progress=progress)
    start = time.perf_counter()
    notes: list[str] = []
    made: list[tuple[LoadedNetwork, Restoration | None]] = []
    before_px = 0

    def page(number: int | None, view: "View", is_last: bool) -> "Page":
        """Reads a page; its rows are made as they are written."""
        nonlocal before_px
        picture, lost = _read(job, number, view, writing)
        prefix = f"page {number + 1}: " if number else ""
        found = [f"{prefix}{note}" for note in lost]
        notes.extend(found)
        console.say_notes(job.source, found, say)
        network, done_to_it = networks.suited(picture)
        made.append((network, done_to_it))
        format = output_format(job.output)
        picture = signed(picture, job, writing, network, done_to_it, format)
        if done_to_it is not None:
            say(f"{console.printable(job.source)}: {prefix}{done_to_it}")
        first_px, before_px = before_px, before_px + view.size[0] * view.size[1]
        bands = _bands(
            picture, view, network, say, lambda done, total: progress(first_px + done, job.out_px)
        )
        if is_last:
            bands = _then(bands, lambda: until_reported.enter_context(deferred()))
        return Page(bands, picture, *view.size)

    if job.pages:
        last = len(job.pages) - 1
        pages = (page(n, view, n == last) for n, view in enumerate(job.pages))
        write_pages(pages, job.out_px * 8, job.output, overwrite=writing.overwrite)
    else:
        only = page(None, job.view, True)
        write_bands(
            only.bands, only.like, *job.out_size, job.output,
            overwrite=writing.overwrite, quality=writing.quality,
        )  # fmt: skip
    network, first = made[0]
    outcome = done(outcome_of(job), network, start, notes)
    if writing.preview:
        try:
            say(f"{console.printable(write_preview(job, writing))}: before and after")
        except (PictureError, OSError) as problem:  # no reason to call the picture failed
            say(f"no preview: {console.describe(problem)}")
    return outcome if first is None else replace(outcome, restoration=first.record())


def _read(
    job: Job, page: int | None, view: "View", writing: Writing
) -> "tuple[Picture, list[str]]":
    """A page, and what is lost of it."""
    from ginr.pictures import at_dpi, losses, network_losses, read_picture, without_place

    picture = read_picture(job.source, job.rules, page=page)
    if view.source is not None:
        picture = without_place(picture)
    if writing.dpi is not None:
        picture = at_dpi(picture, writing.dpi)
    return picture, [*picture.notes, *losses(picture, job.output), *network_losses(picture)]


def _bands(
    picture: "Picture",
    view: "View",
    network: LoadedNetwork,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Iterator["Samples"]:
    from ginr.rendering.upscale import upscale_bands

    return upscale_bands(
        picture,
        network.model,
        height=view.whole[0],
        width=view.whole[1],
        box=view.box,
        tile=network.tile,
        precision=network.precision,
        progress=progress,
        notice=say,
    )


def _then(bands: Iterator["Samples"], finish: Callable[[], object]) -> Iterator["Samples"]:
    """The bands; calls `finish` after the last one."""
    yield from bands
    finish()
