"""A picture's field in one safetensors file, rendered later without the picture and the encoder.

The metadata holds `ginr.network.field` (this file's version), `ginr.architecture.config` (JSON of GinrConfig) and
`ginr.facts` (JSON: the picture's height, width, channels and depth, and name and sha256 of the
checkpoint whose decoder reads it: weights are not repeated in every picture). The tensors are
`features` (float16, or uint8 codes and their `levels`), `base` where the field is added to the
picture's own samples, and `icc`, the bytes of its colour profile.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import Header, peek, shipped_checkpoints
from ginr.checkpoints.tensors_file import FileHeader, read_header, write_tensors
from ginr.errors import CheckpointError

if TYPE_CHECKING:
    from ginr.rendering.picture_field import PictureField

FIELD_FORMAT = 1
_FACTS: Mapping[str, range | type] = {
    "height": range(1, 2**31),
    "width": range(1, 2**31),
    "channels": range(1, 5),
    "depth": range(8, 17, 8),
    "checkpoint": str,
    "sha256": str,
}


@dataclass(frozen=True)
class FieldHeader:
    """What a saved field says of itself, read without its tensors."""

    file: FileHeader
    config: GinrConfig
    size: tuple[int, int]
    """H, W."""
    channels: int
    depth: int
    checkpoint: str
    """The name of the checkpoint that made it."""
    sha256: str
    """And of its file."""

    @property
    def path(self) -> Path:
        return self.file.path


def is_field(path: Path) -> bool:
    """Whether a file's name says that it is a saved field rather than a picture."""
    return path.suffix.lower() == ".safetensors"


def save_field(path: Path, field: "PictureField", checkpoint: Header) -> None:
    """Write a field at once or not at all, with the name and hash of the `checkpoint` that made it.

    Raises CheckpointError if it cannot be written; whatever stood at `path` then stays.
    """
    import torch

    facts = {
        "height": field.size[0],
        "width": field.size[1],
        "channels": field.channels,
        "depth": field.depth,
        "checkpoint": checkpoint.name,
        "sha256": checkpoint.sha256,
    }
    metadata = {
        "ginr.field": str(FIELD_FORMAT),
        "ginr.config": field.config.to_json(),
        "ginr.facts": json.dumps(facts),
    }
    tensors = {"features": field.features, "levels": field.levels, "base": field.base}
    if field.icc is not None:
        tensors["icc"] = torch.frombuffer(bytearray(field.icc), dtype=torch.uint8)
    write_tensors(path, {k: v for k, v in tensors.items() if v is not None}, metadata)


def peek_field(path: Path) -> FieldHeader:
    """Read a field's header only. Raises CheckpointError for anything but a sound field."""
    file = read_header(path)
    version = file.metadata.get("ginr.field")
    if version != str(FIELD_FORMAT):
        if "ginr.format" in file.metadata:
            raise CheckpointError(
                f"{path}: is a checkpoint, not a saved field: name a picture, and this with --checkpoint"
            )
        found = "is not a saved field of ginr" if version is None else f"has field format {version}"
        raise CheckpointError(f"{path}: {found}; this ginr reads format {FIELD_FORMAT}")
    config, facts = file.config(), file.facts()
    for name, allowed in _FACTS.items():
        value = facts.get(name)
        if isinstance(allowed, range):
            fits = type(value) is int and value in allowed
        else:
            fits = isinstance(value, str)
        if not fits:
            raise CheckpointError(f"{path}: {name} = {value!r} is not valid; use another copy")
    return FieldHeader(
        file,
        config,
        (facts["height"], facts["width"]),
        facts["channels"],
        facts["depth"],
        facts["checkpoint"],
        facts["sha256"],
    )


def checkpoint_of(field: FieldHeader, named: str | Path | None = None) -> Header:
    """The checkpoint that made a field: the one `named`, or the shipped one with its hash.

    Raises CheckpointError if it is another one, or not here.
    """
    made_with = (
        f"{field.path}: made with the checkpoint {field.checkpoint} (sha256 {field.sha256[:12]})"
    )
    if named is not None:
        header = peek(named)
        if header.sha256 != field.sha256:
            raise CheckpointError(
                f"{made_with}, not with {header.path} ({header.sha256[:12]}): name that one"
            )
        return header
    for name in shipped_checkpoints():
        header = peek(name)
        if header.sha256 == field.sha256:
            return header
    raise CheckpointError(
        f"{made_with}, which this ginr does not ship: name its file with --checkpoint"
    )


def load_field(path: Path) -> "PictureField":
    """Read a field. Raises CheckpointError for a damaged file, or tensors that do not fit it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ginr.rendering.picture_field import PictureField

    header = peek_field(path)
    wanted = _wanted(header)
    found = {
        name: (entry["dtype"], tuple(entry["shape"])) for name, entry in header.file.tensors.items()
    }
    missing, unknown = wanted.keys() - found.keys() - {"icc"}, found.keys() - wanted.keys()
    if missing or unknown:
        words = [
            f"{what} tensor {min(names)}"
            for what, names in (("missing", missing), ("unknown", unknown))
            if names
        ]
        raise CheckpointError(f"{path}: {', '.join(words)}; use another copy")
    for name, (dtype, shape) in found.items():
        kind, expected = wanted[name]
        if dtype != kind or (shape != expected and name != "icc"):
            raise CheckpointError(
                f"{path}: tensor {name} is {dtype} {shape}, the picture needs {kind} {expected}"
            )
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity; use another copy")
    icc = tensors.get("icc")
    return PictureField(
        header.config,
        header.size,
        header.channels,
        header.depth,
        tensors["features"],
        tensors.get("levels"),
        tensors.get("base"),
        None if icc is None else icc.numpy().tobytes(),
    )


def _wanted(header: FieldHeader) -> Mapping[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every tensor that may be in the file."""
    from ginr.rendering.picture_field import features_shape

    entries = header.file.tensors
    found: Any = entries.get("features", {"shape": [1], "dtype": "F16"})
    n_layer = 2 if header.channels in (2, 4) and found["shape"][:1] == [2] else 1
    wanted = {
        "features": ("F16", features_shape(header.config, header.size, n_layer)),
        "icc": ("U8", ()),
    }
    if found["dtype"] == "U8":
        wanted["features"] = "U8", wanted["features"][1]
        wanted["levels"] = "F32", (2, header.config.width)
    if header.config.base != "none":
        wanted["base"] = f"U{header.depth}", (header.channels, *header.size)
    return wanted
