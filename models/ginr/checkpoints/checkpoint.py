"""One safetensors file that explains itself: weights, configuration, format version, training facts.

The header's metadata holds `ginr.format` (this file's version), `ginr.architecture.config` (JSON of GinrConfig)
and `ginr.facts` (JSON: how it was trained and what it scores). Nothing is ever unpickled.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.tensors_file import n_number, read_header, write_tensors
from ginr.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ginr.array_api import Array
    from ginr.engine.model import CpuGinr
    from ginr.network.model import Ginr

FORMAT = 1
DEFAULT = "small"


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself, read without its weights."""

    path: Path
    config: GinrConfig
    facts: Mapping[str, Any]
    n_parameter: int
    dtypes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def sha256(self) -> str:
        """Of the file, in hexadecimal. Raises CheckpointError if it cannot be read any more."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class Checkpoint:
    """A header and its weights, on the CPU, in float32."""

    header: Header
    weights: Mapping[str, "Tensor"] = field(repr=False)

    @property
    def config(self) -> GinrConfig:
        return self.header.config

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.header.facts

    @property
    def name(self) -> str:
        return self.header.name

    def build(self, device: "torch.device | str" = "cpu") -> "Ginr":
        """The network with these weights, in evaluation mode on `device`.

        Raises CheckpointError if a tensor is missing, unknown, of another shape or not finite.
        """
        import torch

        from ginr.network.model import Ginr

        try:
            # Not on the meta device: its random fills load torch's compiler, 1.1 s against 5 ms.
            with torch.random.fork_rng(devices=[]):
                model = Ginr(self.config)
        except ValueError as error:
            raise CheckpointError(f"{self.header.path}: {error}") from None
        _check_fit(self.header, self.weights)
        own = {name: tensor.clone() for name, tensor in self.weights.items()}
        model.load_state_dict(own, strict=True, assign=True)
        return model.to(device).eval().requires_grad_(False)


def peek(name_or_path: str | Path) -> Header:
    """Read a checkpoint's header only. Raises CheckpointError for anything but a sound checkpoint."""
    path = find_checkpoint(name_or_path)
    file = read_header(path)
    version = file.metadata.get("ginr.format")
    if version != str(FORMAT):
        if "ginr.field" in file.metadata:
            raise CheckpointError(
                f"{path}: is a saved field, not a checkpoint: render it with ginr reconstruct"
            )
        found = "is not a ginr checkpoint" if version is None else f"has format {version}"
        raise CheckpointError(f"{path}: {found}; this ginr reads format {FORMAT}")
    facts, config = file.facts(), file.config()
    n_parameter = sum(n_number(entry["shape"]) for entry in file.tensors.values())
    dtypes = tuple(sorted({entry["dtype"] for entry in file.tensors.values()}))
    return Header(path, config, facts, n_parameter, dtypes)


def load_checkpoint(name_or_path: str | Path = DEFAULT) -> Checkpoint:
    """Read a checkpoint: the name of a shipped one, or a path. Raises CheckpointError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = peek(name_or_path)
    try:
        weights = load_file(header.path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{header.path}: cannot be read: {error}") from None
    return Checkpoint(header, {name: tensor.float() for name, tensor in weights.items()})


def load_cpu_network(name_or_path: str | Path = DEFAULT) -> "CpuGinr":
    """The network of a checkpoint for the CPU alone, without loading torch.

    Raises CheckpointError as `load_checkpoint` and `build` do, and for a network that needs torch, as
    `needs_torch` says.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from ginr.engine.model import CpuGinr

    header = peek(name_or_path)
    if reason := needs_torch(header):
        raise CheckpointError(f"{header.path}: needs torch: {reason}")
    try:
        weights = load_file(header.path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{header.path}: cannot be read: {error}") from None
    _check_fit(header, weights)
    return CpuGinr(header.config, weights)


def needs_torch(header: Header) -> str:
    """Why `load_cpu_network` cannot load the checkpoint, empty if it can."""
    from ginr.engine.model import why_not

    if extra := sorted(set(header.dtypes) - {"F16", "F32", "F64"}):
        return f"it holds {', '.join(extra)}, unknown to NumPy"
    return why_not(header.config)


def save_checkpoint(
    path: Path,
    config: GinrConfig,
    weights: Mapping[str, "Tensor"],
    facts: Mapping[str, Any],
    *,
    dtype: "torch.dtype | None" = None,
) -> None:
    """Write a checkpoint at once or not at all; `dtype` float16 or bfloat16 halves the file.

    Raises CheckpointError if it cannot be written; whatever stood at `path` then stays.
    """
    metadata = {
        "format": "pt",
        "ginr.format": str(FORMAT),
        "ginr.config": config.to_json(),
        "ginr.facts": json.dumps(dict(facts)),
    }
    write_tensors(path, {k: v.to(dtype or v.dtype) for k, v in weights.items()}, metadata)


def shipped_checkpoints() -> dict[str, Path]:
    """The checkpoints that came with the package, by the name `--checkpoint` takes."""
    folder = Path(str(files("ginr") / "weights"))
    found = sorted(folder.glob("ginr-*.safetensors"))
    return {path.stem.removeprefix("ginr-"): path for path in found}


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The file of a shipped name or of a path. Raises CheckpointError if there is none."""
    shipped = shipped_checkpoints()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    if is_folder:
        raise CheckpointError(f"{path}: is a folder; name the .safetensors file in it")
    if not exists:
        names = ", ".join(shipped) or "none"
        raise CheckpointError(f"{path}: no such checkpoint; shipped ones are: {names}")
    return path


def _check_fit(header: Header, weights: Mapping[str, "Array"]) -> None:
    """Raises CheckpointError if a tensor is missing, unknown, of another shape or not finite."""
    from ginr.architecture.weights import shapes
    from ginr.array_api import namespace

    path, wanted = header.path, shapes(header.config)
    missing, extra = set(wanted) - set(weights), set(weights) - set(wanted)
    if missing or extra:
        raise CheckpointError(
            f"{path}: {_names('missing', missing)}{_names('unknown', extra)}"
            "the file does not fit its own configuration; use another copy"
        )
    for name, tensor in weights.items():
        if tuple(tensor.shape) != wanted[name]:
            raise CheckpointError(
                f"{path}: tensor {name} has shape {tuple(tensor.shape)}, "
                f"the configuration needs {wanted[name]}"
            )
        if not namespace(tensor).isfinite(tensor).all():
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity; use another copy")


def _names(what: str, names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
    return f"{what} tensors {shown}; " if names else ""
