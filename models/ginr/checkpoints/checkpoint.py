"""Checkpoints: weights, configuration and training facts in one safetensors file.

Its metadata has the keys `ginr.format`, `ginr.config` and `ginr.facts`. It may hold more than one bank
of LPs, see `ginr.checkpoints.banks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ginr.architecture.config import FORMAT_1, GinrConfig
from ginr.checkpoints.banks import (
    MAIN,
    PREFIX,
    bank_shapes,
    check_name,
    chosen_bank,
    without_banks,
)
from ginr.checkpoints.layout import damaged
from ginr.checkpoints.tensors_file import (
    CHECKPOINT,
    IN_RUN_FOLDER,
    Header,
    check_entries,
    check_finite,
    read_header,
    read_tensors,
    write_tensors,
)
from ginr.errors import CheckpointError, GinrError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ginr.array_api import Array
    from ginr.engine.model import CpuGinr
    from ginr.network.model import Ginr

DEFAULT = "small"


@dataclass(frozen=True)
class Blend:
    """An interpolation of all weights between a network and another of the same form.

    As Wang et al. do between networks trained for fidelity and for looks (Deep Network Interpolation,
    CVPR 2019, arXiv 1811.10515).
    """

    checkpoint: str | Path
    """The other network, by name or path."""
    share: float
    """0 for the first network, 1 for the other one."""

    def of(
        self, header: Header, weights: Mapping[str, "Array"], library: Literal["numpy", "torch"]
    ) -> dict[str, "Array"]:
        """The interpolated weights. A network without grain has one of 0.

        Raises GinrError for a share outside 0 to 1, CheckpointError for a network of another form.
        """
        if not 0 <= self.share <= 1:
            raise GinrError(f"a blend of {self.share:g}: give a number from 0 to 1")
        other = peek(self.checkpoint)
        same = other.config.n_grain or header.config.n_grain
        if replace(other.config, n_grain=same) != header.config:
            raise CheckpointError(
                f"{other.path}: a network of another form than {header.name}: they cannot be blended"
            )
        theirs, _ = _read(other, library)
        _check(other, theirs)
        return {name: w + self.share * (theirs.get(name, 0 * w) - w) for name, w in weights.items()}


@dataclass(frozen=True)
class Checkpoint:
    """A header, the weights and the banks of LPs, on the CPU, in float32."""

    header: Header
    weights: Mapping[str, "Tensor"] = field(repr=False)
    banks: Mapping[str, "Tensor"] = field(repr=False)
    """The banks (C, D) by name; `main` is the one that the network was trained with."""
    bank: str = MAIN
    """The bank that is among the weights."""

    @property
    def config(self) -> GinrConfig:
        return self.header.config

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.header.facts

    @property
    def name(self) -> str:
        return self.header.name

    def with_bank(self, bank: str | Path) -> "Checkpoint":
        """The same network with the LPs of another bank.

        `bank` is the name of one of `banks`, or a file of `ginr train --bank`. Only with `main` are
        results held to the picture, since others may be for damaged ones. Raises GinrError for one that
        does not exist, is not finite or belongs to another network.
        """
        lps = chosen_bank(str(bank), self.header, self.banks)
        return replace(self, weights={**self.weights, "lps": lps}, bank=str(bank))

    def blended(self, blend: Blend) -> "Checkpoint":
        """The network between this one and another of its form. Raises GinrError if it has another."""
        return replace(self, weights=blend.of(self.header, self.weights, "torch"))

    def build(self, device: "torch.device | str" = "cpu") -> "Ginr":
        """The network with these weights, in evaluation mode on `device`.

        Raises CheckpointError if a tensor is missing, unknown, of another shape or not finite.
        """
        import torch

        from ginr.network.model import Ginr

        _check(self.header, self.weights)
        try:
            # Not on the meta device: its random fills load torch's compiler, 1.1 s against 5 ms.
            with torch.random.fork_rng(devices=[]):
                model = Ginr(self.config)
        except ValueError as error:
            raise CheckpointError(f"{self.header.path}: {error}") from None
        own = {name: tensor.clone() for name, tensor in self.weights.items()}
        model.load_state_dict(own, strict=True, assign=True)
        model.consistent = self.header.consistent and self.bank == MAIN
        return model.to(device).eval().requires_grad_(False)


def peek(name_or_path: str | Path) -> Header:
    """Read the header of a checkpoint only. Raises CheckpointError unless it is a sound one."""
    header = read_header(find_checkpoint(name_or_path), CHECKPOINT)
    if header.version != "1":
        return header
    if any(getattr(header.config, name) != value for name, value in FORMAT_1.items()):
        raise damaged(header.path)
    from ginr.checkpoints.format_1 import today

    return replace(header, config=today(header.config))


def load_checkpoint(name_or_path: str | Path = DEFAULT) -> Checkpoint:
    """Read a checkpoint: the name of a shipped one, or a path. Raises CheckpointError."""
    header = peek(name_or_path)
    return Checkpoint(header, *_read(header, "torch"))


def load_cpu_network(
    name_or_path: str | Path = DEFAULT, bank: str | Path | None = None, blend: Blend | None = None
) -> "CpuGinr":
    """The network of a checkpoint for the CPU, without loading torch.

    `bank` is as in `Checkpoint.with_bank`, `blend` as in `Checkpoint.blended`. Raises CheckpointError as `load_checkpoint` and `build` do,
    and if the network `needs_torch`.
    """
    from ginr.engine.model import CpuGinr

    header = peek(name_or_path)
    if reason := needs_torch(header):
        raise CheckpointError(f"{header.path}: needs torch: {reason}")
    weights, banks = _read(header, "numpy")
    if bank is not None:
        weights = {**weights, "lps": chosen_bank(str(bank), header, banks)}
    if blend is not None:
        weights = blend.of(header, weights, "numpy")
    _check(header, weights)
    network = CpuGinr(header.config, weights)
    network.consistent = header.consistent and bank in (None, MAIN)
    return network


def needs_torch(header: Header) -> str:
    """Why `load_cpu_network` cannot load the checkpoint, empty if it can."""
    from ginr.engine.model import why_not

    if unknown := sorted(set(header.dtypes) - {"F16", "F32", "F64"}):
        return f"NumPy has no type {', '.join(unknown)}"
    return why_not(header.config)


def save_checkpoint(
    path: Path,
    config: GinrConfig,
    weights: Mapping[str, "Tensor"],
    facts: Mapping[str, Any],
    *,
    dtype: "torch.dtype | None" = None,
    banks: "Mapping[str, Tensor] | None" = None,
) -> None:
    """Write a checkpoint; `dtype` float16 or bfloat16 halves the file.

    `banks` are more LPs by name, each (C, D); `main` is left out, since it is among the weights.
    Raises GinrError for a bad name, or CheckpointError if it cannot be written; a file at `path` is
    then left as it was.
    """
    named = {name: lps for name, lps in (banks or {}).items() if name != MAIN}
    for name in named:
        check_name(name)
    every = {**weights, **{PREFIX + name: lps for name, lps in named.items()}}
    tensors = {name: tensor.to(dtype or tensor.dtype) for name, tensor in every.items()}
    write_tensors(path, tensors, {"format": "pt", **CHECKPOINT.metadata(config, facts)})


def shipped_checkpoints() -> dict[str, Path]:
    """The checkpoints that come with the package, by the names `--checkpoint` accepts."""
    folder = Path(str(files("ginr") / "weights"))
    found = sorted(folder.glob("ginr-*.safetensors"))
    return {path.stem.removeprefix("ginr-"): path for path in found}


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The file of a shipped name, of a path, or in a run folder. Raises CheckpointError."""
    shipped = shipped_checkpoints()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    if is_folder:
        return _in_run_folder(path)
    if not exists:
        names = ", ".join(shipped) or "none"
        raise CheckpointError(
            f"{path}: no such checkpoint: use a .safetensors file, or one of {names}"
        )
    return path


