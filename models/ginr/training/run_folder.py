"""The folder of a run: the state it resumes from, its checkpoint and its settings."""

import errno
import json
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ginr.architecture.config import PLAIN, GinrConfig
from ginr.array_types import Image
from ginr.checkpoints.banks import network_hash, save_bank
from ginr.checkpoints.checkpoint import load_checkpoint, peek, save_checkpoint
from ginr.checkpoints.tensors_file import IN_RUN_FOLDER, write_tensors
from ginr.errors import CheckpointError, GinrError, printable
from ginr.network.model import Ginr
from ginr.part_files import Part
from ginr.training.config import TrainConfig
from ginr.training.objectives import Objective
from ginr.training.settings import fixed_settings, to_toml, training_facts

_DAMAGE = (
    OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError, ArithmeticError,
    AttributeError,
)  # fmt: skip
_MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}  # in the file, and in the optimizer


class RunFolder:
    """The files of one run. A save replaces the one before it completely or not at all."""

    def __init__(self, config: GinrConfig, settings: TrainConfig) -> None:
        """Raises GinrError if the folder cannot be written to."""
        self.config, self.settings = config, settings
        self.state = settings.run / "state.safetensors"
        own = IN_RUN_FOLDER if settings.bank is None else f"{settings.bank}.safetensors"
        self.checkpoint = settings.run / own
        self._fixed = fixed_settings(config, settings)
        if settings.bank is not None and settings.init is not None:
            self._fixed |= {"bank": settings.bank, "init": network_hash(peek(settings.init))}
        _check_writable(settings.run)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within the block no other training uses the folder, which is made, and removed if empty.

        Raises GinrError if another training uses it, or it cannot be made.
        """
        folder = self.settings.run
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = Part(folder / "training")
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise GinrError(
                    f"{folder}: another training uses it: wait for its end, or choose another "
                    "run folder"
                ) from None
            raise GinrError(
                f"{folder}: cannot be written: {error.strerror}: choose another run folder"
            ) from None
        try:
            yield
        finally:
            lock.remove()
            with suppress(OSError):
                for place in missing:
                    place.rmdir()

    def prepare(self) -> None:
        """Writes the settings in the form that `--config` takes."""
        path = self.settings.run / "config.toml"
        try:
            path.write_text(to_toml(self.config, self.settings), "utf-8", "replace")
        except OSError as error:
            raise GinrError(f"{path}: cannot be written: {error.strerror}") from None

    def restore(self, weights: "Weights", objective: Objective) -> tuple[int, float, int] | None:
        """Restores the last save; returns its step, its seconds and the pictures' fingerprint.

        None without a save. Raises CheckpointError for a damaged file, or a run with other settings.
        """
        if not self.state.exists():
            return None
        try:
            with safe_open(self.state, framework="pt") as file:
                facts = json.loads(file.metadata()["ginr.state"])
            self._compare_settings(facts["settings"])
            tensors = load_file(self.state)
            weights.restore(tensors, facts["step"])
            objective.restore(tensors)
            return facts["step"], float(facts["seconds"]), facts["pictures"]
        except _DAMAGE as error:
            raise CheckpointError(
                f"{self.state}: cannot be resumed ({type(error).__name__}: {error}): "
                "delete it to start again, or choose another run folder"
            ) from None

    def _compare_settings(self, before: dict[str, Any]) -> None:
        # What runs of an older ginr lack.
        weight = 0.0 if self.settings.is_perceptual else self.settings.smooth_weight
        older = {f"network.{name}": value for name, value in PLAIN.items()}
        before = older | {"teacher": None, "smooth_weight": weight} | before
        now = json.loads(json.dumps(self._fixed))
        if now.keys() - before.keys() - {"bank", "init"}:  # those of a bank alone
            raise CheckpointError(
                f"{self.settings.run}: was trained by an older ginr: choose another run folder "
                f"and --init {printable(self.checkpoint)}"
            )
        for key in before | now:
            if before.get(key) != now.get(key):
                raise CheckpointError(
                    f"{self.settings.run}: was trained with {key} = {before.get(key)}, not "
                    f"{now.get(key)}: use that again, or choose another run folder"
                )

    def compare_pictures(self, before: int, now: int) -> None:
        """Raises CheckpointError if the `fingerprint` of the training pictures has changed."""
        if before != now:
            raise CheckpointError(
                f"{self.settings.run}: was trained on other pictures: to train on these, choose "
                f"another run folder and --init {printable(self.checkpoint)}"
            )

    def save_state(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Writes what the run resumes from. Raises CheckpointError and keeps the last save."""
        every = {"settings": self._fixed, **facts}
        write_tensors(self.state, tensors, {"ginr.state": json.dumps(every)})

    def save_checkpoint(self, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Writes the averaged weights, or a bank. Raises CheckpointError and keeps the last save."""
        every = {**facts, "settings": training_facts(self.settings)}
        if self.settings.bank is not None and self.settings.init is not None:
            header = peek(self.settings.init)
            save_bank(self.checkpoint, self.settings.bank, weights["lps"], header, every)
            return
        save_checkpoint(self.checkpoint, self.config, weights, every)


GROWS = ("n_blocks", "n_trait", "n_grain", "lps_scale")
"""Fields of the configuration in which a network may exceed the one that it starts from."""
SILENT = ("out.weight", "out.bias", "content.value.weight")
"""Weights that are 0 in new blocks: the last of each branch."""


class Weights:
    """The weights of a run, their average and the optimizer's moments."""

    def __init__(self, model: Ginr, optimizer: torch.optim.Optimizer) -> None:
        """`average` starts as the weights of `model`; those that are frozen are left out."""
        self.model, self.optimizer = model, optimizer
        self.names = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.names.items()}

    @torch.no_grad()  # else the average would keep every step's graph
    def update_average(self, decay: float) -> None:
        """average = decay average + (1 - decay) weights."""
        torch._foreach_lerp_(list(self.average.values()), list(self.names.values()), 1 - decay)

    def start_from(self, name_or_path: str) -> None:
        """Copies the weights of a checkpoint; parts that it lacks have no effect at first.

        That may be blocks, traits, and scales from the LPs. Raises CheckpointError if they do not fit.
        """
        found = load_checkpoint(name_or_path)
        found.build()  # raises for a damaged checkpoint
        ours, theirs = vars(self.model.config), vars(found.config)
        grown = {k for k in GROWS if ours[k] > theirs[k]}
        wanted = {name: p.shape for name, p in self.names.items()}
        if grown:
            wanted = {name: shape for name, shape in wanted.items() if name in found.weights}
        if {name: tensor.shape for name, tensor in found.weights.items()} != wanted:
            other = [
                f"{k} = {theirs[k]}, not {ours[k]}"
                for k in ours
                if ours[k] != theirs[k] and k not in grown
            ]
            raise CheckpointError(
                f"{found.header.path}: a network of another shape: {'; '.join(other)}"
            )
        for name, parameter in self.names.items():
            if name in found.weights:
                parameter.data.copy_(found.weights[name])
            elif name.endswith(SILENT):
                parameter.data.zero_()
            self.average[name].copy_(parameter.data)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, as `restore` takes them."""
        tensors: dict[str, Tensor] = {}
        for name, weight in self.names.items():
            moments = self.optimizer.state.get(weight, {})  # none before its first gradient
            tensors[f"weight.{name}"], tensors[f"average.{name}"] = weight, self.average[name]
            for part, key in _MOMENTS.items():
                tensors[f"{part}.{name}"] = moments.get(key, torch.zeros_like(weight))
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Restores what `tensors` returned after `step` steps."""
        for name, weight in self.names.items():
            weight.data.copy_(tensors[f"weight.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
            state = {key: tensors[f"{part}.{name}"] for part, key in _MOMENTS.items()}
            state["step"] = torch.tensor(float(step))
            self.optimizer.state[weight] = {key: v.to(weight.device) for key, v in state.items()}


def fingerprint(images: Sequence[Image]) -> int:
    """A checksum of the pictures and their order."""
    total = 0
    for image in images:
        total = zlib.crc32(repr(image.shape).encode(), total)
        total = zlib.crc32(image[:: max(1, len(image) // 16)].tobytes(), total)
    return total


def _check_writable(folder: Path) -> None:
    """Raises GinrError if a folder, which need not exist yet, cannot be written to."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):  # os.access would let root pass everywhere
            pass
    except OSError as error:
        raise GinrError(
            f"{printable(folder)}: {printable(place)} cannot be written to ({error.strerror}): "
            "choose another run folder"
        ) from None
