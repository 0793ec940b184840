"""ginr: arbitrary-scale super-resolution from learnable position tokens.

The public names load on first use, so that reading a picture's header or refusing a wrong size
does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ginr.architecture.config import GinrConfig
    from ginr.checkpoints.checkpoint import (
        Checkpoint,
        load_checkpoint,
        load_cpu_network,
        save_checkpoint,
    )
    from ginr.engine.model import CpuGinr
    from ginr.errors import CheckpointError, GinrError, PictureError, SizeError
    from ginr.lps.report import LpReport
    from ginr.network.field import Field
    from ginr.network.model import Ginr
    from ginr.pictures import Picture, read_picture, write_picture
    from ginr.rendering.field_file import load_field, save_field
    from ginr.rendering.picture_field import PictureField, encode_picture
    from ginr.rendering.upscale import upscale
    from ginr.rendering.warp import warp
    from ginr.training.config import TrainConfig

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
    "Checkpoint": "checkpoints.checkpoint",
    "CheckpointError": "errors",
    "CpuGinr": "engine.model",
    "Field": "network.field",
    "Ginr": "network.model",
    "GinrConfig": "architecture.config",
    "GinrError": "errors",
    "LpReport": "lps.report",
    "Picture": "pictures",
    "PictureError": "errors",
    "PictureField": "rendering.picture_field",
    "SizeError": "errors",
    "TrainConfig": "training.config",
    "encode_picture": "rendering.picture_field",
    "load_checkpoint": "checkpoints.checkpoint",
    "load_cpu_network": "checkpoints.checkpoint",
    "load_field": "rendering.field_file",
    "read_picture": "pictures",
    "save_checkpoint": "checkpoints.checkpoint",
    "save_field": "rendering.field_file",
    "upscale": "rendering.upscale",
    "warp": "rendering.warp",
    "write_picture": "pictures",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ginr' has no attribute {name!r}")
    return getattr(import_module(f"ginr.{_HOME[name]}"), name)
