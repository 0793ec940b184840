"""Read, enlarge and write one picture of `ginr upscale`."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ginr_cli import console
from ginr_cli.batch.plan import Job
from ginr_cli.files import Writing, read
from ginr_cli.load_network import LoadedNetwork
from ginr_cli.reports.pictures import Outcome, done, outcome_of
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.pictures.samples import Samples


def announce(job: Job) -> None:
    """Print input, output and sizes; warn if the output needs much memory."""
    import psutil

    from ginr.pictures import memory_needed

    (height, width), (out_height, out_width) = job.size, job.out_size
    source, output = console.printable(job.source), console.printable(job.output)
    console.say(f"{source} {width}x{height} -> {output} {out_width}x{out_height}")
    needed, free = memory_needed(job.output, *job.out_size), psutil.virtual_memory().available
    if needed > free / 2:
        console.say(
            f"warning: {output} needs about {needed / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB "
            "of free memory: .png and .tif need far less"
        )


def enlarge(
    job: Job,
    network: LoadedNetwork,
    writing: Writing,
    until_reported: ExitStack,
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Outcome:
    """Read, enlarge and write a picture; after its last row, signals wait for `until_reported`."""
    from ginr.pictures import at_dpi, losses, write_bands
    from ginr.rendering.upscale import upscale_bands

    start = time.perf_counter()
    picture = read(job.source)
    if writing.dpi is not None:
        picture = at_dpi(picture, writing.dpi)
    notes = (*picture.notes, *losses(picture, job.output))
    console.say_notes(job.source, notes, say)

    def bands() -> Iterator["Samples"]:
        yield from upscale_bands(
            picture,
            network.model,
            height=job.view.whole[0],
            width=job.view.whole[1],
            box=job.view.box,
            tile=network.tile,
            precision=network.precision,
            progress=progress,
            notice=say,
        )
        until_reported.enter_context(deferred())

    write_bands(
        bands(),
        picture,
        *job.out_size,
        job.output,
        overwrite=writing.overwrite,
        quality=writing.quality,
    )
    return done(outcome_of(job), network, start, notes)
