"""Read, enlarge and write an animation of `ginr upscale`, frame by frame; equal frames once."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING

from ginr.errors import printable
from ginr_cli import console
from ginr_cli.batch.work import Work
from ginr_cli.reports.pictures import Outcome, done, outcome_of

if TYPE_CHECKING:
    from ginr.animations import Frame
    from ginr.pictures.samples import Samples

KEPT = 256 << 20
"""Bytes of enlarged frames that are kept in case they are repeated."""


class Enlarged:
    """Enlarges frames; keeps the latest results in case a frame is repeated."""

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


class Frames:
    """Enlarges all frames of a job with one network, for a uniform look."""

    def __init__(self, work: Work, sample: "Samples", which: str) -> None:
        """`sample` is the frame that chooses the network; `which` says which one it is."""
        from ginr.pictures import Picture

        self._work, self._start, self._n_done = work, time.perf_counter(), 0
        self.network, self.restoration = work.networks.suited(Picture(sample), is_moving=True)
        if self.restoration is not None:
            self._say(f"{which}: {self.restoration}")
        self.enlarged = Enlarged(self._enlarge)

    def count(self, n_done: int) -> None:
        """Report that `n_done` frames are done."""
        self._n_done = n_done
        self._show(0)

    def outcome(self, n_frames: int, notes: Sequence[str]) -> Outcome:
        """The outcome of the finished job; prints the notes."""
        work = self._work
        if n := self.enlarged.n_repeated:
            self._say(f"{console.count(n, 'frame')} repeated, not enlarged again")
        console.say_notes(work.job.source, notes, work.say)
        outcome = replace(outcome_of(work.job), frames=n_frames)
        return done(outcome, self.network, self.restoration, self._start, notes)

    def _enlarge(self, samples: "Samples") -> "Samples":
        from ginr.pictures import Picture
        from ginr.rendering.upscale import upscale

        job, network = self._work.job, self.network
        large = upscale(
            Picture(samples), network.model, height=job.view.whole[0], width=job.view.whole[1],
            box=job.view.box, tile=network.tile, precision=network.precision,
            progress=lambda done, _: self._show(done), notice=self._work.say,
        ).samples  # fmt: skip
        return large[: job.out_size[0], : job.out_size[1]]  # sides of a video are even

    def _show(self, done_px: int) -> None:
        job = self._work.job
        self._work.progress(min(self._n_done * job.frame_px + done_px, job.out_px), job.out_px)

    def _say(self, text: str) -> None:
        self._work.say(f"{printable(self._work.job.source)}: {text}")


def enlarge_frames(work: Work) -> Outcome:
    """Enlarge all frames of an animation; the first one chooses the network."""
    from ginr.animations import (
        animation_format,
        animation_losses,
        open_animation,
        read_frames,
        write_animation,
    )

    job, writing, notes, n_frames = work.job, work.writing, list[str](), 0
    like = work.read()
    notes_but_one = tuple(note for note in like.notes if "frames is read" not in note)  # all are
    like = replace(like, notes=notes_but_one)
    height, width = job.out_size
    with closing(read_frames(job.source, job.rules, notes.append)) as frames:
        first = next(frames)
        made = Frames(work, first.samples, "first frame")
        format = animation_format(job.output)
        like = work.signed(like, made.network, made.restoration, format)

        def enlarged() -> Iterator["Frame"]:
            nonlocal n_frames
            for frame in chain([first], frames):
                yield frame._replace(samples=made.enlarged(frame.samples))
                n_frames += 1
                made.count(n_frames)
            work.is_computed()

        lost = write_animation(
            enlarged(), like, open_animation(job.source, job.rules).plays, job.output,
            height=height, width=width, overwrite=writing.overwrite, quality=writing.quality,
        )  # fmt: skip
    return made.outcome(n_frames, [*like.notes, *animation_losses(like, job.output), *lost, *notes])
