"""The training loop: sample, encode, query, step; saved every few minutes, resumed by the same call."""

import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ginr.checkpoint import save_checkpoint, write_tensors
from ginr.config import GinrConfig
from ginr.data import Collection, Image, collect, sample_batch
from ginr.errors import CheckpointError, GinrError
from ginr.metrics import psnr_y
from ginr.model import Ginr
from ginr.picture import printable
from ginr.resize import benchmark_pair, bicubic_8bit
from ginr.settings import keepsake, to_toml, training_facts
from ginr.train_config import TrainConfig

MOST_DB = 60.0
"""PSNR from which on a picture counts as reproduced."""


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan

    def done(self, settings: TrainConfig) -> float:
        """How much of the run is over, from 0 to 1."""
        if settings.steps is not None:
            return min(1.0, self.step / settings.steps)
        return min(1.0, self.seconds / (settings.minutes * 60))


def train(
    config: GinrConfig,
    settings: TrainConfig,
    report: Callable[[Progress, dict[str, float] | None], None],
    stop: Callable[[], bool] = lambda: False,
    begin: Callable[[Collection, Progress], None] = lambda pictures, progress: None,
    loading: Callable[[int, int], None] = lambda n_file, n_files: None,
) -> Path:
    """Train until the run is over; returns the path of the checkpoint (averaged weights).

    `report` hears of every step, with the held-out scores when there are new ones; `stop` is asked
    after every step whether to save and leave, to go on with the same call another time. `loading`
    hears how many files of how many are read, and `begin`, before the first step, what the folders
    hold and where a resumed run stands. Raises GinrError for folders without pictures, a run folder
    that cannot be written to or holds another configuration, or a loss of NaN.
    """
    torch.manual_seed(settings.seed)
    model = Ginr(config)
    state = _State(config, settings, model)
    progress = state.resume()
    pictures = collect(
        settings.folders, crop=settings.crop, n_held_out=settings.n_held_out, progress=loading
    )
    training, held_out = pictures.training, pictures.held_out
    state.describe()
    begin(pictures, progress)
    saved = time.monotonic()
    while progress.done(settings) < 1 and not stop():
        start = time.monotonic()
        progress.loss = _step(model, state, training, settings, progress)
        if not math.isfinite(progress.loss):
            raise GinrError(
                f"{settings.run}: the loss is {progress.loss} at step {progress.step}; "
                "the last save is sound: lower the rate and run again"
            )
        progress.step += 1
        progress.seconds += time.monotonic() - start
        report(progress, None)
        if time.monotonic() - saved > settings.save_minutes * 60:
            report(progress, state.save(progress, held_out, len(training)))
            saved = time.monotonic()
    report(progress, state.save(progress, held_out, len(training)))
    return state.checkpoint


def _step(
    model: Ginr, state: "_State", images: Sequence[Image], settings: TrainConfig, progress: Progress
) -> float:
    warm = min(1.0, (progress.step + 1) / settings.warm_up)
    rate = settings.rate * warm * 0.5 * (1 + math.cos(math.pi * progress.done(settings)))
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    batch = sample_batch(
        images,
        seed=(settings.seed, progress.step),
        batch=settings.batch,
        crop=settings.crop,
        n_query=settings.n_query,
        max_scale=model.config.max_scale,
    )
    rgb = model(batch.pixels, batch.coords, batch.cells)
    loss = (rgb - batch.target).abs().mean()
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    state.optimizer.step()
    keep = min(settings.ema, (1 + progress.step) / (10 + progress.step))
    torch._foreach_lerp_(state.average, list(model.parameters()), 1 - keep)
    return float(loss.detach())


