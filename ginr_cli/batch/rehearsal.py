"""`ginr upscale --dry-run`: what would be written, and what it would cost."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from ginr.errors import PictureError, printable
from ginr_cli import console
from ginr_cli.batch.frames import KEPT
from ginr_cli.batch.plan import Job
from ginr_cli.load_network import NetworkChoice
from ginr_cli.reports.pictures import OutcomeReport, outcome_of
from ginr_cli.restoring import Networks

_SIDE = 192
"""Pixels of the largest part that is enlarged to measure the speed."""
_SCALES = 1, 4
_PROGRAM = 250 << 20
"""Bytes of a process that has loaded a network and enlarges nothing."""


@dataclass(frozen=True)
class Rate:
    """Seconds per pixel of the input and of the output."""

    encoding: float
    rendering: float

    def seconds(self, job: Job) -> float:
        """Time for enlarging a picture, without reading and writing it."""
        top, left, bottom, right = job.view.source or (0, 0, *job.size)
        return (
            self.encoding * (bottom - top) * (right - left) * max(1, job.n_frames)
            + self.rendering * job.out_px
        )


def announce_all(
    jobs: Sequence[Job], choices: Sequence[NetworkChoice], report: OutcomeReport
) -> None:
    """Print what each job would write, its memory, and its time by the speed on the first picture.

    Pictures before the first one that can be read are reported as failed.
    """
    networks, jobs, rate = Networks(choices[0]), list(jobs), None
    while jobs and rate is None:
        try:
            rate = measured_rate(jobs[0], networks)
        except PictureError as problem:
            report.fail(jobs.pop(0).source, problem)
    if rate is None:
        return
    n_device, total_s = min(len(choices), len(jobs)), 0.0
    for job in jobs:
        seconds = rate.seconds(job)
        total_s += seconds / n_device
        report.counts["planned"] += 1
        outcome = replace(
            outcome_of(job),
            status="planned",
            seconds=round(seconds, 2),
            frames=job.n_frames or None,
        )
        if report.as_json:
            console.result_json({**asdict(outcome), "memory_bytes": memory(job)})
            continue
        (height, width), (out_height, out_width) = job.size, job.out_size
        frames = f", {console.count(job.n_frames, 'frame')}" if job.n_frames else ""
        console.result(
            f"{printable(job.source)} {width}x{height} -> {printable(job.output)} "
            f"{out_width}x{out_height}{frames}, up to {memory(job) / 2**30:.1f} GiB of memory, "
            f"{_duration(seconds)}"
        )
    n_px = sum(job.out_px for job in jobs)
    console.say(
        f"nothing was written: {console.count(len(jobs), 'picture')} of {n_px / 1e6:.1f} megapixels "
        f"would take {_duration(total_s)} plus the time for reading and writing"
    )


def measured_rate(job: Job, networks: Networks) -> Rate:
    """The speed on the middle of a picture, at two scales."""
    import numpy as np

    from ginr.pictures import Picture, read_picture
    from ginr.rendering.upscale import upscale

    if job.video_size:
        from ginr.videos import sample_frame

        picture = Picture(sample_frame(job.source))
    else:
        picture = read_picture(job.source, job.rules)
    network, _ = networks.suited(picture)
    top, left = (max(0, (side - _SIDE) // 2) for side in (picture.height, picture.width))
    part = picture.samples[top : top + _SIDE, left : left + _SIDE]
    picture = replace(picture, samples=np.ascontiguousarray(part))
    n_px, times = picture.height * picture.width, []
    for scale in (1, *_SCALES):  # the first one is for what happens once
        start = time.perf_counter()
        upscale(
            picture, network.model, height=picture.height * scale, width=picture.width * scale,
            precision=network.precision,
        )  # fmt: skip
        times.append(time.perf_counter() - start)
    low, high = (scale**2 for scale in _SCALES)
    rendering = max(0.0, (times[2] - times[1]) / (high - low)) / n_px
    return Rate(max(0.0, times[1] / n_px - rendering * low), rendering)


def memory(job: Job) -> int:
    """Bytes of memory that a picture needs on the CPU, at most: measured were 0.68 of 1.2 GiB."""
    from ginr.pictures import memory_needed
    from ginr.rendering.tile_size import ON_CPU
    from ginr.rendering.upscale import BAND

    n_in, n_out = job.size[0] * job.size[1], job.out_size[0] * job.out_size[1]
    tile = min(ON_CPU, ON_CPU * n_in // 2**20)  # that much for 1024x1024 pixels
    # Of an animation or a video, a few frames are in memory, and those kept in case they are repeated.
    held = KEPT + 16 * n_out if job.n_frames else memory_needed(job.output, *job.out_size)
    return _PROGRAM + 4 * n_in + tile + min(BAND, 4 * n_out) + held


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"about {seconds:.1f} s"
    return f"about {timedelta(seconds=round(seconds))}"
