"""Shared by the benchmarks: clocks, peak rates of the machine, operation counts, tables."""

import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table

from ginr.architecture.config import GinrConfig
from ginr.architecture.weights import shapes
from ginr.device import Precision
from ginr.engine.field import CpuField
from ginr.engine.model import CpuGinr
from ginr.network.compiled_decoder import CompiledLatticeDecoder
from ginr.network.field import Field
from ginr.network.lattice_decoder import LatticeDecoder
from ginr.network.model import Ginr
from ginr.pictures import Picture
from ginr.rendering.upscale import upscale_bands

CPU = torch.device("cpu")


def show(console: Console, title: str, headings: list[str], rows: dict[str, list[str]]) -> None:
    table = Table(title=title)
    for heading in ("", *headings):
        table.add_column(heading, justify="right" if heading else "left")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    console.print(table)


def timed(action: Callable[[], object], device: torch.device = CPU) -> float:
    """Seconds that an action takes, including its work on a GPU."""
    finish(device)
    begin = time.perf_counter()
    action()
    finish(device)
    return time.perf_counter() - begin


def finish(device: torch.device) -> None:
    """Waits until a GPU has done its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch:
    """Seconds that a device spends in functions, measured without synchronization."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.marks: list[tuple[Any, Any]] = []

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed_function(*args: Any, **options: Any) -> Any:
            begin = self._mark()
            answer = function(*args, **options)
            self.marks.append((begin, self._mark()))
            return answer

        return timed_function

    def seconds(self) -> float:
        """The total since the last call."""
        finish(self.device)
        marks, self.marks = self.marks, []
        if self.device.type == "cuda":
            return float(sum(begin.elapsed_time(end) for begin, end in marks)) / 1000
        return float(sum(end - begin for begin, end in marks))

    def _mark(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event


@contextmanager
def watched(
    device: torch.device,
) -> Iterator[tuple[Stopwatch, Stopwatch, list[tuple[int, int]]]]:
    """Times encoding and rendering, and lists pixels and bytes of each tile that torch encodes."""
    encoding, rendering, seen = Stopwatch(device), Stopwatch(device), list[tuple[int, int]]()
    clocked = encoding.around(Ginr.encode)
    fused = rendering.around(CompiledLatticeDecoder.render_samples)

    def recorded(model: Ginr, pixels: torch.Tensor, **options: Any) -> Field:
        field: Field = clocked(model, pixels, **options)
        window = model.config.window
        n_row, n_column = (-(-n // window) * window for n in pixels.shape[2:])
        seen.append((n_row * n_column, least_bytes(field)))
        return field

    with (
        patch.object(Ginr, "encode", recorded),
        patch.object(CpuGinr, "encode_planes", encoding.around(CpuGinr.encode_planes)),
        patch.object(Field, "render", rendering.around(Field.render)),
        patch.object(CompiledLatticeDecoder, "render_samples", fused),
        patch.object(CpuField, "begin_render", rendering.around(CpuField.begin_render)),
    ):
        yield encoding, rendering, seen


def upscaled(
    model: Ginr | CpuGinr,
    picture: Picture,
    scale: float,
    tile: int | None = None,
    precision: Precision = "auto",
) -> tuple[float, float, float, list[tuple[int, int]]]:
    """Seconds in all, of encoding and of rendering, and each tile's pixels and bytes.

    The list of tiles is empty for a network without torch.
    """
    device = torch.device(str(model.device))
    height, width = round(picture.height * scale), round(picture.width * scale)

    def run() -> None:
        bands = upscale_bands(
            picture, model, height=height, width=width, tile=tile, precision=precision
        )
        for _ in bands:
            pass

    with watched(device) as (encoding, rendering, seen):
        return timed(run, device), encoding.seconds(), rendering.seconds(), seen


def least_bytes(field: Field) -> int:
    """Bytes of a field that a render must read at least: its codes or features, and the base."""
    n_base = 0 if field.base is None else field.base.numel()
    if not isinstance(decoder := field.decoder, LatticeDecoder):
        return 4 * (field.features.numel() + n_base)
    n_code = field.features.shape[1] * field.features.shape[2] * decoder.expand**2
    return 4 * (n_code * 3 * (1 + 2 * len(decoder.waves)) + n_base)


def matmul_gflops(device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> float:
    """GFLOP/s of matrix products, with the threads in use."""
    few = 2048 if dtype == torch.float32 else 256  # many processors compute bfloat16 slowly
    n = 8192 if device.type == "cuda" else few
    square = torch.rand(n, n, device=device).to(dtype)
    seconds = median(timed(lambda: square @ square, device) for _ in range(7))
    return round(2 * n**3 / seconds / 1e9, 1)


def copy_gb_per_s(device: torch.device = CPU) -> float:
    """GB/s read and written by a copy within the memory of the device."""
    source = torch.rand(1 << (26 if device.type == "cpu" else 28), device=device)
    target = torch.empty_like(source)
    seconds = median(timed(lambda: target.copy_(source), device) for _ in range(7))
    return round(2 * 4 * source.numel() / seconds / 1e9, 1)


def encoder_macs(config: GinrConfig, n_pixel: int) -> float:
    """Multiplications of the encoder for a picture of whole windows: weights times their places."""
    n_token = n_pixel / config.patch**2
    n_lp = n_pixel * config.n_lp / config.window**2
    macs, wanted = 0.0, shapes(config)
    for name, shape in wanted.items():
        if len(shape) < 3 or name.startswith("decoder."):
            continue
        n_place = n_token + n_lp if "mixer" in name else n_lp if "lp_ff" in name else n_token
        macs += math.prod(shape) * n_place
    n_scan = sum("log_decay" in name for name in wanted)
    # In each step and direction, the state is decayed, added to and read: three for each number.
    return macs + n_scan * 2 * 3 * (n_token + n_lp) * config.inner * config.n_state


def cpu_name() -> str:
    """The processor's name by Linux, or else by the platform."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
