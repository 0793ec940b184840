"""Trains one network and measures it: PSNR, time, memory, diversity of its LPs."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from networks import Arm, n_weight
from safetensors.torch import load_file
from variants import variant

from ginr.architecture.config import GinrConfig
from ginr.array_types import Image
from ginr.device import choose_device
from ginr.lps.measures import diversity
from ginr.measuring.held_out import validate
from ginr.measuring.metrics import psnr_rgb
from ginr.network.field import levels_of
from ginr.network.model import Ginr
from ginr.pictures.resize import bicubic_8bit
from ginr.training.collect import Collection
from ginr.training.config import TrainConfig
from ginr.training.loop import train
from ginr.training.progress import Progress, Watcher

SIDES = (32, 64, 128)  # of renders; the first is that of the crops
SCALES = (2.0, 3.0, 4.0)


class Effort(NamedTuple):
    """How much is measured: pictures, crops of them, rounds for times, crops at once for memory, crops for the use of LPs."""

    n_held_out: int = 16
    n_crop: int = 24
    n_round: int = 10
    n_batch: int = 16
    n_looked: int = 10


@dataclass(frozen=True)
class Result:
    """One network, trained from one seed."""

    arm: str
    seed: int
    steps: int
    n_weight: int
    psnr: dict[str, float]
    """PSNR in RGB by the side of the render, or the gain in PSNR-Y over bicubic by scale, in dB."""
    mb: float
    """Memory to encode `Effort.n_batch` crops at once and render them at 128x128, beyond what a single one takes."""
    diversity: float | None
    """Of the trained LPs; None without any."""


def settings_of(
    arm: Arm, seed: int, images: Path, output: Path, steps: int, device: str, effort: Effort
) -> TrainConfig:
    """How a network is trained. Raises GinrError for a bad number."""
    place = output / "runs" / f"{arm.key}, seed {seed}".replace(" ", "_")
    kind = {"loss": "mse", "n_query": 256} if arm.config.base == "none" else {"n_query": 1024}
    return TrainConfig(
        (images,), place, steps=steps, batch=4, crop=SIDES[0], seed=seed, device=device, ema=0.99,
        n_held_out=effort.n_held_out, **(kind | dict(arm.training)),  # type: ignore[arg-type]
    )  # fmt: skip


class Keeper(Watcher):
    """Keeps the held-out pictures of a run."""

    def begin(self, pictures: Collection, progress: Progress) -> None:
        self.held_out = pictures.held_out

    def stops_validation(self) -> bool:
        return True  # measured here


def run(arm: Arm, settings: TrainConfig, effort: Effort, mb: float | None) -> Result:
    """Trains a network, or goes on with it, and measures it; `mb` if its memory is known."""
    device = choose_device(settings.device)[0]
    keeper = Keeper()
    with variant(arm.variant):
        weights = load_file(train(arm.config, settings, keeper))
        # Not `Checkpoint.build`: some would be back-projected, which compares LPs no more.
        model = Ginr(arm.config).to(device)
        model.load_state_dict(weights)
    crops = crops_of(list(keeper.held_out), effort.n_crop)
    if mb is None:
        with get_context("spawn").Pool(1) as pool:
            mb = pool.apply(megabytes, (arm.config, str(device), effort.n_batch))
    scores = (
        psnr_by_side(model, crops)
        if arm.config.base == "none"
        else validate(model, keeper.held_out, SCALES).gain
    )
    return Result(
        arm.key, settings.seed, settings.steps or 0, n_weight(arm.config), scores,
        mb,
        diversity(model.lps.detach().float().cpu()) if arm.config.n_lp else None,
    )  # fmt: skip


def clock_of(device: torch.device) -> Callable[[], float]:
    """A clock in seconds: of the processor time of all threads, or for a GPU of the wall."""
    if device.type == "cpu":
        return time.process_time

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


def crops_of(images: list[Image], most: int) -> list[Image]:
    """At most so many crops of the largest side, evenly chosen."""
    side = SIDES[-1]
    crops = [
        image[y : y + side, x : x + side]
        for image in images
        for y in range(0, image.shape[0] - side + 1, side)
        for x in range(0, image.shape[1] - side + 1, side)
    ]
    if not crops:
        raise SystemExit(f"no held-out picture has {side} pixels on a side: add larger ones")
    return [crops[k] for k in np.linspace(0, len(crops) - 1, min(len(crops), most)).astype(int)]


def pixels_of(crops: list[Image], device: torch.device) -> torch.Tensor:
    """Crops shrunk to the input's side, (B, 3, 32, 32)."""
    small = np.stack([bicubic_8bit(crop, SIDES[0], SIDES[0]) for crop in crops])
    return torch.from_numpy(small.transpose(0, 3, 1, 2).astype(np.float32) / 255).to(device)


@torch.inference_mode()
def psnr_by_side(model: Ginr, crops: list[Image]) -> dict[str, float]:
    """Mean PSNR of the crops' renders at each of SIDES."""
    found: dict[str, list[float]] = {str(side): [] for side in SIDES}
    for crop in crops:
        field = model.encode(pixels_of([crop], model.device))
        for side in SIDES:
            target = crop if side == SIDES[-1] else bicubic_8bit(crop, side, side)
            render = levels_of(field.render((side, side))[0].float(), 8).cpu().numpy()
            found[str(side)].append(psnr_rgb(render, target, 0))
    return {side: statistics.fmean(values) for side, values in found.items()}


@torch.inference_mode()
def megabytes(config: GinrConfig, device: str, n_batch: int) -> float:
    """Peak memory of a batch beyond that of one crop; to be called in a process of its own."""
    model = Ginr(config).to(device)
    pixels, size = torch.rand(n_batch, 3, SIDES[0], SIDES[0], device=device), (SIDES[-1], SIDES[-1])
    model.encode(pixels[:1]).render(size)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        model.encode(pixels).render(size)
        return torch.cuda.max_memory_allocated(device) / 2**20
    before = reset_peak()
    model.encode(pixels).render(size)
    return peak_megabytes() - before


def reset_peak() -> float:
    """Memory that this process holds in MB, from which on `peak_megabytes` counts, where Linux allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is held now
    except OSError:
        return peak_megabytes()
    return _status("VmRSS")


def peak_megabytes() -> float:
    """The most memory that this process has held, in MB."""
    if sys.platform == "linux":
        return _status("VmHWM")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(name))
    return int(kilobytes) / 2**10
