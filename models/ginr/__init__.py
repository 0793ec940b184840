"""ginr: arbitrary-scale super-resolution from learnable position tokens.

The public names load on first use, so that reading a picture's header or refusing a wrong size
does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ginr.errors import CheckpointError, GinrError, PictureError, SizeError
    from ginr.picture import Picture, read_picture, write_picture

_HOME = {
    "CheckpointError": "errors",
    "GinrError": "errors",
    "Picture": "picture",
    "PictureError": "errors",
    "SizeError": "errors",
    "read_picture": "picture",
    "write_picture": "picture",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ginr' has no attribute {name!r}")
    return getattr(import_module(f"ginr.{_HOME[name]}"), name)