def _in_run_folder(folder: Path) -> Path:
    """The checkpoint of a run folder of `ginr train`. Raises CheckpointError without one."""
    path = folder / IN_RUN_FOLDER
    if path.is_file():
        return path
    raise CheckpointError(
        f"{folder}: is a folder without {path.name}: name a .safetensors file, or the folder of a run"
    )


def _check_shapes(header: Header) -> None:
    """Raises CheckpointError unless the tensors in the file are those of the configuration."""
    n_tensor, n_block = len(header.tensors), header.config.n_blocks
    if n_block > n_tensor:  # before the weights of all blocks are listed
        raise CheckpointError(
            f"{header.path}: n_blocks = {n_block}, but only {n_tensor} tensors: "
            "download or copy it again"
        )
    from ginr.architecture.weights import shapes

    try:
        if header.version == "1":
            from ginr.checkpoints.format_1 import shapes_then as shapes
        wanted = shapes(header.config)
    except ValueError as error:
        raise CheckpointError(f"{header.path}: {error}") from None
    if header.version != "1":
        wanted |= bank_shapes(header)
    found = {name: entry.shape for name, entry in header.tensors.items()}
    check_entries(header.path, found, wanted)


def _read(
    header: Header, library: Literal["numpy", "torch"]
) -> "tuple[dict[str, Array], dict[str, Array]]":
    """The network's weights in the form of today's format, and all banks by name, in float32."""
    from ginr.array_api import as_type

    _check_shapes(header)  # before torch is loaded, and weights of other sizes are made
    tensors = read_tensors(header.path, library)
    tensors = {name: as_type(tensor, "float32") for name, tensor in tensors.items()}
    weights = without_banks(tensors)
    if header.version == "1":
        from ginr.checkpoints.format_1 import converted

        weights = converted(header.config, weights)
    if "lps" not in weights:
        return weights, {}
    more = {n.removeprefix(PREFIX): v for n, v in tensors.items() if n.startswith(PREFIX)}
    return weights, {MAIN: weights["lps"], **more}


def _check(header: Header, weights: "Mapping[str, Array]") -> None:
    """Raises CheckpointError unless the weights are those of the configuration, and finite."""
    from ginr.architecture.weights import shapes

    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    check_entries(header.path, found, shapes(header.config))
    check_finite(header.path, weights)
