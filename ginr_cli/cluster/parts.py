"""Large jobs: bands of a giant picture and spans of a film, rendered by workers and joined here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ginr_cli.batch.frames import Frames
from ginr_cli.batch.kinds import encoding_of
from ginr_cli.batch.one_picture import render_bands
from ginr_cli.batch.plan import Job
from ginr_cli.batch.work import Work
from ginr_cli.cluster.pool import Pool
from ginr_cli.cluster.tasks import OfJob, check_shared
from ginr_cli.files import Writing
from ginr_cli.load_network import LoadedNetwork
from ginr_cli.reports.pictures import Outcome
from ginr_cli.restoring import Networks

if TYPE_CHECKING:
    from ginr.geometry.size import Box
    from ginr.geometry.view import View
    from ginr.pictures import Picture, ReadRules
    from ginr.pictures.samples import Samples
    from ginr.videos import EncodedSpan, Span

GIANT_PX = 1 << 28
"""Output pixels from which a picture is rendered by several workers."""
_AHEAD_BYTES = 4 << 30
"""Most bytes of bands that are rendered and not written."""
_BAND_BYTES = 1 << 27


def is_large(job: Job) -> bool:
    """Whether several workers share the job: a film, or a giant picture."""
    return job.video_size is not None or (not job.n_frames and job.out_px >= GIANT_PX)


@dataclass(frozen=True)
class Band(OfJob):
    """A box of the output of a picture."""

    page: int | None
    view: "View"
    box: "Box"
    tile: int

    @property
    def cost(self) -> int:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    def do(self, work_of: Callable[[Job], Work], *, again: bool = False) -> "Samples":
        """The rows of the box, in the tiles of the whole."""
        import numpy as np

        job, work = self.job, work_of(self.job)
        check_shared(job)
        picture, suited = _suited(work.networks, str(job.source), job.rules, self.page)
        network = replace(suited, tile=self.tile)
        bands = list(render_bands(picture, self.view, self.box, network, work.say, work.progress))
        return np.concatenate(bands)


@lru_cache(1)
def _suited(
    networks: Networks, source: str, rules: "ReadRules", page: int | None
) -> "tuple[Picture, LoadedNetwork]":
    """The picture of this worker's last band, and the network for it."""
    from ginr.pictures import read_picture

    picture = read_picture(Path(source), rules, page=page)
    return picture, networks.suited(picture)[0]


@dataclass(frozen=True)
class FilmPart(OfJob):
    """A span of a video."""

    writing: Writing
    span: "Span"

    @property
    def cost(self) -> int:
        return self.span.n_frames * self.job.frame_px

    def do(self, work_of: Callable[[Job], Work], *, again: bool = False) -> "EncodedSpan":
        """The span, enlarged and encoded."""
        from ginr.videos import encode_span, sample_frame

        job = self.job
        check_shared(job)
        work = replace(work_of(job), say=lambda text: None)  # said where the film is joined
        frames = Frames(work, sample_frame(job.source), "")
        encoding = encoding_of(self.writing)
        return encode_span(
            job.source, self.span, frames.enlarged, job.out_size, encoding, job.output
        )


class Shared:
    """Renders the parts of a job by the workers of a pool."""

    def __init__(self, pool: Pool, writing: Writing, n_worker: int) -> None:
        self._pool, self._writing, self._n_worker = pool, writing, n_worker

    def bands(
        self, job: Job, page: int | None, view: "View", boxes: "Iterable[Box]", tile: int
    ) -> "Iterator[Samples]":
        """See `Elsewhere`."""
        parts = (Band(job, page, view, box, tile) for box in boxes)
        ahead = max(2, min(2 * self._n_worker, _AHEAD_BYTES // _BAND_BYTES))
        yield from map(_sound, self._pool.in_order(parts, ahead))

    def segments(self, job: Job, spans: "list[Span]") -> "Iterator[EncodedSpan]":
        """See `Elsewhere`."""
        parts = (FilmPart(job, self._writing, span) for span in spans)
        yield from map(_sound, self._pool.in_order(parts, 2 * self._n_worker))


def _sound(result: Any) -> Any:
    """The result of a part; raises what its task failed by."""
    from ginr.errors import PictureError

    if isinstance(result, Outcome):
        raise PictureError(result.error or "a part failed")
    return result
