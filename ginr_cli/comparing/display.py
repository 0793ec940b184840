"""Pictures as they look on a screen: 8 bits, sRGB, on white."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from ginr.pictures import Picture


def displayed(picture: "Picture") -> "Image":
    """The picture as an RGB image of Pillow."""
    import numpy as np
    from PIL import Image, ImageCms

    samples = picture.samples
    if picture.depth == 16:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
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
