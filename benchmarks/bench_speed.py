"""Time and memory of ginr on the CPU, compared with interpolation, other networks and the machine's limits.

Run: python benchmarks/bench_speed.py [--checkpoint small] [--megapixels 0.25,1,4,16] [--json FILE]

The rows of a table take turns in one process, so other work on the machine slows all of them; a row is
the median of its turns. The other networks have random weights, which do not affect their time. By
size: encoding and rendering in this process from memory to memory, and `ginr upscale` from PNG to PNG
in a fresh process, with the kernels already compiled.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from measure import (
    copy_gb_per_s,
    cpu_name,
    encoder_macs,
    matmul_gflops,
    show,
    timed,
    upscaled,
)
from PIL import Image
from rich.console import Console
from rivals import Edsr, LiifDecoder, Smfa

from ginr.checkpoints.checkpoint import load_cpu_network
from ginr.engine.model import CpuGinr
from ginr.pictures import read_picture

SCALE = 4
LIIF_SHARE = 16
"""LIIF's decoder renders one in so many rows, and its time is scaled up: all would take minutes."""

Rows = dict[str, float]
"""Median seconds by action."""

START = """
import json, sys, time
begin = time.perf_counter()
import numpy as np
from ginr.checkpoints.checkpoint import load_cpu_network
import ginr.kernels.mixer, ginr.kernels.feedforward, ginr.kernels.render
imported = time.perf_counter()
model = load_cpu_network(sys.argv[1])
loaded = time.perf_counter()
layer = np.zeros((3, 16, 16), np.float32)
model.encode_planes([layer], origin=(0, 0), size=(16, 16)).begin_render((64, 64), (0, 0, 64, 64))()
first = time.perf_counter()
sys.stdout.write(json.dumps([imported - begin, loaded - imported, first - loaded]))
"""

