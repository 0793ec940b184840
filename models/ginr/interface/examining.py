"""`ginr.assess` for pictures of any kind."""

from typing import Any

from ginr.assessing.assessment import Assessment
from ginr.assessing.assessment import assess as assess_picture
from ginr.errors import PictureError
from ginr.interface.kinds import given


def assess(x: Any) -> Assessment:
    """What is wrong with a picture: noise, blur, compression, and how strongly to restore it.

    x is of a kind that `upscale` takes, but one picture. Takes 0.1 s. Raises TypeError for another kind,
    and PictureError for what cannot be read, or a batch.
    """
    pictures = given(x).pictures
    if len(pictures) != 1:
        raise PictureError(f"a batch of {len(pictures)} pictures: give one of them at a time")
    return assess_picture(pictures[0])
