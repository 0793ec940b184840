"""Where the time of a training step goes on the CPU, and what the compiled passes save.

Run: python benchmarks/bench_train.py [--preset small] [--steps 20] [--rounds 5] [--threads 2] [--json]

Trains a preset with the default settings on noise, alternating between the default scan and the
`chunked` one in plain torch. Shares are of all steps after the first ones, in which kernels are
compiled. A row is the median of its rounds, and the ratio is the median of the rounds' ratios. Other
work on the machine slows both: run it alone.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

import ginr.network.compiled_blocks
import ginr.network.scan
from ginr.architecture.config import PRESETS
from ginr.training.config import TrainConfig
from ginr.training.loop import train
from ginr.training.progress import Progress, Watcher

N_FIRST = 5  # steps that compile
TARGET_COMPUTING = 0.6
TARGET_RATIO = 3.0


@dataclass
class Row:
    """The median step with one scan, and the shares of its time."""

    scan: str
    ms_per_step: float
    forward_and_backward: float
    waiting_for_data: float


class Clock(Watcher):
    """Times the steps; the shares exclude the first ones."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = time.perf_counter()
        self._first = Progress()

    def stepped(self, progress: Progress) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now
        if len(self.seconds) == N_FIRST:
            self._first = Progress(**vars(progress))
        self.progress = progress

    def share(self, name: str) -> float:
        """`waiting` or `computing` as a share of the time after the first steps."""
        first, last = self._first, self.progress
        spent = getattr(last, name) * last.seconds - getattr(first, name) * first.seconds
        return float(spent / (last.seconds - first.seconds))


def measure(preset: str, folder: Path, run: Path, scan: str, n_step: int) -> Row:
    """One run with the given scan."""
    default = ginr.network.scan.default_backend
    named = (ginr.network.scan, ginr.network.compiled_blocks)  # the compiled passes ask for it too
    clock = Clock()
    settings = TrainConfig((folder,), run, steps=N_FIRST + n_step, device="cpu", scales=(2.0,))
    for module in named:
        module.default_backend = lambda device: scan
    try:
        train(PRESETS[preset], settings, clock)
    finally:
        for module in named:
            module.default_backend = default
    ms = 1000 * median(clock.seconds[N_FIRST:])
    return Row(scan, ms, clock.share("computing"), clock.share("waiting"))


def medians(rows: list[Row]) -> Row:
    """The medians of all rounds of a scan."""
    columns = zip(*(astuple(row)[1:] for row in rows), strict=True)
    return Row(rows[0].scan, *(median(column) for column in columns))


def main() -> int:
    """Measure both scans; exit code 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="small", choices=PRESETS)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "pictures")
        folder.mkdir()
        for k in range(4):
            small = np.random.default_rng(k).integers(256, size=(64, 64, 3), dtype=np.uint8)
            Image.fromarray(small).resize((432, 432)).save(folder / f"{k}.png")
        rounds = [
            [
                measure(options.preset, folder, Path(name, f"{scan}{k}"), scan, options.steps)
                for scan in ("numba", "chunked")
            ]
            for k in range(options.rounds)
        ]
    rows = [medians(list(rows)) for rows in zip(*rounds, strict=True)]
    ratio = median(chunked.ms_per_step / numba.ms_per_step for numba, chunked in rounds)
    if options.json:
        sys.stdout.write(json.dumps({"rows": [asdict(r) for r in rows], "ratio": ratio}) + "\n")
    else:
        table = Table("scan", "ms per step", "forward and backward", "waiting for data")
        for row in rows:
            shares = (f"{row.forward_and_backward:.0%}", f"{row.waiting_for_data:.1%}")
            table.add_row(row.scan, f"{row.ms_per_step:.0f}", *shares)
        Console().print(table)
        Console().print(f"chunked over numba: {ratio:.2f} (target {TARGET_RATIO:g})")
    met = rows[0].forward_and_backward >= TARGET_COMPUTING and ratio >= TARGET_RATIO
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
