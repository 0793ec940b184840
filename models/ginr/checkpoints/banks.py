"""Banks of LPs besides a network's own: named in its checkpoint, or each in a file of a few kilobytes.

A checkpoint holds them as tensors `banks.NAME`. A file holds one as the tensor `lps`; its metadata has
the keys `ginr.bank` (the format version), `ginr.config` (the network's) and `ginr.facts`, which say
what the bank is called and, by a hash, which weights it was trained with.

Letters: C vectors of the bank, D width.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ginr.checkpoints.tensors_file import (
    BANK,
    Header,
    check_entries,
    check_finite,
    read_header,
    read_tensors,
    write_tensors,
)
from ginr.errors import CheckpointError, GinrError

if TYPE_CHECKING:
    from torch import Tensor

    from ginr.array_api import Array

MAIN = "main"
"""The bank that a network was trained with."""
PREFIX = "banks."
SUFFIX = ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def check_name(name: str) -> None:
    """Raises GinrError unless a bank besides the main one may have this name."""
    if not _NAME.fullmatch(name) or name == MAIN:
        raise GinrError(
            f"bank {name}: not a name: use up to 32 letters, digits, - and _, and not {MAIN}"
        )


def bank_names(header: Header) -> tuple[str, ...]:
    """The banks of a checkpoint, the main one first; none if its network has no LPs."""
    if not header.config.n_lp:
        return ()
    found = (name for name in header.tensors if name.startswith(PREFIX))
    return (MAIN, *sorted(name.removeprefix(PREFIX) for name in found))


def bank_shapes(header: Header) -> dict[str, tuple[int, ...]]:
    """The tensors of a checkpoint's banks besides the main one. Raises CheckpointError for a bad name."""
    shape = _shape(header)
    for name in (names := bank_names(header)[1:]):
        try:
            check_name(name)
        except GinrError as error:
            raise CheckpointError(f"{header.path}: {error}") from None
    return {PREFIX + name: shape for name in names}


def without_banks(tensors: "Mapping[str, Array]") -> "dict[str, Array]":
    """The weights of a network among the tensors of its checkpoint."""
    return {name: value for name, value in tensors.items() if not name.startswith(PREFIX)}


def network_hash(header: Header) -> str:
    """A hash of a checkpoint's weights without any bank, as its file holds them.

    Raises CheckpointError if it cannot be read.
    """
    from safetensors import SafetensorError, deserialize

    try:
        tensors = dict(deserialize(header.path.read_bytes()))  # type: ignore[no-untyped-call]
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{header.path}: cannot be read: {error}") from None
    total = hashlib.sha256()
    for name in sorted(without_banks(tensors).keys() - {"lps"}):
        total.update(f"{name} {header.tensors[name]};".encode())
        total.update(tensors[name]["data"])
    return total.hexdigest()


def save_bank(
    path: Path, name: str, lps: "Tensor", header: Header, facts: Mapping[str, Any]
) -> None:
    """Write a bank (C, D) of the network of a checkpoint with this header.

    Raises GinrError for a bad name, or CheckpointError if it cannot be written; a file at `path` is
    then left as it was.
    """
    check_name(name)
    own = {"bank": name, "network": header.name, "network_sha256": network_hash(header)}
    write_tensors(path, {"lps": lps.float()}, BANK.metadata(header.config, {**facts, **own}))


def _shape(header: Header) -> tuple[int, int]:
    """The shape (C, D) of a bank."""
    from ginr.architecture.tokens import bank_size

    return bank_size(header.config), header.config.width


def load_bank(path: Path, header: Header) -> "Array":
    """The bank (C, D) of a file as a NumPy array in float32, for the network of a checkpoint.

    Raises CheckpointError for a damaged file, or one for another network.
    """
    found = read_header(path, BANK)
    network = found.facts.get("network")
    advice = f"name that one with --checkpoint, or train a bank with --init {header.name}"
    ours, theirs = vars(header.config), vars(found.config)
    if differing := [f"{k} = {theirs[k]}, not {ours[k]}" for k in ours if ours[k] != theirs[k]]:
        words = "; ".join(differing[:3])
        raise CheckpointError(
            f"{path}: a bank of another network, {network}, than {header.name}: {words}: {advice}"
        )
    shapes = {name: entry.shape for name, entry in found.tensors.items()}
    check_entries(path, shapes, {"lps": _shape(found)})
    if found.facts.get("network_sha256") != network_hash(header):
        raise CheckpointError(
            f"{path}: a bank of another network, {network}, than {header.path}: "
            f"its weights differ: {advice}"
        )
    lps = read_tensors(path, "numpy")["lps"].astype("float32")
    check_finite(path, {"lps": lps})
    return lps


def check_bank(bank: str, header: Header) -> None:
    """Raises GinrError unless `chosen_bank` finds this bank for a checkpoint; reads no weights of it."""
    if bank not in bank_names(header):
        load_bank(_file(bank, header), header)


def chosen_bank(bank: str, header: Header, own: "Mapping[str, Array]") -> "Array":
    """The bank (C, D) with a name or in a file, for a checkpoint whose banks are `own`.

    Raises GinrError for one that does not exist, is not finite or belongs to another network.
    """
    from ginr.array_api import namespace  # peek does not load NumPy

    if bank not in own:
        lps = load_bank(_file(bank, header), header)
        return namespace(own[MAIN]).asarray(lps)
    check_finite(header.path, {PREFIX + bank: own[bank]})
    return own[bank]


def _file(bank: str, header: Header) -> Path:
    """The file that `bank` names. Raises GinrError if it cannot be a file."""
    if not bank_names(header):
        raise GinrError(f"{header.name} has no LPs: leave the bank out, or use another checkpoint")
    path = Path(bank)
    if path.suffix == SUFFIX or path.exists():
        return path
    names = ", ".join(bank_names(header))
    raise GinrError(
        f"{header.name} has no bank {bank}: use {names}, or a file of ginr train --bank"
    )
