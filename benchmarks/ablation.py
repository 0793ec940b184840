"""Position tokens (LPs) against their alternatives: count, placement, mixers and position encodings.

    python benchmarks/ablation.py photos/ -o ablation/ [--steps 20000] [--seeds 0 1 2] [--quick]

Crops of 32x32 pixels are cut into 256 patches of 2x2, and a field without a base is learned from them,
which is rendered at 32x32, 64x64 and 128x128. Networks have the same number of weights within 5 %, by
the width of their feed-forwards, no convolutions but the stem, and the same steps, batches and seeds. A
row is the mean over the seeds and, in brackets, the standard deviation, measured on crops of held-out
pictures; beside it stand the figures that were expected when these networks were designed. The same
command resumes: the folder keeps the runs, and `results.jsonl` in it the results.
"""

import argparse
import json
import math
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ginr.architecture.config import GinrConfig
from ginr.architecture.weights import shapes
from ginr.array_types import Image
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.device import choose_device
from ginr.measuring.metrics import psnr_rgb
from ginr.network.field import levels_of
from ginr.network.model import Ginr
from ginr.pictures.resize import bicubic_8bit
from ginr.training.collect import Collection
from ginr.training.config import TrainConfig
from ginr.training.loop import train
from ginr.training.progress import Progress, Watcher

SIDES = (32, 64, 128)  # of renders; the first is that of the crops
VARIED = ("mixer", "positions", "n_lp", "placement")
TOLERANCE = 0.05  # of the number of weights


class Effort(NamedTuple):
    """How much is measured: pictures, crops of them, repetitions for time, crops at once for memory."""

    n_held_out: int = 16
    n_crop: int = 64
    n_timed: int = 20
    n_batch: int = 64


class Expected(NamedTuple):
    """What was expected of a network."""

    psnr: str = "-"
    ms: str = "-"
    memory: str = "-"


class Arm(NamedTuple):
    """A network of a table."""

    name: str
    config: GinrConfig
    expected: Expected = Expected()

    @property
    def key(self) -> str:
        """Names the network, whatever the table."""
        return "-".join(str(getattr(self.config, name)) for name in VARIED)


@dataclass(frozen=True)
class Result:
    """One network, trained from one seed."""

    arm: str
    seed: int
    steps: int
    n_weight: int
    psnr: dict[str, float]
    """PSNR in RGB by the side of the render."""
    ms: float
    """Median time to encode a crop and to render it at 128x128."""
    mb: float
    """Memory of the same for 64 crops at once, quick for four, beyond what loading took."""


def tables(ours: GinrConfig) -> dict[str, list[Arm]]:
    """The three tables; networks that stand in several are trained once."""
    attention = {"mixer": "transformer"}
    bare: dict[str, Any] = {"n_lp": 0, "content": "none"}
    with_lps = partial(replace, ours)
    counts = {16: ("28.5", "100", "1.2 GB"), 32: ("30.2", "105", "1.3 GB"),
              64: ("31.8", "115", "1.4 GB"), 128: ("32.1", "135", "1.6 GB"),
              256: ("32.0", "180", "2.0 GB")}  # fmt: skip
    placements = {"random": "29.5", "middle": "30.8", "equidistant": "31.8", "n_group": "31.5"}
    encodings = {"sinusoidal": ("30.2", "250"), "learned": ("30.5", "260"), "rope": ("30.8", "255")}
    return {
        "Number of LPs": [
            Arm(f"{n} LPs", with_lps(n_lp=n), Expected(*figures)) for n, figures in counts.items()
        ],
        "Placement of 64 LPs": [
            Arm(name, with_lps(placement=name), Expected(psnr))  # type: ignore[arg-type]
            for name, psnr in placements.items()
        ],
        "Alternatives": [
            *(
                Arm(f"{name} + transformer", with_lps(**attention, positions=name, **bare), Expected(*figures))
                for name, figures in encodings.items()
            ),
            Arm("tokens + Mamba-2", with_lps(**bare)),
            Arm("LPs + transformer", with_lps(**attention)),
            *(
                Arm(f"LPs + {name} + transformer", with_lps(**attention, positions=name))
                for name in encodings
            ),
            Arm("LPs + Mamba-1", with_lps(mixer="mamba")),
            Arm("LPs + Mamba-2", ours, Expected("31.8", "115")),
        ],
    }  # fmt: skip


def n_weight(config: GinrConfig) -> int:
    return sum(map(math.prod, shapes(config).values()))


def of_size(config: GinrConfig, wanted: int) -> GinrConfig:
    """The configuration with the feed-forward width whose number of weights is nearest to `wanted`."""
    choices = (replace(config, hidden=hidden) for hidden in range(8, 8 * config.hidden))
    best = min(choices, key=lambda choice: abs(n_weight(choice) - wanted))
    if abs(n_weight(best) - wanted) > TOLERANCE * wanted:
        raise SystemExit(f"{config}: {n_weight(best)} weights at best, {wanted} wanted")
    return best


