"""The weights of LPIPS and DISTS: one safetensors file of the user's, which ginr does not ship.

`benchmarks/fetch_perceptual.py` makes it. This module does not load torch until it reads weights.
"""

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.checkpoints.layout import Entry, read_layout
from ginr.checkpoints.tensors_file import check_entries, check_finite, read_tensors, write_tensors
from ginr.errors import CheckpointError
from ginr.user_cache import user_cache

if TYPE_CHECKING:
    from torch import Tensor

VARIABLE = "GINR_PERCEPTUAL"
"""The environment variable that names the file, if it is not in the cache folder."""
FORMAT = {"ginr.perceptual": "1"}
"""Metadata by which such a file is known."""
HOW_TO_GET = "make it by benchmarks/fetch_perceptual.py of ginr's sources"

ALEXNET = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))
_VGG16_WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG16 = tuple((wide, narrow, 3, 3) for narrow, wide in pairwise(_VGG16_WIDTHS))
"""Kernels of all convolutions, (outputs, inputs, height, width)."""
DISTS_WIDTHS = (3, 64, 128, 256, 512, 512)
"""Channels of the maps that DISTS compares; the first is the picture."""


def weights_path() -> Path:
    """The path of the file: GINR_PERCEPTUAL if set, else in the user's cache folder."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    try:
        return user_cache() / "ginr" / "perceptual.safetensors"
    except OSError:
        raise CheckpointError(
            f"there is no home folder with the weights of LPIPS and DISTS: name their file by {VARIABLE}"
        ) from None


def weight_shapes() -> dict[str, tuple[int, ...]]:
    """The tensors of a file by name, all float32."""
    shapes: dict[str, tuple[int, ...]] = {}
    for network, kernels in (("alexnet", ALEXNET), ("vgg16", VGG16)):
        for k, kernel in enumerate(kernels):
            shapes |= {f"{network}.{k}.weight": kernel, f"{network}.{k}.bias": kernel[:1]}
    shapes |= {f"lpips.{k}": kernel[:1] for k, kernel in enumerate(ALEXNET)}
    n_channel = sum(DISTS_WIDTHS)
    return shapes | {"dists.alpha": (n_channel,), "dists.beta": (n_channel,)}


def check_weights(path: Path) -> None:
    """Raises CheckpointError unless a file has the header of these weights."""
    if not path.exists():
        raise CheckpointError(
            f"{path}: no weights of LPIPS and DISTS here: {HOW_TO_GET}, or name it by {VARIABLE}"
        )
    metadata, tensors = read_layout(path)
    if FORMAT.items() - metadata.items():
        raise CheckpointError(f"{path}: not the weights of LPIPS and DISTS: {HOW_TO_GET}")
    wanted = {name: Entry("F32", shape) for name, shape in weight_shapes().items()}
    check_entries(path, tensors, wanted)


def load_weights(path: Path) -> "dict[str, Tensor]":
    """The weights by name, on the CPU; those of DISTS sum to 1.

    Raises CheckpointError as `check_weights` does, and for numbers that are not finite.
    """
    check_weights(path)
    weights = read_tensors(path, "torch")
    total = weights["dists.alpha"].sum() + weights["dists.beta"].sum()
    for name in ("dists.alpha", "dists.beta"):
        weights[name] = weights[name] / total  # not finite if all are 0
    check_finite(path, weights)
    return weights


def save_weights(path: Path, weights: "Mapping[str, Tensor]") -> None:
    """Write a file of these weights. Raises CheckpointError."""
    write_tensors(path, weights, FORMAT)
