"""A picture's field in one safetensors file, to be rendered without the picture or the encoder.

Its metadata has the keys `ginr.field`, `ginr.config` and `ginr.facts`. The facts are the picture's
height, width, channels and depth, and the name and sha256 of the checkpoint whose decoder renders
it: weights are not repeated in every file. The tensors are `features`
(float16, or uint8 codes and their `levels`), `base` if the field is added to the picture's own
samples, and `icc`, the bytes of its colour profile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.checkpoints.checkpoint import peek, shipped_checkpoints
from ginr.checkpoints.layout import Entry
from ginr.checkpoints.tensors_file import (
    FIELD,
    Header,
    check_entries,
    check_finite,
    read_header,
    read_tensors,
    write_tensors,
)
from ginr.errors import CheckpointError

if TYPE_CHECKING:
    from ginr.rendering.picture_field import PictureField

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
    """What the header of a saved field says."""

    file: Header
    size: tuple[int, int]  # H, W
    channels: int
    depth: int
    checkpoint: str  # name of the checkpoint that made it
    sha256: str  # hash of that checkpoint's file


def is_field(path: Path) -> bool:
    """Whether a file's name is that of a saved field rather than of a picture."""
    return path.suffix.lower() == ".safetensors"


def save_field(path: str | Path, field: "PictureField", checkpoint: Header) -> None:
    """Write a field, with the name and hash of the `checkpoint` that made it.

    Raises CheckpointError if it cannot be written; a file at `path` is then left as it was.
    """
    import torch

    values = (*field.size, field.channels, field.depth, checkpoint.name, checkpoint.sha256)
    facts = dict(zip(_FACTS, values, strict=True))
    tensors = {"features": field.features, "levels": field.levels, "base": field.base}
    if field.icc is not None:
        tensors["icc"] = torch.frombuffer(bytearray(field.icc), dtype=torch.uint8)
    present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    write_tensors(Path(path), present, FIELD.metadata(field.config, facts))


def peek_field(path: Path) -> FieldHeader:
    """Read the header of a saved field only. Raises CheckpointError unless it is a sound one."""
    file = read_header(path, FIELD)
    for name, allowed in _FACTS.items():
        value = file.facts.get(name)
        if isinstance(allowed, range):
            is_valid = type(value) is int and value in allowed
        else:
            is_valid = isinstance(value, str)
        if not is_valid:
            raise CheckpointError(
                f"{path}: {name} = {value!r} is not valid: download or copy it again"
            )
    height, width, *others = (file.facts[name] for name in _FACTS)
    return FieldHeader(file, (height, width), *others)


def checkpoint_of(field: FieldHeader, named: str | Path | None = None) -> Header:
    """The checkpoint that made a field: the one `named`, or the shipped one with its hash.

    Raises CheckpointError if the one named did not make it, or no shipped one did.
    """
    maker = f"{field.checkpoint} (sha256 {field.sha256[:12]})"
    made_with = f"{field.file.path}: made with the checkpoint {maker}"
    if named is not None:
        header = peek(named)
        if header.sha256 != field.sha256:
            raise CheckpointError(
                f"{made_with}, not with {header.path} ({header.sha256[:12]}): name that one"
            )
        return header
    for name in shipped_checkpoints():
        header = peek(name)
        if field.sha256 in (header.sha256, header.facts.get("converted_from_sha256")):
            return header
    raise CheckpointError(
        f"{made_with}, which this ginr does not ship: name its file with --checkpoint"
    )


def load_field(path: str | Path) -> "PictureField":
    """Read a field. Raises CheckpointError for a damaged file, or tensors that do not fit it."""
    from ginr.rendering.picture_field import PictureField

    path = Path(path)
    header = peek_field(path)
    check_entries(path, header.file.tensors, _wanted(header))
    tensors = read_tensors(path, "torch")
    check_finite(path, tensors)
    icc = tensors.pop("icc").numpy().tobytes() if "icc" in tensors else None
    kind = header.size, header.channels, header.depth
    return PictureField(header.file.config, *kind, **tensors, icc=icc)


def _wanted(header: FieldHeader) -> Mapping[str, Entry]:
    """Every tensor that must be in the file, and `icc` if it is there."""
    from ginr.rendering.picture_field import features_shape

    found, config = header.file.tensors, header.file.config
    features = found.get("features", Entry("F16", (1,)))
    n_layer = 2 if header.channels in (2, 4) and features.shape[:1] == (2,) else 1
    shape = features_shape(config, header.size, n_layer)
    wanted = {"features": Entry("F16", shape)}
    if features.dtype == "U8":
        wanted = {"features": Entry("U8", shape), "levels": Entry("F32", (2, config.width))}
    if config.base != "none":
        wanted["base"] = Entry(f"U{header.depth}", (header.channels, *header.size))
    if "icc" in found:
        wanted["icc"] = Entry("U8", found["icc"].shape)
    return wanted
