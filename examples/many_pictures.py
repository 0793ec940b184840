"""Enlarge a folder, the next picture being read meanwhile: python examples/many_pictures.py"""

from pathlib import Path

import ginr

SAMPLES = Path(__file__).parents[1] / "sample_images"

paths = sorted(SAMPLES.glob("photo_*.png"))[:2]
Path("large").mkdir(exist_ok=True)
for path, large in zip(paths, ginr.upscale_many(paths, scale=2), strict=True):
    large.save(Path("large") / path.name, overwrite=True)
    print(path.name, f"{large.width}x{large.height}")
