"""How time and memory of mixers grow with the number of tokens: a table and a picture."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch
from report import keep, kept_in
from rich import box
from rich.table import Table
from trials import clock_of, peak_megabytes, reset_peak

from ginr.architecture.config import GinrConfig
from ginr.network.blocks import MIXERS

TOKENS = 1_000, 4_000, 16_000, 64_000
FEW = 250, 1_000  # for a quick run
NAMES = {"mamba": "Mamba-1", "mamba2": "Mamba-2", "transformer": "attention"}
WARM = 64  # tokens of a first call, which loads kernels
N_TIMED = 3
LONG = 5.0  # seconds of a call that is not repeated


@dataclass(frozen=True)
class Point:
    """One mixer, for one sequence."""

    mixer: str
    width: int
    n_token: int
    ms: float
    """Median time of one call, of all threads on the CPU."""
    mb: float
    """Memory of a call beyond weights and tokens."""


def growth(config: GinrConfig, device: str, n_tokens: Sequence[int], file: Path) -> list[Point]:
    """Every mixer with every number of tokens, each in a process of its own; `file` keeps them."""
    found = [one for one in kept_in(file, Point) if one.width == config.width]
    for mixer in NAMES:
        for n_token in n_tokens:
            if any((one.mixer, one.n_token) == (mixer, n_token) for one in found):
                continue
            with get_context("spawn").Pool(1) as pool:
                found.append(pool.apply(point, (replace(config, mixer=mixer), device, n_token)))
            keep(file, found[-1:])
    return [one for one in found if one.n_token in n_tokens]


@torch.inference_mode()
def point(config: GinrConfig, device: str, n_token: int) -> Point:
    """Measures the mixer of a configuration; its peak of memory is that of the whole process."""
    mixer = MIXERS[config.mixer](config).to(device)
    places = torch.zeros(n_token, 2, device=device)  # not looked at: positions are `none`
    tokens = torch.randn(1, n_token, config.width, device=device)
    mixer(tokens[:, :WARM], places[:WARM])
    clock, seconds, on_gpu = (
        clock_of(torch.device(device)),
        list[float](),
        device.startswith("cuda"),
    )
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device) / 2**20 if on_gpu else reset_peak()
    while len(seconds) < N_TIMED and max(seconds, default=0) < LONG:
        start = clock()
        mixer(tokens, places)
        seconds.append(clock() - start)
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else peak_megabytes()
    return Point(
        config.mixer, config.width, n_token, 1e3 * statistics.median(seconds), peak - before
    )


def slope(n_tokens: Sequence[int], values: Sequence[float]) -> float:
    """The exponent p of values ~ n_tokens^p, by least squares of the logarithms."""
    x, y = ([math.log(max(v, 1e-9)) for v in each] for each in (n_tokens, values))
    return statistics.linear_regression(x, y).slope


def growth_table(found: Sequence[Point]) -> Table:
    """Time and memory by the number of tokens, with the exponents of their growth."""
    n_tokens = sorted({one.n_token for one in found})
    made = Table(title="Growth of one mixer with its tokens", box=box.MARKDOWN)
    for heading in ("mixer", "", *(f"{n:,}" for n in n_tokens), "grows as L to the"):
        made.add_column(heading)
    for mixer, name in NAMES.items():
        own = [one for one in found if one.mixer == mixer]
        for what, values in (("ms", [one.ms for one in own]), ("MB", [one.mb for one in own])):
            cells = (f"{value:,.0f}" for value in values)
            made.add_row(name, what, *cells, f"{slope(n_tokens, values):.2f}")
    return made


def draw(found: Sequence[Point], path: Path) -> None:
    """Both as lines with logarithmic axes. Needs matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, what in zip(figure.subplots(1, 2), ("ms", "mb"), strict=True):
        for mixer, name in NAMES.items():
            own = [one for one in found if one.mixer == mixer]
            axes.loglog(
                [one.n_token for one in own], [getattr(one, what) for one in own], "o-", label=name
            )
        axes.set_xlabel("tokens")
        axes.set_title({"ms": "time, ms", "mb": "memory, MB"}[what], fontsize=10)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.savefig(path, dpi=100)
