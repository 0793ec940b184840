"""One picture of `ginr upscale`: announced, read, enlarged and written."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ginr_cli import console
from ginr_cli.batch.plan import Job, Writing
from ginr_cli.load_network import Network, load_upscaler
from ginr_cli.options import Precision
from ginr_cli.reports.pictures import Outcome, outcome_of
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.pictures.samples import Samples


@dataclass(frozen=True)
class Order:
    """What is the same for every picture and device."""

    checkpoint: str
    precision: Precision
    tile: int
    ensemble: bool
    writing: Writing

    def network(self, device: str, say: Callable[[str], None] = console.say) -> Network:
        """The network on one device."""
        return load_upscaler(
            self.checkpoint, device, self.precision, self.tile, self.ensemble, say=say
        )


def announce(job: Job) -> None:
    """Says what becomes of what, and when that will take most of the memory."""
    from ginr.errors import printable

    (height, width), (out_height, out_width) = job.size, job.out_size
    source, output = printable(job.source), printable(job.output)
    console.say(f"{source} {width}x{height} -> {output} {out_width}x{out_height}")
    _warn_of_memory(job)


def _warn_of_memory(job: Job) -> None:
    """Says so when the output takes over half of the free memory, for a format that needs it whole."""
    import psutil

    from ginr.errors import printable
    from ginr.pictures import memory_needed

    needed, free = memory_needed(job.output, *job.out_size), psutil.virtual_memory().available
    if needed > free / 2:
        console.say(
            f"{printable(job.output)} will take about {needed / 2**30:.1f} GiB of the "
            f"{free / 2**30:.1f} GiB that are free: .png and .tif are written as they are made"
        )


def enlarge(
    job: Job,
    network: Network,
    writing: Writing,
    until_reported: ExitStack,
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Outcome:
    """Reads, enlarges and writes the picture; from its last row on, signals wait in `until_reported`."""
    from ginr.errors import printable
    from ginr.pictures import at_dpi, losses, read_picture, write_bands
    from ginr.rendering.upscale import upscale_bands

    start = time.perf_counter()
    with deferred():
        picture = read_picture(job.source)
    if writing.dpi is not None:
        picture = at_dpi(picture, writing.dpi)
    notes = (*picture.notes, *losses(picture, job.output))
    if notes:
        say(f"{printable(job.source)}: {'; '.join(notes)}")

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
    seconds = round(time.perf_counter() - start, 3)
    return outcome_of(
        job,
        "done",
        seconds=seconds,
        device=network.device,
        checkpoint=network.checkpoint,
        notes=notes,
    )
