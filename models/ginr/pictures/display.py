"""Pictures as they look on a screen: 8 bits, sRGB, on white."""

import io
from typing import TYPE_CHECKING

import numpy as np

from ginr.pictures.samples import Picture, eight_bit

if TYPE_CHECKING:
    from PIL.Image import Image


def displayed(picture: Picture) -> "Image":
    """The picture as an RGB image of Pillow."""
    from PIL import Image, ImageCms

    samples = eight_bit(picture.samples)
    colour = samples[..., :1] if picture.is_grey else samples[..., :3]
    image = Image.fromarray(colour[..., 0] if picture.is_grey else np.ascontiguousarray(colour))
    if picture.icc is not None:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(picture.icc))
            srgb = ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB") or image
        except (ImageCms.PyCMSError, OSError):  # a profile of another kind: shown without
            pass
    image = image.convert("RGB")
    if picture.has_alpha:
        white = Image.new("RGB", image.size, "white")
        image = Image.composite(image, white, Image.fromarray(samples[..., -1]))
    return image