WATCH = """
import os, sys
pid = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, flush=True)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="small", help="a shipped name or a path")
    parser.add_argument("--side", type=int, default=512, help="side of the LR picture in process")
    parser.add_argument("--megapixels", default="0.25,1,4,16", help="inputs of the table by size")
    parser.add_argument("--scales", default="2,4", help="scales of that table")
    parser.add_argument("--turns", type=int, default=5, help="repetitions, at least 5")
    parser.add_argument("--threads", type=int, help="threads; all processors unless given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers there")
    options = parser.parse_args()
    if options.turns < 5:
        parser.error("--turns: a median needs at least 5")
    if options.threads:
        torch.set_num_threads(options.threads)
    console = Console()
    model = load_cpu_network(options.checkpoint)
    torch.manual_seed(0)
    report: dict[str, Any] = {"machine": machine(), "checkpoint": options.checkpoint}
    console.print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))

    rows = in_process(model, options.side, options.turns)
    side, edsr = options.side, rows["EDSR-baseline"]
    title = f"{side}x{side} to x{SCALE}, in process, medians of {options.turns} turns"
    show(console, title, ["seconds", "of EDSR-baseline"], {
        name: [f"{seconds:.3f}", f"{seconds / edsr:.3f}"] for name, seconds in rows.items()
    })  # fmt: skip
    rate = 2 * encoder_macs(model.config, side * side) / rows["ginr encode"] / 1e9
    moved = (SCALE * side) ** 2 * 3 * 4 / rows["ginr render"] / 1e9
    report |= {"in_process_s": rows, "encode_gflops": rate, "render_gb_per_s": moved}
    console.print(
        f"encoding computes {rate:.0f} GFLOP/s, {rate / report['machine']['matmul_gflops']:.0%} of "
        f"the matrix rate; rendering writes {moved:.2f} GB/s of float32 pixels"
    )
    report["start_s"] = start = measure_start(options.checkpoint, options.turns)
    console.print(", ".join(f"{what} {seconds:.2f} s" for what, seconds in start.items()))

    sizes = [float(text) for text in options.megapixels.split(",")]
    scales = [float(text) for text in options.scales.split(",")]
    report["by_size"] = found = by_size(model, options.checkpoint, sizes, scales, options.turns)
    headings = ["encode", "render", "in memory", "process", "encode + render per MP", "peak MiB"]
    show(console, f"by size: seconds, medians of {options.turns} turns", headings, {
        f"{row['megapixels']:g} MP to x{row['scale']:g}": [
            *(f"{row[part]:.2f}" for part in ("encode_s", "render_s", "in_memory_s", "process_s")),
            f"{(row['encode_s'] + row['render_s']) / row['megapixels']:.2f}",
            f"{row['peak_mib']:.0f}",
        ]
        for row in found
    })  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """The processor, and the rates of matrix products and copies with the threads in use."""
    return {
        "cpu": cpu_name(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,  # of the other networks
        "matmul_gflops": matmul_gflops(),
        "copy_gb_per_s": copy_gb_per_s(),
    }


@torch.inference_mode()
def in_process(model: CpuGinr, side: int, turns: int) -> Rows:
    """ginr, interpolation and the other networks, turn by turn."""
    pixels = torch.rand(1, 3, side, side)
    last = pixels.to(memory_format=torch.channels_last)
    bytes_ = (pixels[0].permute(1, 2, 0) * 255).byte().numpy()
    picture = Image.fromarray(bytes_)
    layer, size = pixels[0].numpy(), (SCALE * side, SCALE * side)
    edsr, smfa = (net().eval().to(memory_format=torch.channels_last) for net in (Edsr, Smfa))
    liif = LiifDecoder(model.config.width)
    kept: dict[str, Any] = {}

    def encode() -> None:
        kept["field"] = model.encode_planes([layer], origin=(0, 0), size=(side, side))

    def render(size: tuple[int, int] = size) -> None:
        kept["field"].begin_render(size, (0, 0, *size))()

    def first_render() -> None:
        kept["field"] = replace(kept["field"])  # a copy without cached codes
        render()

    things: dict[str, Callable[[], object]] = {
        "ginr encode": encode,
        "ginr render": first_render,
        "ginr render, another size": lambda: render((3 * side, 3 * side)),
        "Pillow bicubic": lambda: picture.resize(size, Image.Resampling.BICUBIC),
        "Pillow Lanczos": lambda: picture.resize(size, Image.Resampling.LANCZOS),
        "torch bicubic": lambda: F.interpolate(pixels, size, mode="bicubic"),
        "EDSR-baseline": lambda: edsr(last),
        "SMFANet": lambda: smfa(last),
        f"LIIF decoder, 1/{LIIF_SHARE} of the rows": lambda: liif(
            torch.from_numpy(kept["field"].features), (size[0] // LIIF_SHARE, size[1])
        ),
    }
    if find_spec("cv2") is not None:
        import cv2

        things["OpenCV cubic"] = lambda: cv2.resize(bytes_, size, interpolation=cv2.INTER_CUBIC)
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for turn in range(-1, turns):  # one turn to warm up
        for name, action in things.items():
            took = timed(action)
            if turn >= 0:
                seconds[name].append(took)
    rows = {name: median(took) for name, took in seconds.items()}
    rows["ginr, together"] = rows["ginr encode"] + rows["ginr render"]
    rows["LIIF decoder, all rows"] = LIIF_SHARE * rows.pop(
        f"LIIF decoder, 1/{LIIF_SHARE} of the rows"
    )
    return rows


def measure_start(checkpoint: str, turns: int) -> dict[str, float]:
    runs = []
    for turn in range(-1, turns):
        command = [sys.executable, "-c", START, checkpoint]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        if turn >= 0:
            runs.append(json.loads(done.stdout))
    names = ("import", "load", "first small picture")
    found = dict(zip(names, (median(part) for part in zip(*runs, strict=True)), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.png", Path(folder) / "out.png"
        Image.new("RGB", (64, 64), "olive").save(source)
        command = upscaling(source, target, 2, checkpoint)
        found["process, 64x64"] = median(whole_process(command)[0] for _ in range(turns))
    return found


def upscaling(source: Path, target: Path, scale: float, checkpoint: str) -> list[str]:
    """The command line that a user would type."""
    options = ["--scale", f"{scale:g}", "--checkpoint", checkpoint, "--overwrite"]
    return [sys.executable, "-m", "ginr_cli", "upscale", str(source), str(target), *options]


def by_size(
    model: CpuGinr, checkpoint: str, sizes: list[float], scales: list[float], turns: int
) -> list[dict[str, float]]:
    """Medians by size and scale, in turns: from memory to memory, then in whole processes."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        target, sources = Path(folder) / "out.png", dict[int, Path]()
        runs: dict[tuple[int, float], list[tuple[float, ...]]] = {}
        for megapixels in sizes:
            side = round((megapixels * 2**20) ** 0.5)
            small = random.integers(0, 256, (side // 8, side // 8, 3), np.uint8)
            source = sources[side] = Path(folder) / f"{side}.png"
            Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(source)
        for _ in range(turns):
            for (side, source), scale in product(sources.items(), scales):
                parts = upscaled(model, read_picture(source), scale)[:3]
                whole = whole_process(upscaling(source, target, scale, checkpoint))
                runs.setdefault((side, scale), []).append((*parts, *whole))
    names = ("in_memory_s", "encode_s", "render_s", "process_s", "peak_mib")
    return [
        {"megapixels": side * side / 2**20, "scale": scale}
        | dict(zip(names, map(median, zip(*rows, strict=True)), strict=True))
        for (side, scale), rows in runs.items()
    ]


def whole_process(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident MiB of a process."""
    begin = time.perf_counter()
    # By a small process in between: Linux counts the parent's memory at the start of a child.
    watched = [sys.executable, "-S", "-c", WATCH, *command]
    done = subprocess.run(watched, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")
    return time.perf_counter() - begin, int(done.stdout.splitlines()[-1]) / 1024


if __name__ == "__main__":
    main()
