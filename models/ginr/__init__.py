"""ginr: arbitrary-scale super-resolution from learnable position tokens.

The public names load on first use, so that reading a picture's header or refusing a wrong size
does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ginr.checkpoint import Checkpoint, load_checkpoint, load_cpu_network, save_checkpoint
    from ginr.config import GinrConfig
    from ginr.errors import CheckpointError, GinrError, PictureError, SizeError
    from ginr.field import Field
    from ginr.field_file import load_field, save_field
    from ginr.lps import LpReport
    from ginr.model import Ginr
    from ginr.model_cpu import CpuGinr
    from ginr.picture import Picture, read_picture, write_picture
    from ginr.picture_field import PictureField, encode_picture
    from ginr.tiles import upscale
    from ginr.train_config import TrainConfig
    from ginr.warping import warp

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CpuGinr",
    "Field",
    "Ginr",
    "GinrConfig",
    "GinrError",
    "LpReport",
    "Picture",
    "PictureError",
    "PictureField",
    "SizeError",
    "TrainConfig",
    "encode_picture",
    "load_checkpoint",
    "load_cpu_network",
    "load_field",
    "read_picture",
    "save_checkpoint",
    "save_field",
    "upscale",
    "warp",
    "write_picture",
]

_HOME = {
    "Checkpoint": "checkpoint",
    "CheckpointError": "errors",
    "CpuGinr": "model_cpu",
    "Field": "field",
    "Ginr": "model",
    "GinrConfig": "config",
    "GinrError": "errors",
    "LpReport": "lps",
    "Picture": "picture",
    "PictureError": "errors",
    "PictureField": "picture_field",
    "SizeError": "errors",
    "TrainConfig": "train_config",
    "encode_picture": "picture_field",
    "load_checkpoint": "checkpoint",
    "load_cpu_network": "checkpoint",
    "load_field": "field_file",
    "read_picture": "picture",
    "save_checkpoint": "checkpoint",
    "save_field": "field_file",
    "upscale": "tiles",
    "warp": "warping",
    "write_picture": "picture",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ginr' has no attribute {name!r}")
    return getattr(import_module(f"ginr.{_HOME[name]}"), name)
