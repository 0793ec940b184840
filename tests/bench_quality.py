"""`ginr evaluate` on benchmark folders, once bicubic gives the rows it is known to give.

Run: python tests/bench_quality.py DIR [DIR...] --scales 2,3,4 --checkpoint small

Folders named Set5, Set14 or B100 must first reproduce the bicubic row of our protocol (that of
`ginr.measuring.benchmark`), or nothing is measured; the usual published 33.66 / 30.39 / 28.42 of Set5 comes
from a Y-only pipeline with an unrounded LR. Other options are those of `ginr evaluate`.
"""

import argparse
from pathlib import Path
from statistics import fmean

from ginr.measuring.benchmark import reference, trial
from ginr.measuring.metrics import psnr_y
from ginr.pictures import READABLE, read_picture
from ginr.pictures.resize import bicubic_8bit
from ginr_cli.main import main as ginr

BICUBIC_ROWS = {
    "Set5": {2.0: 33.68, 3.0: 30.40, 4.0: 28.43},
    "Set14": {2.0: 30.24, 3.0: 27.54, 4.0: 26.00},
    "B100": {2.0: 29.56, 3.0: 27.21, 4.0: 25.96},
}
ROW_TOLERANCE = 0.01  # dB: whether the enlarged picture is rounded moves a row by 0.003


def bicubic_psnr_y(path: Path, scale: float) -> float:
    """What bicubic reaches on one picture."""
    hr, lr, border = trial(reference(read_picture(path))[0], scale)
    return psnr_y(hr, bicubic_8bit(lr, *hr.shape[:2]), border)


def check_bicubic(folder: Path) -> None:
    """Stop unless the whole folder gives its known bicubic row."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in READABLE]
    for scale, expected in BICUBIC_ROWS.get(folder.name, {}).items():
        found = fmean(bicubic_psnr_y(path, scale) for path in paths)
        if abs(found - expected) > ROW_TOLERANCE:
            raise SystemExit(f"{folder} x{scale:g}: bicubic is {found:.3f}, not {expected}")


def main() -> None:
    """Check bicubic, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--scales", default="2,3,4", help="comma-separated, from 1 to 30")
    parser.add_argument("--checkpoint", default="small", help="name or path")
    args, others = parser.parse_known_args()
    for folder in args.folders:
        check_bicubic(folder)
    ginr(["evaluate", args.checkpoint, *map(str, args.folders), "--scales", args.scales, *others])


if __name__ == "__main__":
    main()
