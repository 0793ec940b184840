"""Speed and memory of ginr on a GPU, compared with what its memory and its matrix units reach.

Run: python benchmarks/bench_cuda.py [--checkpoint small] [--memory-gib 8] [--json FILE]
     python benchmarks/bench_cuda.py --device cpu --megapixels 0.02 --precisions float32,bfloat16

A picture in memory becomes samples in memory, as in `ginr upscale` but without files. A row is the
median of the turns after a warm-up. `encode` and `render` are the device's time between events around
`Ginr.encode` and `Field.render`; `rest` is the remaining time, for preparing pixels and for copying
and collecting samples. The rates count the least that must be computed or moved, so their share of the
machine's rate says how much a better kernel could gain. With torch's defaults, convolutions in float32
run in TF32.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measure import (
    copy_gb_per_s,
    cpu_name,
    encoder_macs,
    matmul_gflops,
    show,
    timed,
    upscaled,
)
from rich.console import Console

from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.device import Precision, choose_device
from ginr.errors import GinrError
from ginr.kernels.available import default_backend, missing, slow_reason
from ginr.network.lattice_decoder import LatticeDecoder
from ginr.network.model import Ginr, in_bfloat16
from ginr.pictures import Picture, read_picture
from ginr.rendering.tile_size import fitting_side
from ginr.rendering.upscale import upscale

PHOTO = Path(__file__).parent.parent / "sample_images" / "photo_spices.png"
TARGET = 100
"""Output megapixels per second at x4 with `small`."""
MEGA = 2**20


@dataclass
class Row:
    """The measurements of a size, a scale and a precision."""

    megapixels: float
    scale: float
    precision: str
    """As requested; `bfloat16` says what was used."""
    bfloat16: bool
    seconds: float
    encode_s: float
    render_s: float
    rest_s: float
    output_mp_per_s: float
    encode_gflops: float
    encode_share: float
    """Of the rate of matrix products in the same number format."""
    render_gb_per_s: float
    """With float32 pixels written, codes and base read once."""
    render_share: float
    """Of the rate of a copy."""
    peak_mib: float | None
    """Held by tensors at the same time; the limit is on `taken_mib`, reserved by torch for them."""
    taken_mib: float | None


def main() -> None:
    parser = parser_of_options()
    options = parser.parse_args()
    if options.turns < 5:
        parser.error("--turns: a median needs at least 5")
    try:
        device, _ = choose_device(options.device)
    except GinrError as error:
        parser.error(str(error))
    console = Console()
    model = load_checkpoint(options.checkpoint).build(device)
    device = model.device  # with its number
    tile = limited(model, device, options.memory_gib)
    report: dict[str, Any] = {"machine": machine(device), "checkpoint": options.checkpoint}
    report |= {"memory_gib": options.memory_gib, "tile": tile, "target_mp_per_s": TARGET}
    for key, value in report["machine"].items():
        console.print(f"{key} {value}", highlight=False)

    sizes = [float(text) for text in options.megapixels.split(",")]
    scales = [float(text) for text in options.scales.split(",")]
    precisions = options.precisions.split(",")
    rows = [
        whole(model, photo(megapixels), scale, precision, tile, options.turns, report["machine"])
        for megapixels in sizes
        for scale in scales
        for precision in precisions
    ]
    report["rows"] = [asdict(row) for row in rows]
    show(
        console,
        f"{options.checkpoint} in memory, medians of {options.turns} turns: seconds, output MP per second,\n"
        "encoding of the matrix rate, rendering of a copy's, peak MiB",
        ["s", "encode", "render", "rest", "MP/s", "of matrix", "of copy", "MiB"],
        {title(row): cells(row) for row in rows},
    )  # fmt: skip
    console.print(f"* in bfloat16; target: {TARGET} MP/s at x4 with small", highlight=False)
    report["decibels"] = likeness(model, min(sizes), scales, precisions, tile)
    for name, decibels in report["decibels"].items():
        console.print(f"{name}: {decibels:.1f} dB", highlight=False)
    if isinstance(model.decoder, LatticeDecoder):
        report["one_render"] = renders = one_render(model, photo(min(sizes)), options.turns)
        copied = report["machine"]["copy_gb_per_s"]
        show(
            console,
            "rendering one field to x4, compared with a copy of what must be moved",
            ["ms", "GB/s", "a kernel could be"],
            {
                name: [f"{1000 * took:.2f}", f"{rate:.1f}", f"{copied / rate:.1f} times as fast"]
                for name, (took, rate) in renders.items()
            },
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def parser_of_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="small", help="a shipped name or a path")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1; cpu to try the script")
    parser.add_argument("--megapixels", default="0.25,1,4,16", help="inputs")
    parser.add_argument("--scales", default="2,4")
    parser.add_argument("--precisions", default="float32,auto")
    parser.add_argument("--turns", type=int, default=5, help="repetitions, at least 5")
    parser.add_argument("--memory-gib", type=float, help="use only so much of the GPU's memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers there")
    return parser


def title(row: Row) -> str:
    return f"{row.megapixels:.2g} MP x{row.scale:g} {row.precision}" + "*" * row.bfloat16


def cells(row: Row) -> list[str]:
    return [
        *(f"{v:.3f}" for v in (row.seconds, row.encode_s, row.render_s, row.rest_s)),
        f"{row.output_mp_per_s:.1f}",
        f"{row.encode_share:.1%}",
        f"{row.render_share:.1%}",
        "-" if row.peak_mib is None else f"{row.peak_mib:.0f}",
    ]


def limited(model: Ginr, device: torch.device, memory_gib: float | None) -> int | None:
    """Limits the process to a GPU memory; returns the side of tiles that such a GPU would choose."""
    if memory_gib is None or device.type != "cuda":
        return None
    n_byte = int(memory_gib * 2**30)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, n_byte / total), device)
    return fitting_side(model, n_byte // 2)


def machine(device: torch.device) -> dict[str, Any]:
    """The device, its scan backend, and the rates of matrix products and copies."""
    facts: dict[str, Any] = {"device": cpu_name(), "torch": torch.__version__}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        facts |= {
            "device": card.name,
            "gib": round(card.total_memory / 2**30, 1),
            "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "tf32 in convolutions": torch.backends.cudnn.allow_tf32,
        }
    scan, reason = default_backend(device), slow_reason(device)
    return facts | {
        "scan": f"{scan}: {reason}" if reason else scan,
        "convolution": missing("causal_conv1d") or "causal_conv1d",
        "matmul_gflops": matmul_gflops(device),
        "matmul_gflops_bfloat16": matmul_gflops(device, torch.bfloat16),
        "copy_gb_per_s": copy_gb_per_s(device),
    }


def photo(megapixels: float) -> Picture:
    """A square of so many megapixels: the photograph and its mirror images side by side."""
    side, samples = round((megapixels * MEGA) ** 0.5), read_picture(PHOTO).samples
    more = [(0, max(0, side - n)) for n in samples.shape[:2]]
    wide = np.pad(samples, (*more, (0, 0)), mode="symmetric")
    return Picture(np.ascontiguousarray(wide[:side, :side]))


def whole(
    model: Ginr,
    picture: Picture,
    scale: float,
    precision: Precision,
    tile: int | None,
    turns: int,
    facts: dict[str, Any],
) -> Row:
    """One row of the table."""
    device, low = model.device, in_bfloat16(model, precision)
    size = round(picture.height * scale), round(picture.width * scale)
    takes = []
    for turn in range(-1, turns):
        if device.type == "cuda" and turn == -1:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        took, encode_s, render_s, seen = upscaled(model, picture, scale, tile, precision)
        takes.append((took, encode_s, render_s, took - encode_s - render_s))
    seconds, encode_s, render_s, rest_s = (median(v) for v in zip(*takes[1:], strict=True))
    gflops = 2 * sum(encoder_macs(model.config, n) for n, _ in seen) / encode_s / 1e9
    moved = (12 * size[0] * size[1] + sum(n_byte for _, n_byte in seen)) / render_s / 1e9
    on_gpu = device.type == "cuda"
    return Row(
        megapixels=picture.height * picture.width / MEGA,
        scale=scale,
        precision=precision,
        bfloat16=low,
        seconds=seconds,
        encode_s=encode_s,
        render_s=render_s,
        rest_s=rest_s,
        output_mp_per_s=size[0] * size[1] / MEGA / seconds,
        encode_gflops=gflops,
        encode_share=gflops / facts["matmul_gflops_bfloat16" if low else "matmul_gflops"],
        render_gb_per_s=moved,
        render_share=moved / facts["copy_gb_per_s"],
        peak_mib=torch.cuda.max_memory_allocated(device) / MEGA if on_gpu else None,
        taken_mib=torch.cuda.max_memory_reserved(device) / MEGA if on_gpu else None,
    )


def likeness(
    model: Ginr, megapixels: float, scales: list[float], precisions: list[Precision], tile: int | None
) -> dict[str, float]:  # fmt: skip
    """PSNR between the samples of every precision and those of the first one."""
    picture, found = photo(megapixels), {}
    for scale in scales:
        made = {}
        for precision in precisions:
            height, width = round(picture.height * scale), round(picture.width * scale)
            large = upscale(
                picture, model, height=height, width=width, tile=tile, precision=precision
            )
            made[precision] = large.samples.astype(np.float64)
        first = made[precisions[0]]
        for precision in precisions[1:]:
            error = max(float(np.square(made[precision] - first).mean()), 1e-6)  # equal: 108 dB
            found[f"{precision} beside {precisions[0]}, x{scale:g}"] = float(
                10 * np.log10(255**2 / error)
            )
    return found


@torch.inference_mode()
def one_render(model: Ginr, picture: Picture, turns: int) -> dict[str, tuple[float, float]]:
    """The plane waves of a field at x4: seconds, and GB/s of what must be moved, by implementation."""
    device, decoder = model.device, model.decoder
    assert isinstance(decoder, LatticeDecoder)
    planes = picture.pixels(0, 0, min(512, picture.height), min(512, picture.width))
    codes = model.encode(torch.from_numpy(planes)[None].to(device)).codes
    rows, columns = (
        ((torch.arange(4 * n, dtype=torch.float64) + 0.5) / 4 - 0.5).to(device)
        for n in planes.shape[1:]
    )
    n_byte = 4 * (codes.numel() + 3 * len(rows) * len(columns))
    plain, found = decoder._rows, {}
    for name, fused in (("plain torch", plain), ("torch.compile", torch.compile(plain))):
        decoder._rows = fused  # type: ignore[method-assign]
        try:
            takes = [
                timed(
                    lambda: LatticeDecoder.render(
                        decoder, codes, None, rows, columns, (0.25, 0.25)
                    ),
                    device,
                )
                for _ in range(turns + 2)
            ]
        finally:
            decoder._rows = plain  # type: ignore[method-assign]
        seconds = median(takes[2:])  # the first two compile
        found[name] = seconds, n_byte / seconds / 1e9
    return found


if __name__ == "__main__":
    main()
