"""Read, enlarge and write an animation of `ginr upscale`, frame by frame; equal frames once."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING

from ginr_cli import console
from ginr_cli.batch.plan import Job
from ginr_cli.batch.signature import signed
from ginr_cli.files import Writing
from ginr_cli.reports.pictures import Outcome, done, outcome_of
from ginr_cli.restoring import Networks
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.animations import Frame
    from ginr.pictures import Picture
    from ginr.pictures.samples import Samples

KEPT = 256 << 20
"""Bytes of enlarged frames that are kept in case they come again."""


class Enlarged:
    """Enlarges frames; those that came before, as far as they are kept, at no cost."""

    def __init__(self, enlarge: Callable[["Samples"], "Samples"]) -> None:
        self._enlarge, self._kept = enlarge, OrderedDict[bytes, "Samples"]()
        self._n_bytes = self.n_repeated = 0

    def __call__(self, samples: "Samples") -> "Samples":
        """A frame (H, W, C), enlarged."""
        key = blake2b(samples.data, digest_size=16).digest()
        if (known := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            self.n_repeated += 1
            return known
        result = self._kept[key] = self._enlarge(samples)
        self._n_bytes += result.nbytes
        while self._n_bytes > KEPT and len(self._kept) > 1:
            self._n_bytes -= self._kept.popitem(last=False)[1].nbytes
        return result


def enlarge_frames(
    job: Job,
    networks: Networks,
    writing: Writing,
    until_reported: ExitStack,
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Outcome:
    """Enlarge all frames of a job; after the last one, signals wait for `until_reported`.

    The network is chosen by the first frame, so that all of them look alike.
    """
    from ginr.animations import (
        animation_format,
        animation_losses,
        open_animation,
        read_frames,
        write_animation,
    )

    start, notes = time.perf_counter(), list[str]()
    like = _metadata(job, writing)
    height, width = job.out_size
    with closing(read_frames(job.source, job.rules, notes.append)) as frames:
        first = next(frames)
        work = _Frames(job, networks, first.samples, say, progress)
        lost = write_animation(
            work.enlarged(
                chain([first], frames), lambda: until_reported.enter_context(deferred())
            ),
            signed(
                like, job, writing, work.network, work.restoration, animation_format(job.output)
            ),
            open_animation(job.source, job.rules).plays, job.output,
            height=height, width=width, overwrite=writing.overwrite, quality=writing.quality,
        )  # fmt: skip
    notes = [*like.notes, *animation_losses(like, job.output), *lost, *notes]
    console.say_notes(job.source, notes, say)
    outcome = replace(done(outcome_of(job), work.network, start, notes), frames=work.n_done)
    seen = work.restoration
    return outcome if seen is None else replace(outcome, restoration=seen.record())


def _metadata(job: Job, writing: Writing) -> "Picture":
    """The first frame with its metadata, and with notes of what is not read."""
    from ginr.pictures import at_dpi, read_picture, without_place

    picture = read_picture(job.source, job.rules)
    notes = tuple(note for note in picture.notes if "frames is read" not in note)
    picture = replace(picture, notes=notes)
    if job.view.source is not None:
        picture = without_place(picture)
    return picture if writing.dpi is None else at_dpi(picture, writing.dpi)


class _Frames:
    """The frames of a job; the first one chooses the network."""

    def __init__(
        self,
        job: Job,
        networks: Networks,
        first: "Samples",
        say: Callable[[str], None],
        progress: Callable[[int, int], None],
    ) -> None:
        from ginr.pictures import Picture

        self._job, self._say, self._progress, self.n_done = job, say, progress, 0
        self.network, self.restoration = networks.suited(Picture(first))
        if self.restoration is not None:
            say(f"{console.printable(job.source)}: first frame: {self.restoration}")
        self._enlarged = Enlarged(self._enlarge)

    def enlarged(
        self, frames: Iterator["Frame"], finish: Callable[[], object]
    ) -> Iterator["Frame"]:
        """The frames as they come; calls `finish` after the last one."""
        for frame in frames:
            yield frame._replace(samples=self._enlarged(frame.samples))
            self.n_done += 1
            self._show(0)
        if self._enlarged.n_repeated:
            again = console.count(self._enlarged.n_repeated, "frame")
            self._say(f"{console.printable(self._job.source)}: {again} as before, enlarged once")
        finish()

    def _enlarge(self, samples: "Samples") -> "Samples":
        from ginr.pictures import Picture
        from ginr.rendering.upscale import upscale

        view, network = self._job.view, self.network
        return upscale(
            Picture(samples), network.model, height=view.whole[0], width=view.whole[1],
            box=view.box, tile=network.tile, precision=network.precision,
            progress=lambda done, _: self._show(done), notice=self._say,
        ).samples  # fmt: skip

    def _show(self, done_px: int) -> None:
        before = self.n_done * self._job.frame_px
        self._progress(min(before + done_px, self._job.out_px), self._job.out_px)
