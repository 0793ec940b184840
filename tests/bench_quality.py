"""PSNR-Y of a checkpoint next to bicubic, on folders of high-resolution pictures.

Run: python tests/bench_quality.py DIR [DIR...] --scales 2,3,4 --checkpoint small

Protocol: 8-bit RGB (grey files stay grey), crop and bicubic shrink of `ginr.resize.benchmark_pair`,
both results rounded to 8 bits, PSNR on studio-range Y, a border of the scale (rounded up) left out,
mean over pictures. Folders named Set5, Set14 or B100 must first reproduce the bicubic row of this
protocol, or nothing is measured; the usual published 33.66 / 30.39 / 28.42 of Set5 comes from a
Y-only pipeline with an unrounded LR.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ginr.metrics import psnr_y
from ginr.resize import benchmark_pair, bicubic_8bit

Samples = NDArray[np.uint8]
Upscaler = Callable[[Samples, int, int], Samples]  # (LR, height, width) -> samples

SUFFIXES = {".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".webp"}
BICUBIC_ROWS = {
    "Set5": {2.0: 33.68, 3.0: 30.40, 4.0: 28.43},
    "Set14": {2.0: 30.24, 3.0: 27.54, 4.0: 26.00},
    "B100": {2.0: 29.56, 3.0: 27.21, 4.0: 25.96},
}
ROW_TOLERANCE = 0.01  # dB: whether the enlarged picture is rounded moves a row by 0.003


@dataclass(frozen=True)
class Row:
    """One folder at one scale; `ours` and the gains are None without a checkpoint."""

    folder: str
    scale: float
    pictures: int
    bicubic: float
    ours: float | None = None
    gain: float | None = None
    worst_gain: float | None = None
    worst_picture: str | None = None
    seconds: float | None = None

    def line(self) -> str:
        """The row as a line of the table."""
        text = f"{self.folder:<12} x{self.scale:<5g} {self.pictures:>4} {self.bicubic:>8.2f}"
        if self.ours is None:
            return text
        return (
            f"{text} {self.ours:>8.2f} {self.gain:>+7.2f} {self.worst_gain:>+7.2f} "
            f"{self.worst_picture}  ({self.seconds:.1f} s)"
        )


def read_samples(path: Path) -> Samples:
    """8-bit samples (H, W, 3), or (H, W, 1) for a grey file."""
    with Image.open(path) as image:
        samples = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    return samples[..., None] if samples.ndim == 2 else samples


def pictures_in(folder: Path, limit: int | None) -> list[Path]:
    """The picture files of a folder in the order of their names, at most `limit`."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:limit]
    if not paths:
        raise SystemExit(f"no pictures in {folder}")
    return paths


def measure(paths: list[Path], scale: float, ours: Upscaler | None) -> Row:
    """Bicubic, and `ours` where given, on every picture; the folder's name comes from the path."""
    border = math.ceil(scale)
    bicubic, gains, seconds = [], [], 0.0
    for path in paths:
        hr, lr = benchmark_pair(read_samples(path), scale)
        height, width = hr.shape[:2]
        bicubic.append(psnr_y(hr, bicubic_8bit(lr, height, width), border))
        if ours is not None:
            start = time.perf_counter()
            result = ours(lr, height, width)
            seconds += time.perf_counter() - start
            gains.append(psnr_y(hr, result, border) - bicubic[-1])
    mean = float(np.mean(bicubic))
    if not gains:
        return Row(paths[0].parent.name, scale, len(paths), mean)
    worst, gain = int(np.argmin(gains)), float(np.mean(gains))
    return Row(
        folder=paths[0].parent.name,
        scale=scale,
        pictures=len(paths),
        bicubic=mean,
        ours=mean + gain,
        gain=gain,
        worst_gain=float(gains[worst]),
        worst_picture=paths[worst].name,
        seconds=seconds,
    )


def check_bicubic(folder: Path) -> None:
    """Stop unless the whole folder gives its known bicubic row."""
    for scale, expected in BICUBIC_ROWS.get(folder.name, {}).items():
        found = measure(pictures_in(folder, None), scale, None).bicubic
        if abs(found - expected) > ROW_TOLERANCE:
            raise SystemExit(f"{folder} x{scale:g}: bicubic is {found:.3f}, not {expected}")


def load_ours(checkpoint: str, device: str) -> Upscaler:
    """The checkpoint as a function from LR samples and a size to samples."""
    from ginr.checkpoint import load_checkpoint
    from ginr.device import choose_device
    from ginr.picture import Picture
    from ginr.tiles import upscale

    model = load_checkpoint(checkpoint).build(choose_device(device)[0])

    def ours(lr: Samples, height: int, width: int) -> Samples:
        return upscale(Picture(samples=lr), model, height=height, width=width).samples

    return ours


def main() -> None:
    """Parse, check bicubic, measure, print the rows as they are done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--scales", default="2,3,4", help="comma-separated, any number from 1")
    parser.add_argument("--checkpoint", help="name or path; bicubic only when left out")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--limit", type=int, help="only the first N pictures of each folder")
    parser.add_argument("--json", action="store_true", help="one JSON object per row")
    args = parser.parse_args()
    scales = [float(text) for text in args.scales.split(",")]
    for folder in args.folders:
        check_bicubic(folder)
    ours = load_ours(args.checkpoint, args.device) if args.checkpoint else None
    if not args.json:
        print(
            f"{'set':<12} {'scale':<6} {'n':>4} {'bicubic':>8} {'ours':>8} {'gain':>7} {'worst':>7}"
        )
    for folder in args.folders:
        for scale in scales:
            row = measure(pictures_in(folder, args.limit), scale, ours)
            print(json.dumps(asdict(row)) if args.json else row.line())
            sys.stdout.flush()


if __name__ == "__main__":
    main()
