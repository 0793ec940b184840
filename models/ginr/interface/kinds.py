"""Converts what programs keep pictures in to `Picture` and back: paths, Pillow images, arrays, tensors.

Letters: B batch, H W height and width, C channels (1 grey, 2 grey and alpha, 3 RGB, 4 RGBA).
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from ginr.errors import PictureError
from ginr.pictures import Picture, read_picture
from ginr.pictures.libraries import rgb_of_cmyk
from ginr.pictures.opened import OpenedFile
from ginr.pictures.samples import Samples

_SLACK = 1e-3
"""How far floats may lie outside of [0, 1], as after a resampling in floats."""
_KINDS = "a path, a Picture, a PIL image, a NumPy array or a torch tensor"
_ARRAYS = "(H, W) or (H, W, 1 to 4) of uint8, uint16, or floats in [0, 1]"
_TENSORS = "(1 to 4, H, W) or (B, 1 to 4, H, W) of uint8, or floats in [0, 1]"
_INFO = ("exif", "xmp", "dpi")


@dataclass(frozen=True)
class Given:
    """The pictures in an argument, and a function that turns enlargements into its kind."""

    pictures: Sequence[Picture]
    back: Callable[[Sequence[Picture]], Any]
    device: str = "auto"
    """Where the network runs, unless it is given too."""


def given(x: object) -> Given:
    """The pictures in x. Raises TypeError for another kind, PictureError for what is in it."""
    if isinstance(x, Picture):
        return Given([x], lambda made: made[0])
    if isinstance(x, str | PathLike):
        return Given([read_picture(Path(x))], lambda made: made[0])
    if isinstance(x, np.ndarray):
        return _array(x)
    if _is(x, "PIL.Image", "Image"):
        return _image(x)
    if _is(x, "torch", "Tensor"):
        return _tensor(x)
    raise TypeError(f"{type(x).__name__} is not a picture: give {_KINDS}")


def _is(x: object, module: str, name: str) -> TypeGuard[Any]:
    """Whether x is an instance of a class of a module, which need not be loaded."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(x, kind)


def _array(x: npt.NDArray[Any]) -> Given:
    if x.ndim not in (2, 3) or 0 in x.shape or (x.ndim == 3 and x.shape[2] > 4):
        raise PictureError(f"an array of shape {x.shape} is not a picture: give {_ARRAYS}")
    samples = _samples(x, _ARRAYS)

    def back(made: Sequence[Picture]) -> npt.NDArray[Any]:
        out = _like(made[0].samples, x.dtype)
        return out[..., 0] if x.ndim == 2 else out

    return Given([Picture(samples.reshape(*x.shape[:2], -1))], back)


def _samples(x: npt.NDArray[Any], wanted: str) -> Samples:
    """The numbers as contiguous integers; floats with 16 bits."""
    if x.dtype.kind == "u" and x.dtype.itemsize <= 2:
        return np.ascontiguousarray(x, x.dtype.newbyteorder("="))
    if x.dtype.kind != "f":
        raise PictureError(f"numbers of type {x.dtype} are not samples: give {wanted}")
    low, high = float(x.min()), float(x.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # also where there is a NaN
        raise PictureError(f"floats from {low:g} to {high:g}: scale them to [0, 1] first")
    level = x.astype(np.float64, order="C").clip(0, 1) * 65535 + 0.5
    return level.astype(np.uint16)


def _like(samples: Samples, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Samples in the type that was given."""
    if kind.kind == "f":
        return (samples / np.float64(np.iinfo(samples.dtype).max)).astype(kind)
    return samples.astype(kind, copy=False)


def _tensor(x: Any) -> Given:
    import torch

    if x.ndim not in (3, 4) or 0 in x.shape or x.shape[-3] > 4:
        raise PictureError(f"a tensor of shape {tuple(x.shape)} is not a picture: give {_TENSORS}")
    host = x.detach().cpu()
    if host.is_floating_point():
        host = host.double()  # NumPy has no bfloat16
    batch = host.numpy().reshape(-1, *x.shape[-3:]).transpose(0, 2, 3, 1)  # (B, H, W, C)
    pictures = [Picture(_samples(one, _TENSORS)) for one in batch]

    def back(made: Sequence[Picture]) -> Any:
        rows = np.stack([_like(one.samples, batch.dtype) for one in made])  # (B, H', W', C)
        out = torch.from_numpy(rows).permute(0, 3, 1, 2).contiguous()
        return (out if x.ndim == 4 else out[0]).to(x.device, x.dtype)

    return Given(pictures, back, str(x.device) if x.device.type == "cuda" else "cpu")


def _image(image: Any) -> Given:
    icc = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        return _framed(image, np.asarray(image, np.uint16)[..., None], icc)
    if image.mode in ("I", "F"):
        raise PictureError(f"PIL mode {image.mode} has no range: convert it to L or I;16")
    if not (image.width and image.height):
        raise PictureError("a PIL image without pixels is not a picture")
    if image.mode == "CMYK":
        opened = OpenedFile("PIL", image.height, image.width, 3, 8, icc=icc)
        opened.check_icc()
        return _framed(image, rgb_of_cmyk(np.asarray(image), opened), opened.icc)
    grey = image.mode in ("1", "L", "LA", "La")
    mode = "L" if grey else "RGB"
    if image.has_transparency_data:
        mode = "LA" if grey else "RGBA"
    return _framed(image, np.asarray(image.convert(mode)), None if image.mode == "LAB" else icc)


def _framed(image: Any, samples: Samples, icc: bytes | None) -> Given:
    picture = Picture(np.ascontiguousarray(samples.reshape(image.height, image.width, -1)), icc)

    def back(made: Sequence[Picture]) -> Any:
        out = made[0].pil()
        out.info.update({name: image.info[name] for name in _INFO if name in image.info})
        return out

    return Given([picture], back)
