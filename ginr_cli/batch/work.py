"""A job of `ginr upscale` together with what doing it needs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ginr.assessing.restoration import Restoration
from ginr_cli.batch.plan import Job
from ginr_cli.files import Writing
from ginr_cli.load_network import LoadedNetwork
from ginr_cli.restoring import Networks
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.geometry.size import Box
    from ginr.geometry.view import View
    from ginr.pictures import Picture
    from ginr.pictures.formats import Format
    from ginr.pictures.samples import Samples
    from ginr.videos import EncodedSpan, Span


class Elsewhere(Protocol):
    """Renders the parts of a job, and gives them back in order."""

    def bands(
        self, job: Job, page: int | None, view: "View", boxes: "Iterable[Box]", tile: int
    ) -> "Iterator[Samples]":
        """The parts of a page in boxes of the output, rendered in tiles of that side."""

    def segments(self, job: Job, spans: "list[Span]") -> "Iterator[EncodedSpan]":
        """The spans of a video, enlarged and encoded."""


@dataclass(frozen=True)
class Work:
    """A job, the networks for it, how its output is written, and how progress is reported."""

    job: Job
    networks: Networks
    writing: Writing
    until_reported: ExitStack
    """Contexts that end when the outcome is reported."""
    say: Callable[[str], None]
    progress: Callable[[int, int], None]
    """Called with the output pixels that are done, and with all of the job."""
    elsewhere: "Elsewhere | None" = None
    """Who renders the parts of a large job; None for this process."""

    def is_computed(self) -> None:
        """From now on, signals wait until the outcome is reported."""
        self.until_reported.enter_context(deferred())

    def read(self, page: int | None = None) -> "Picture":
        """The picture, or a page of it, with the metadata that its output gets."""
        from ginr.pictures import at_dpi, read_picture, without_place

        picture = read_picture(self.job.source, self.job.rules, page=page)
        if self.job.box is not None:
            picture = without_place(picture)
        return picture if self.writing.dpi is None else at_dpi(picture, self.writing.dpi)

    def facts(self, network: LoadedNetwork, restoration: Restoration | None) -> dict[str, str]:
        """What the output records about how it is made."""
        strength = 0.0 if restoration is None else restoration.strength
        made = {"network": network.checkpoint, "restored": f"{strength:.2f}"}
        return {**self.job.facts(self.writing), **made}

    def signed(
        self,
        picture: "Picture",
        network: LoadedNetwork,
        restoration: Restoration | None,
        format: "Format",
    ) -> "Picture":
        """The picture with these facts in its XMP, if the format can hold them."""
        from ginr.pictures.formats import unfit_reason
        from ginr.pictures.provenance import with_provenance

        xmp = with_provenance(picture.xmp, self.facts(network, restoration))
        if xmp is None or unfit_reason(format, "XMP", xmp, picture.is_grey) is not None:
            return picture
        return replace(picture, xmp=xmp)
