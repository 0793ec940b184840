"""What a run leaves in its folder: the state it goes on from, the checkpoint, its settings."""

import json
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.array_types import Image
from ginr.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ginr.checkpoints.tensors_file import write_tensors
from ginr.errors import CheckpointError, GinrError, printable
from ginr.network.model import Ginr
from ginr.training.config import TrainConfig
from ginr.training.settings import keepsake, to_toml, training_facts


class RunFolder:
    """The files of one run. A save replaces the one before it at once or not at all."""

    def __init__(self, config: GinrConfig, settings: TrainConfig) -> None:
        """Raises GinrError if nothing can be written there."""
        self.config, self.settings = config, settings
        self.state = settings.run / "state.safetensors"
        self.checkpoint = settings.run / "model.safetensors"
        _check_writable(settings.run)

    def prepare(self) -> None:
        """Make the folder and write the resolved settings, which `--config` takes."""
        path = self.settings.run / "config.toml"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for file in (self.state, self.checkpoint):  # what a process killed while saving left
                for rest in path.parent.glob(f".{file.name}.*.tmp"):
                    rest.unlink(missing_ok=True)
            path.write_text(to_toml(self.config, self.settings), "utf-8", "replace")
        except OSError as error:
            raise GinrError(f"{path}: cannot be written: {error.strerror}") from None

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and facts of the last save; None without one.

        Raises CheckpointError for a file that is none, or a run with other settings.
        """
        if not self.state.exists():
            return None
        try:
            with safe_open(self.state, framework="pt") as file:
                facts = json.loads(file.metadata()["ginr.state"])
            self._compare(facts["settings"])
            return load_file(self.state), facts
        except _DAMAGE as error:
            raise self.unusable(error) from None

    def unusable(self, error: Exception) -> CheckpointError:
        """What to say of a state that cannot be taken over."""
        return CheckpointError(
            f"{self.state}: cannot be resumed ({type(error).__name__}: {error}): "
            "delete it to start again, or choose another run folder"
        )

    def _compare(self, before: dict[str, Any]) -> None:
        now = json.loads(json.dumps(keepsake(self.config, self.settings)))
        for key in before | now:
            if before.get(key) != now.get(key):
                raise CheckpointError(
                    f"{self.settings.run}: a run with {key} = {before.get(key)}, not "
                    f"{now.get(key)}; set it so, or choose another run folder"
                )

    def compare_pictures(self, before: int, now: int) -> None:
        """Raises CheckpointError if the `fingerprint` of the training pictures has changed."""
        if before != now:
            raise CheckpointError(
                f"{self.settings.run}: a run with other pictures; to train on with these, choose "
                f"another run folder and --init {printable(self.checkpoint)}"
            )

    def save_state(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write what the run goes on from. Raises CheckpointError, the last save then stays."""
        every = {"settings": keepsake(self.config, self.settings), **facts}
        write_tensors(self.state, tensors, {"ginr.state": json.dumps(every)})

    def save_checkpoint(self, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write the averaged weights. Raises CheckpointError, the last save then stays."""
        every = {**facts, "settings": training_facts(self.settings)}
        save_checkpoint(self.checkpoint, self.config, weights, every)


_DAMAGE = (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError)
"""What a state that is none may raise while it is taken over."""


class Weights:
    """The weights of a run, their average and Adam's moments."""

    def __init__(self, model: Ginr, optimizer: torch.optim.Optimizer) -> None:
        """`average` starts as the weights of `model`."""
        self.model, self.optimizer = model, optimizer
        self.names = dict(model.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.names.items()}

    @torch.no_grad()  # else the average remembers every step
    def follow(self, keep: float) -> None:
        """Move the average towards the weights; it keeps a part `keep` of itself."""
        torch._foreach_lerp_(list(self.average.values()), list(self.names.values()), 1 - keep)

    def start_from(self, name_or_path: str) -> None:
        """Take the weights of a checkpoint. Raises CheckpointError if they do not fit."""
        found = load_checkpoint(name_or_path)
        found.build()  # sound in itself
        wanted = {name: p.shape for name, p in self.names.items()}
        if {name: tensor.shape for name, tensor in found.weights.items()} != wanted:
            ours, theirs = vars(self.model.config), vars(found.config)
            other = [f"{k} = {theirs[k]}, not {ours[k]}" for k in ours if ours[k] != theirs[k]]
            raise CheckpointError(
                f"{found.header.path}: a network of another shape: {'; '.join(other)}"
            )
        for name, parameter in self.names.items():
            parameter.data.copy_(found.weights[name])
            self.average[name].copy_(parameter.data)

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, to be saved."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.names.items():
            moments = self.optimizer.state.get(parameter, {})  # none before its first gradient
            idle = torch.zeros_like(parameter)
            tensors[f"weight.{name}"] = parameter
            tensors[f"average.{name}"] = self.average[name]
            tensors[f"first.{name}"] = moments.get("exp_avg", idle)
            tensors[f"second.{name}"] = moments.get("exp_avg_sq", idle)
        return tensors

    def take(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take over what `tensors` gave after `step` steps."""
        for name, parameter in self.names.items():
            parameter.data.copy_(tensors[f"weight.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
            self.optimizer.state[parameter] = {
                "step": torch.tensor(float(step), device=parameter.device),
                "exp_avg": tensors[f"first.{name}"].to(parameter.device),
                "exp_avg_sq": tensors[f"second.{name}"].to(parameter.device),
            }


def fingerprint(images: Sequence[Image]) -> int:
    """A number that other pictures, or the same in another order, do not have."""
    total = 0
    for image in images:
        total = zlib.crc32(repr(image.shape).encode(), total)
        total = zlib.crc32(image[:: max(1, len(image) // 16)].tobytes(), total)
    return total


def _check_writable(folder: Path) -> None:
    """Raises GinrError if nothing can be written to a folder that is there or still to be made."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):  # asked by doing: root passes every os.access
            pass
    except OSError as error:
        raise GinrError(
            f"{printable(folder)}: {printable(place)} cannot be written to ({error.strerror}): "
            "choose another run folder"
        ) from None
