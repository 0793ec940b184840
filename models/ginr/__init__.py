"""ginr: arbitrary-scale super-resolution from learnable position tokens.

    import ginr

    ginr.upscale("photo.jpg", scale=3.7).save("large.png")

`upscale` also takes PIL images, NumPy arrays and torch tensors, and returns the same kind.
Public names are loaded on first use, so that reading a picture's header does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ginr.architecture.config import GinrConfig as GinrConfig
    from ginr.assessing.assessment import Assessment as Assessment
    from ginr.checkpoints.checkpoint import Checkpoint as Checkpoint
    from ginr.checkpoints.checkpoint import load_checkpoint as load_checkpoint
    from ginr.checkpoints.checkpoint import load_cpu_network as load_cpu_network
    from ginr.checkpoints.checkpoint import save_checkpoint as save_checkpoint
    from ginr.engine.model import CpuGinr as CpuGinr
    from ginr.errors import CheckpointError as CheckpointError
    from ginr.errors import GinrError as GinrError
    from ginr.errors import PictureError as PictureError
    from ginr.errors import SizeError as SizeError
    from ginr.interface.examining import assess as assess
    from ginr.interface.module import as_module as as_module
    from ginr.interface.upscaling import upscale as upscale
    from ginr.interface.upscaling import upscale_many as upscale_many
    from ginr.lps.report import LpReport as LpReport
    from ginr.network.field import Field as Field
    from ginr.network.model import Ginr as Ginr
    from ginr.pictures import Picture as Picture
    from ginr.pictures import read_picture as read_picture
    from ginr.pictures import write_picture as write_picture
    from ginr.rendering.field_file import load_field as load_field
    from ginr.rendering.field_file import save_field as save_field
    from ginr.rendering.picture_field import PictureField as PictureField
    from ginr.rendering.picture_field import encode_picture as encode_picture
    from ginr.rendering.warp import warp as warp
    from ginr.training.config import TrainConfig as TrainConfig

_NAMES = {
    "architecture.config": "GinrConfig",
    "assessing.assessment": "Assessment",
    "checkpoints.checkpoint": "Checkpoint load_checkpoint load_cpu_network save_checkpoint",
    "engine.model": "CpuGinr",
    "errors": "CheckpointError GinrError PictureError SizeError",
    "interface.examining": "assess",
    "interface.module": "as_module",
    "interface.upscaling": "upscale upscale_many",
    "lps.report": "LpReport",
    "network.field": "Field",
    "network.model": "Ginr",
    "pictures": "Picture read_picture write_picture",
    "rendering.field_file": "load_field save_field",
    "rendering.picture_field": "PictureField encode_picture",
    "rendering.warp": "warp",
    "training.config": "TrainConfig",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("ginr")
    if name not in _HOME:
        raise AttributeError(f"module 'ginr' has no attribute {name!r}")
    return getattr(import_module(f"ginr.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