class Keeper(Watcher):
    """Keeps the held-out pictures of a run."""

    def begin(self, pictures: Collection, progress: Progress) -> None:
        self.held_out = pictures.held_out


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
    found: dict[str, list[float]] = {str(side): [] for side in SIDES}
    for crop in crops:
        field = model.encode(pixels_of([crop], model.device))
        for side in SIDES:
            target = crop if side == SIDES[-1] else bicubic_8bit(crop, side, side)
            render = levels_of(field.render((side, side))[0].float(), 8).cpu().numpy()
            found[str(side)].append(psnr_rgb(render, target, 0))
    return {side: statistics.fmean(values) for side, values in found.items()}


@torch.inference_mode()
def milliseconds(model: Ginr, crop: Image, n_timed: int) -> float:
    pixels, seconds = pixels_of([crop], model.device), []
    for _ in range(n_timed + 1):
        start = time.perf_counter()
        model.encode(pixels).render((SIDES[-1], SIDES[-1])).cpu()  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[1:])


@torch.inference_mode()
def megabytes(checkpoint: Path, device: str, n_batch: int) -> float:
    """Peak memory of a batch beyond that of one crop; to be called in a process of its own."""
    model = load_checkpoint(checkpoint).build(device)
    pixels, size = torch.rand(n_batch, 3, SIDES[0], SIDES[0], device=device), (SIDES[-1], SIDES[-1])
    model.encode(pixels[:1]).render(size)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        model.encode(pixels).render(size)
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.encode(pixels).render(size)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit


def run(arm: Arm, seed: int, options: argparse.Namespace) -> Result:
    """Train a network, or go on with it, and measure it."""
    place = options.output / f"{arm.key}-{seed}"
    effort = Effort(2, 4, 3, 4) if options.quick else Effort()
    settings = TrainConfig(
        (options.images,), place, steps=options.steps, crop=SIDES[0], n_query=1024, loss="mse",
        seed=seed, scales=(1.0,), device=options.device,
        n_held_out=effort.n_held_out,
    )  # fmt: skip
    path = train(arm.config, settings, keeper := Keeper())
    crops = crops_of(list(keeper.held_out), effort.n_crop)
    device = choose_device(options.device)[0]
    model = load_checkpoint(path).build(device)
    with get_context("spawn").Pool(1) as pool:
        mb = pool.apply(megabytes, (path, str(device), effort.n_batch))
    return Result(
        arm.key, seed, options.steps, n_weight(arm.config), psnr_by_side(model, crops),
        milliseconds(model, crops[0], effort.n_timed), mb,
    )  # fmt: skip


def saved(file: Path, steps: int) -> list[Result]:
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    results = [Result(**json.loads(line)) for line in lines]
    return [result for result in results if result.steps == steps]


def table(title: str, arms: list[Arm], results: list[Result]) -> Table:
    made, sides = Table(title=title), [f"PSNR at {side}" for side in SIDES]
    for heading in ("network", *sides, "weights", "ms", "MB", "expected: PSNR", "ms", "memory"):
        made.add_column(heading)
    for arm in arms:
        own = [result for result in results if result.arm == arm.key]
        figures = [[result.psnr[str(side)] for result in own] for side in SIDES]
        made.add_row(
            arm.name,
            *(_spread(values, 2) for values in figures),
            f"{n_weight(arm.config) / 1e3:.0f} K",
            _spread([result.ms for result in own], 1),
            _spread([result.mb for result in own], 0),
            *arm.expected,
        )
    return made


def _spread(values: list[float], digits: int) -> str:
    if not values:
        return "-"
    spread = f" ({statistics.stdev(values):.{digits}f})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path, help="a folder of pictures")
    parser.add_argument("-o", "--output", type=Path, default=Path("ablation"))
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--content", choices=["none", "start", "blocks"], default="none",
                        help="what LPs take from their tokens besides the mixer")  # fmt: skip
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="a small network, 20 steps, one seed")
    options = parser.parse_args()
    ours = GinrConfig(
        window=SIDES[0], n_lp=64, placement="equidistant", group=2, bank="window", content=options.content,
        width=64, n_blocks=4, scan_every=1, hidden=128, kernel=1, decoder="attention",
        n_frequency=32, base="none", max_scale=SIDES[-1] / SIDES[0],
    )  # fmt: skip
    if options.quick:
        ours = replace(ours, width=32, n_blocks=2, hidden=64, n_frequency=8)
        options.steps, options.seeds = 20, options.seeds[:1]
    options.output.mkdir(parents=True, exist_ok=True)
    wanted, file, say = n_weight(ours), options.output / "results.jsonl", Console(stderr=True)
    found = {
        title: [arm._replace(config=of_size(arm.config, wanted)) for arm in arms]
        for title, arms in tables(ours).items()
    }
    results = saved(file, options.steps)
    for seed in options.seeds:
        for arm in (arm for arms in found.values() for arm in arms):
            if any((result.arm, result.seed) == (arm.key, seed) for result in results):
                continue
            say.print(f"{arm.name}, seed {seed}: {n_weight(arm.config)} weights")
            results.append(run(arm, seed, options))
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(results[-1])) + "\n")
    for title, arms in found.items():
        Console(width=140).print(table(title, arms, results))


if __name__ == "__main__":
    main()