class _State:
    """Weights, their average and Adam's moments, and the file that carries them over."""

    def __init__(self, config: GinrConfig, settings: TrainConfig, model: Ginr) -> None:
        self.config, self.settings, self.model = config, settings, model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=0.0, betas=(0.9, 0.99))
        self.average = [p.detach().clone() for p in model.parameters()]
        self.path = settings.run / "state.safetensors"
        self.checkpoint = settings.run / "model.safetensors"
        _check_writable(settings.run)

    def resume(self) -> Progress:
        """Take over the last save, if there is one."""
        if not self.path.exists():
            return Progress()
        try:
            with safe_open(self.path, framework="pt") as file:
                facts = json.loads(file.metadata()["ginr.state"])
            self._compare(facts["settings"])
            self._take(load_file(self.path), facts["step"])
            return Progress(facts["step"], facts["seconds"])
        except (
            OSError,
            SafetensorError,
            LookupError,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:
            raise CheckpointError(
                f"{self.path}: cannot be resumed ({type(error).__name__}: {error}): "
                "delete it to start again, or choose another run folder"
            ) from None

    def _compare(self, before: dict[str, Any]) -> None:
        now = json.loads(json.dumps(keepsake(self.config, self.settings)))
        for key in before | now:
            if before.get(key) != now.get(key):
                raise CheckpointError(
                    f"{self.settings.run}: a run with {key} = {before.get(key)}, not "
                    f"{now.get(key)}; set it so, or choose another run folder"
                )

    def describe(self) -> None:
        """Write the resolved configuration, which `--config` takes."""
        path = self.settings.run / "config.toml"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(to_toml(self.config, self.settings), "utf-8", "replace")
        except OSError as error:
            raise GinrError(f"{path}: cannot be written: {error.strerror}") from None

    def _take(self, tensors: dict[str, Tensor], step: int) -> None:
        for k, (name, parameter) in enumerate(self.model.named_parameters()):
            with torch.no_grad():
                parameter.copy_(tensors[f"weight.{name}"])
            self.average[k].copy_(tensors[f"average.{name}"])
            self.optimizer.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"first.{name}"],
                "exp_avg_sq": tensors[f"second.{name}"],
            }

    def save(self, progress: Progress, held_out: Sequence[Image], n_image: int) -> dict[str, float]:
        """Write state and checkpoint; returns the held-out scores of the averaged weights."""
        tensors: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        for k, (name, parameter) in enumerate(self.model.named_parameters()):
            moments = self.optimizer.state.get(parameter, {})  # none before its first gradient
            idle = torch.zeros_like(parameter)
            tensors[f"weight.{name}"] = parameter
            tensors[f"average.{name}"] = weights[name] = self.average[k]
            tensors[f"first.{name}"] = moments.get("exp_avg", idle)
            tensors[f"second.{name}"] = moments.get("exp_avg_sq", idle)
        state = {
            "settings": keepsake(self.config, self.settings),
            "step": progress.step,
            "seconds": progress.seconds,
        }
        write_tensors(self.path, tensors, {"ginr.state": json.dumps(state)})
        scores = self._scores(weights, held_out)
        facts: dict[str, Any] = {
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 1),
            "n_training_images": n_image,
            "settings": training_facts(self.settings),
            "held_out_gain_over_bicubic_db": scores,
        }
        save_checkpoint(self.checkpoint, self.config, weights, facts)
        return scores

    def _scores(self, weights: dict[str, Tensor], images: Sequence[Image]) -> dict[str, float]:
        model = Ginr(self.config)
        model.load_state_dict(weights)
        return {f"x{scale}": gain_over_bicubic(model, images, scale) for scale in (2, 3, 4)}


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


def gain_over_bicubic(model: Ginr, images: Sequence[Image], scale: float) -> float:
    """Mean PSNR-Y gain over bicubic, dB, on the middle 256x256 of each picture.

    Above `MOST_DB` both count as equal: bicubic makes flat pictures without any error.
    """
    gains = []
    for image in images:
        top, left = (max(0, n - 256) // 2 for n in image.shape[:2])
        hr, lr = benchmark_pair(image[top : top + 256, left : left + 256], scale)
        pixels = torch.from_numpy(lr.transpose(2, 0, 1).astype(np.float32) / 255)[None]
        with torch.inference_mode():
            rgb = model.encode(pixels).render(hr.shape[:2])[0]
        ours = (rgb.clamp(0, 1) * 255 + 0.5).floor().byte().permute(1, 2, 0).numpy()
        border = math.ceil(scale)
        both = ours, bicubic_8bit(lr, *hr.shape[:2])
        psnr = [min(MOST_DB, psnr_y(image, hr, border)) for image in both]
        gains.append(psnr[0] - psnr[1])
    return float(np.mean(gains))
