"""Enlarge shrunken samples with the installed `ginr` and hold the results against bicubic.

Usage: check_installed.py GINR SAMPLES, from a folder that is not the repository.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import ginr
from ginr.measuring.metrics import psnr_y
from ginr.pictures.resize import benchmark_pair, bicubic_8bit

MIN_GAIN_DB = {2: 1.0, 3.7: 0.4}


def main(command: str, samples: Path) -> int:
    """Compare each photograph at each scale; returns the exit code."""
    assert ginr.__file__ and Path.cwd() not in Path(ginr.__file__).parents
    for photo in sorted(samples.glob("photo_*.png")):
        hr = ginr.read_picture(photo).samples
        for scale, least in MIN_GAIN_DB.items():
            whole, lr = benchmark_pair(hr, scale)
            source, target = Path(f"{photo.stem}.png"), Path(f"{photo.stem}_{scale}.png")
            ginr.write_picture(ginr.Picture(lr), source, overwrite=True)
            size = f"{whole.shape[1]}x{whole.shape[0]}!"
            done = subprocess.run(
                [command, "upscale", str(source), str(target), "--size", size, "--json"],
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            report = json.loads(done.stdout)
            ours = ginr.read_picture(target).samples
            assert ours.shape == whole.shape, (ours.shape, whole.shape)
            assert (report["height"], report["width"]) == whole.shape[:2]
            border = int(np.ceil(scale))
            bicubic = psnr_y(bicubic_8bit(lr, *whole.shape[:2]), whole, border)
            gain = psnr_y(ours, whole, border) - bicubic
            sys.stdout.write(f"{photo.stem} x{scale}: {gain:+.2f} dB over bicubic\n")
            if gain < least:
                sys.stdout.write(f"expected at least {least:+.2f} dB\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
