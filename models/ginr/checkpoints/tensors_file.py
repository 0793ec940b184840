"""Safetensors files that describe themselves: checkpoints, banks of LPs and saved fields.

The metadata of the header holds `ginr.config` (JSON of GinrConfig), `ginr.facts` (JSON) and the
version of the file's format, under a key that tells what kind of file it is. Nothing is unpickled.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.layout import Entry, damaged, read_layout, unreadable
from ginr.errors import CheckpointError
from ginr.part_files import part_of

if TYPE_CHECKING:
    from torch import Tensor

    from ginr.array_api import Array


IN_RUN_FOLDER = "model.safetensors"
"""The checkpoint of a run, in its folder."""


class Kind(NamedTuple):
    """A kind of file."""

    name: str
    key: str
    """Key of the format version in the metadata."""
    versions: tuple[str, ...]
    """Versions of the format that can be read, newest first."""
    dtypes: frozenset[str]
    """Types of its tensors."""
    advice: str
    """What to do with such a file if another kind is expected."""

    def metadata(self, config: GinrConfig, facts: Mapping[str, Any]) -> dict[str, str]:
        """The metadata of a file of this kind."""
        described = {"ginr.config": config.to_json(), "ginr.facts": json.dumps(dict(facts))}
        # The second, if any, can be read by an older ginr, which knows plain configurations only.
        return {self.key: self.versions[:2][-1 if config.is_plain else 0], **described}


CHECKPOINT = Kind(
    "checkpoint", "ginr.format", ("3", "2", "1"), frozenset({"F16", "BF16", "F32", "F64"}),
    "name a picture, and this with --checkpoint",
)  # fmt: skip
FIELD = Kind(
    "saved field", "ginr.field", ("2", "1"), frozenset({"F16", "F32", "U8", "U16"}),
    "render it with ginr reconstruct",
)  # fmt: skip
BANK = Kind("bank", "ginr.bank", ("1",), frozenset({"F16", "F32"}), "name it with --bank")


@dataclass(frozen=True)
class Header:
    """The header of a sound file; the tensors are not read."""

    path: Path
    config: GinrConfig
    facts: Mapping[str, Any]
    tensors: Mapping[str, Entry]
    version: str

    @property
    def name(self) -> str:
        """The name of the file, or of the run's folder for `my_run/model.safetensors`."""
        folder = self.path.absolute().parent.name
        return folder if folder and self.path.name == IN_RUN_FOLDER else self.path.stem

    @property
    def n_parameter(self) -> int:
        return sum(math.prod(entry.shape) for entry in self.tensors.values())

    @property
    def dtypes(self) -> tuple[str, ...]:
        return tuple(sorted({entry.dtype for entry in self.tensors.values()}))

    @property
    def consistent(self) -> bool:
        """Whether its network was trained on clean pictures, which results can be held to.

        Only fields that are linear in their features, a whole number of LPs for each pixel, can.
        """
        from ginr.architecture.tokens import window_plan

        config, settings = self.config, self.facts.get("settings")
        lp_side = window_plan(config).lp_side
        return (
            config.base == "bicubic"
            and config.decoder == "lattice"
            and lp_side is not None
            and lp_side % config.window == 0
            and isinstance(settings, dict)
            and settings.get("degradation") == "clean"
        )

    @cached_property
    def sha256(self) -> str:
        """Hash of the file, in hexadecimal. Raises CheckpointError if it can no longer be read."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise unreadable(self.path, error.strerror) from None


def read_header(path: Path, kind: Kind) -> Header:
    """The header of a file of one kind. Raises CheckpointError for any other or a damaged one."""
    metadata, tensors = read_layout(path)
    version = metadata.get(kind.key)
    if version not in kind.versions:
        for other in (CHECKPOINT, FIELD, BANK):
            if other is not kind and other.key in metadata:
                raise CheckpointError(
                    f"{path}: is a {other.name}, not a {kind.name}: {other.advice}"
                )
        if version is None:
            raise CheckpointError(f"{path}: not a {kind.name} of ginr: name another file")
        raise CheckpointError(
            f"{path}: {kind.name} format {version}, this ginr reads {', '.join(sorted(kind.versions))}: "
            "use the version of ginr that wrote it"
        )
    try:
        config = GinrConfig.from_json(metadata["ginr.config"])
        facts = json.loads(metadata["ginr.facts"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (KeyError, ValueError, RecursionError):
        raise damaged(path) from None
    if not isinstance(facts, dict) or (version != kind.versions[0] and not config.is_plain):
        raise damaged(path)
    for name, entry in tensors.items():
        if entry.dtype not in kind.dtypes:
            known = ", ".join(sorted(kind.dtypes))
            raise CheckpointError(
                f"{path}: tensor {name} is {entry}, but a {kind.name} holds {known}: name another file"
            )
    return Header(path, config, facts, tensors, version)


def read_tensors(path: Path, library: Literal["numpy", "torch"]) -> "dict[str, Array]":
    """All tensors of a file. Raises CheckpointError if it cannot be read."""
    from safetensors import SafetensorError

    try:
        tensors: dict[str, Array] = import_module(f"safetensors.{library}").load_file(path)
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from None
    return tensors


def check_entries(path: Path, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Raises CheckpointError unless the tensors found have the names and shapes wanted."""
    missing, unknown = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    if missing or unknown:
        raise CheckpointError(
            f"{path}: {_names('missing', missing)}{_names('unknown', unknown)}"
            "the file does not match its own configuration: download or copy it again"
        )
    for name, entry in found.items():
        if entry != wanted[name]:
            raise CheckpointError(
                f"{path}: tensor {name} is {entry}, but the configuration needs {wanted[name]}: "
                "download or copy it again"
            )


def _names(what: str, names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
    return f"{what} tensors {shown}; " if names else ""


def check_finite(path: Path, tensors: "Mapping[str, Array]") -> None:
    """Raises CheckpointError for a tensor with NaN or infinity."""
    from ginr.array_api import namespace

    for name, tensor in tensors.items():
        if not namespace(tensor).isfinite(tensor).all():
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity: use another file")


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: dict[str, str]) -> None:
    """Write a file under a temporary name, then rename it. Raises CheckpointError."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        with part_of(path) as part:
            part.file.close()
            mode = part.path.stat().st_mode & 0o777
            save_file(plain, part.path, metadata)
            part.path.chmod(mode)  # safetensors makes files readable by their owner only
            _flush(part.path)  # or a power failure could leave an empty file under the new name
            part.rename()
        _flush(path.parent)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path}: cannot be written: {reason}: free some space, or choose another place"
        ) from None


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows has no handles of folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
