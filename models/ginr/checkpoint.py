"""One safetensors file that explains itself: weights, configuration, format version, training facts.

The header's metadata holds `ginr.format` (this file's version), `ginr.config` (JSON of GinrConfig)
and `ginr.facts` (JSON: how it was trained and what it scores). Nothing is ever unpickled.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ginr.config import GinrConfig
from ginr.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ginr.arrays import Array
    from ginr.model import Ginr
    from ginr.model_cpu import CpuGinr

FORMAT = 1
MAX_HEADER = 100_000_000  # bytes, safetensors' own limit
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

        from ginr.model import Ginr

        try:
            # Not on the meta device: its random fills load torch's compiler, 1.1 s against 5 ms.
            with torch.random.fork_rng(devices=[]):
                model = Ginr(self.config)
        except ValueError as error:
            raise CheckpointError(f"{self.header.path}: {error}") from None
        wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        _check_fit(self.header.path, wanted, self.weights)
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
    n_parameter = sum(_product(entry["shape"]) for entry in file.tensors.values())
    dtypes = tuple(sorted({entry["dtype"] for entry in file.tensors.values()}))
    return Header(path, config, facts, n_parameter, dtypes)


@dataclass(frozen=True)
class FileHeader:
    """The header of a sound safetensors file, its length checked, its tensors not read."""

    path: Path
    metadata: Mapping[str, str]
    tensors: Mapping[str, Any]

    def config(self) -> GinrConfig:
        """The configuration in it. Raises CheckpointError without a valid one."""
        try:
            return GinrConfig.from_json(self.metadata["ginr.config"])
        except KeyError:
            raise self._incomplete() from None
        except CheckpointError as error:
            raise CheckpointError(f"{self.path}: {error}") from None

    def facts(self) -> dict[str, Any]:
        """The facts in it. Raises CheckpointError without any."""
        try:
            facts = json.loads(self.metadata["ginr.facts"])
        except (KeyError, ValueError, RecursionError):
            raise self._incomplete() from None
        if not isinstance(facts, dict):
            raise self._incomplete()
        return facts

    def _incomplete(self) -> CheckpointError:
        return CheckpointError(f"{self.path}: incomplete ginr header; use another copy")


def read_header(path: Path) -> FileHeader:
    """The header of a safetensors file. Raises CheckpointError for any other or a damaged one."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else MAX_HEADER + 1
            if length > min(MAX_HEADER, size - 8) or file.read(1) != b"{":
                raise CheckpointError(
                    f"{path}: not a safetensors file, or cut short ({size} bytes); "
                    "ginr reads .safetensors checkpoints only, never pickles"
                )
            file.seek(8)
            entries = json.loads(file.read(length))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path}: broken safetensors header; use another copy") from None
    metadata = entries.pop("__metadata__", {}) if isinstance(entries, dict) else {}
    if not isinstance(metadata, dict):
        metadata = {}
    try:
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        for entry in entries.values():
            _product(entry["shape"]), str(entry["dtype"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, LookupError):
        raise CheckpointError(f"{path}: incomplete ginr header; use another copy") from None
    if size != 8 + length + end:
        raise CheckpointError(
            f"{path}: {size} bytes where the header promises {8 + length + end}: "
            "cut short or damaged; copy it again"
        )
    return FileHeader(path, metadata, entries)


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

    from ginr.model_cpu import CpuGinr, shapes

    header = peek(name_or_path)
    if reason := needs_torch(header):
        raise CheckpointError(f"{header.path}: needs torch: {reason}")
    try:
        weights = load_file(header.path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{header.path}: cannot be read: {error}") from None
    _check_fit(header.path, shapes(header.config), weights)
    return CpuGinr(header.config, weights)


def needs_torch(header: Header) -> str:
    """Why `load_cpu_network` cannot load the checkpoint, empty if it can."""
    from ginr.model_cpu import why_not

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


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: dict[str, str]) -> None:
    """A safetensors file under a temporary name, then renamed. Raises CheckpointError."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        temporary.touch()
        mode = temporary.stat().st_mode & 0o777
        save_file(plain, temporary, metadata)
        temporary.chmod(mode)  # safetensors lets nobody but the owner read
        _flush(temporary)  # or a power cut could leave the new name on an empty file
        os.replace(temporary, path)
        _flush(path.parent)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written: {error}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    if path.is_dir() and os.name == "nt":  # no handles of folders there
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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


def _check_fit(
    path: Path, wanted: Mapping[str, tuple[int, ...]], weights: Mapping[str, "Array"]
) -> None:
    """Raises CheckpointError if a tensor is missing, unknown, of another shape or not finite."""
    from ginr.arrays import namespace

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


def _product(shape: list[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
