"""Seconds per picture on the CPU, next to a network of EDSR-baseline's size on the same input.

Run: python benchmarks/bench_speed.py [--checkpoint small] [--side 256] [--json]

Both networks run in float32 and inference mode, turn by turn in one process, so that whatever else
the machine does slows both; the row of a part is the median over the turns. The other network is
the x4 EDSR-baseline (arXiv 1707.02921): 16 residual blocks of 64 channels, a global skip and two
pixel-shuffle stages, channels-last, with random weights, since its time does not depend on them.
Start-up is measured in fresh processes whose numba cache is warm.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from ginr.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from ginr.config import PRESETS
from ginr.errors import CheckpointError
from ginr.model import Ginr

SCALE = 4
TARGET_RATIO = 1.5  # ours over EDSR's
TARGET_START = 3.0  # seconds of import and load

START = """
import json, sys, time
begin = time.perf_counter()
import torch
from ginr.checkpoint import load_checkpoint
import ginr.model
imported = time.perf_counter()
model = load_checkpoint(sys.argv[1]).build()
loaded = time.perf_counter()
with torch.inference_mode():
    model.encode(torch.rand(1, 3, 16, 16)).render((64, 64))
first = time.perf_counter()
sys.stdout.write(json.dumps([imported - begin, loaded - imported, first - loaded]))
"""


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Edsr(nn.Module):
    """EDSR-baseline for x4: 1.5 M parameters, (B, 3, H, W) -> (B, 3, 4 H, 4 W)."""

    def __init__(self, width: int = 64, n_block: int = 16) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        blocks = [ResidualBlock(width) for _ in range(n_block)]
        self.body = nn.Sequential(*blocks, nn.Conv2d(width, width, 3, padding=1))
        stage = [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
        again = [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
        self.tail = nn.Sequential(*stage, *again, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.head(pixels)
        return self.tail(x + self.body(x))


@dataclass(frozen=True)
class Times:
    """Seconds of every turn."""

    encode: list[float]
    render: list[float]
    edsr: list[float]

    @property
    def ours(self) -> list[float]:
        return [a + b for a, b in zip(self.encode, self.render, strict=True)]

    @property
    def ratio(self) -> float:
        return median(self.ours) / median(self.edsr)


@dataclass(frozen=True)
class Start:
    """Medians over fresh processes, seconds."""

    importing: float
    loading: float
    first_picture: float
    """16x16 to 64x64, with the compiled loops read from numba's cache."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="small", help="a shipped name or a path")
    parser.add_argument("--side", type=int, default=256, help="side of the square LR picture")
    parser.add_argument("--turns", type=int, default=7, help="repetitions, at least 5")
    parser.add_argument("--threads", type=int, help="threads; all processors unless given")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    if options.turns < 5:
        parser.error("--turns: a median needs at least 5")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    with checkpoint_file(options.checkpoint) as (path, is_random):
        model = load_checkpoint(path).build()
        edsr = Edsr().eval().to(memory_format=torch.channels_last)
        times = measure(model, edsr, options.side, options.turns)
        start = measure_start(path)
    facts = {
        "checkpoint": "random weights" if is_random else path.name,
        "n_parameter": count(model),
        "edsr_n_parameter": count(edsr),
        "input": [options.side, options.side],
        "scale": SCALE,
        "turns": options.turns,
        "cpu": cpu_name(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(n, 2) for n in os.getloadavg()],
        "torch": torch.__version__,
    }
    if options.json:
        report = facts | {"seconds": asdict(times) | {"ours": times.ours}, "ratio": times.ratio}
        sys.stdout.write(json.dumps(report | {"start": asdict(start)}, indent=2) + "\n")
        return
    show(facts, times, start)


@contextmanager
def checkpoint_file(name: str) -> Iterator[tuple[Path, bool]]:
    """The file of a checkpoint, or of the preset with random weights where nothing is shipped."""
    try:
        yield find_checkpoint(name), False
    except CheckpointError as problem:
        if name not in PRESETS:
            raise SystemExit(str(problem)) from None
        Console(stderr=True).print(f"notice: no checkpoint {name}: random weights in its place")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.safetensors"
            save_checkpoint(path, PRESETS[name], Ginr(PRESETS[name]).state_dict(), {})
            yield path, True


@torch.inference_mode()
def measure(model: Ginr, edsr: Edsr, side: int, turns: int) -> Times:
    pixels = torch.rand(1, 3, side, side)
    channels_last = pixels.to(memory_format=torch.channels_last)
    times = Times([], [], [])
    for turn in range(-2, turns):  # two turns to warm up
        encode, field = timed(lambda: model.encode(pixels))
        # A field without its codes: rendering includes making them, as it does for a user.
        fresh = replace(field)
        render, _ = timed(lambda f=fresh: f.render((SCALE * side, SCALE * side)))
        other, _ = timed(lambda: edsr(channels_last))
        if turn >= 0:
            times.encode.append(encode)
            times.render.append(render)
            times.edsr.append(other)
    return times


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    answer = action()
    return time.perf_counter() - begin, answer


def measure_start(path: Path, turns: int = 5) -> Start:
    runs = []
    for turn in range(-1, turns):
        command = [sys.executable, "-c", START, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        if turn >= 0:
            runs.append(json.loads(done.stdout))
    return Start(*(median(part) for part in zip(*runs, strict=True)))


def show(facts: dict[str, object], times: Times, start: Start) -> None:
    console = Console()
    console.print(
        f"{facts['cpu']}, {facts['threads']} of {facts['processors']} processors, "
        f"load {facts['load']}, torch {facts['torch']}"
    )
    console.print(
        f"{facts['checkpoint']}: {facts['n_parameter']:,} parameters, "
        f"EDSR-baseline {facts['edsr_n_parameter']:,}"
    )
    side = facts["input"][0]  # type: ignore[index]
    table = Table(title=f"{side}x{side} to x{SCALE}, seconds over {facts['turns']} turns")
    for heading in ("", "median", "fastest", "slowest"):
        table.add_column(heading, justify="right" if heading else "left")
    rows = {
        "encode": times.encode,
        "render": times.render,
        "encode and render": times.ours,
        "EDSR-baseline": times.edsr,
    }
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in (median(row), min(row), max(row))))
    console.print(table)
    met = "met" if times.ratio <= TARGET_RATIO else "missed"
    console.print(f"ours / EDSR-baseline {times.ratio:.2f} (target {TARGET_RATIO}: {met})")
    total = start.importing + start.loading
    met = "met" if total < TARGET_START else "missed"
    console.print(
        f"import {start.importing:.2f} s, load {start.loading:.2f} s, together {total:.2f} s "
        f"(target {TARGET_START}: {met}); first small picture {start.first_picture:.2f} s"
    )


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def cpu_name() -> str:
    """The processor as Linux names it, or whatever the platform says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
