"""Safetensors files: headers read without their tensors, files written at once or not at all."""

import json
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ginr.architecture.config import GinrConfig
from ginr.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor


MAX_HEADER = 100_000_000  # bytes, safetensors' own limit


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
            n_number(entry["shape"]), str(entry["dtype"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, LookupError):
        raise CheckpointError(f"{path}: incomplete ginr header; use another copy") from None
    if size != 8 + length + end:
        raise CheckpointError(
            f"{path}: {size} bytes where the header promises {8 + length + end}: "
            "cut short or damaged; copy it again"
        )
    return FileHeader(path, metadata, entries)


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


def n_number(shape: list[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
