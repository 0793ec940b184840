"""Enlarge a PIL image to a size: python examples/pillow_image.py"""

from pathlib import Path

from PIL import Image

import ginr

SAMPLES = Path(__file__).parents[1] / "sample_images"

with Image.open(SAMPLES / "photo_osprey.png") as image:
    part = image.crop((100, 60, 260, 180))
large = ginr.upscale(part, height=480, width=640)
print(large.mode, large.size)
large.save("osprey_part.png")
