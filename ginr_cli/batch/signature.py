"""What outputs say of how they were made."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ginr_cli.batch.plan import Job
from ginr_cli.files import Writing
from ginr_cli.load_network import LoadedNetwork
from ginr_cli.restoring import Restoration

if TYPE_CHECKING:
    from ginr.pictures import Picture
    from ginr.pictures.formats import Format


def facts(
    job: Job, writing: Writing, network: LoadedNetwork, restoration: Restoration | None
) -> dict[str, str]:
    """What an output says of how it is made."""
    strength = 0.0 if restoration is None else restoration.strength
    made = {"network": network.checkpoint, "restored": f"{strength:.2f}"}
    return {**job.facts(writing), **made}


def signed(
    picture: "Picture",
    job: Job,
    writing: Writing,
    network: LoadedNetwork,
    restoration: Restoration | None,
    format: "Format",
) -> "Picture":
    """The picture with a description of how its enlargement is made, if the format can hold it."""
    from ginr.pictures.formats import unfit_reason
    from ginr.pictures.provenance import with_provenance

    xmp = with_provenance(picture.xmp, facts(job, writing, network, restoration))
    if xmp is None or unfit_reason(format, "XMP", xmp, picture.is_grey) is not None:
        return picture
    return replace(picture, xmp=xmp)
