"""Enlarge a file: python examples/enlarge_a_file.py"""

from pathlib import Path

import ginr

SAMPLES = Path(__file__).parents[1] / "sample_images"

large = ginr.upscale(SAMPLES / "photo_osprey.png", scale=2.5)
print(large)
large.save("osprey_large.png", overwrite=True)
large.save("osprey_large.jpg", overwrite=True, quality=90)
