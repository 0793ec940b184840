"""The README's pictures, from the samples and the shipped checkpoint: python benchmarks/make_pictures.py"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ginr.checkpoint import load_checkpoint
from ginr.picture import Picture, read_picture, write_picture
from ginr.resize import bicubic_8bit, downscale_8bit
from ginr.tiles import upscale

SAMPLES = Path(__file__).parents[1] / "sample_images"
SCALE = 3.7
CROPS = {  # top, left, side of what is shown, in pixels of the enlarged picture
    "photo_osprey": (0, 60, 200),
    "photo_colosseum": (40, 70, 200),
    "text_ui": (20, 30, 200),
}
LABEL = 22


def main() -> None:
    """Write sample_images/before_after.png: rows of input, bicubic, ours and the original."""
    model = load_checkpoint().build()
    rows = []
    for name, (top, left, side) in CROPS.items():
        original = read_picture(SAMPLES / f"{name}.png").samples[..., :3]
        small = downscale_8bit(np.ascontiguousarray(original), SCALE)
        height, width = round(small.shape[0] * SCALE), round(small.shape[1] * SCALE)
        ours = upscale(Picture(small), model, height=height, width=width).samples
        nearest = np.asarray(
            Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)
        )
        shown = (nearest, bicubic_8bit(small, height, width), ours, original)
        crops = [p[top : top + side, left : left + side] for p in shown]
        rows.append(np.concatenate(crops, axis=1))
    body = np.concatenate(rows)
    sheet = Image.new("RGB", (body.shape[1], body.shape[0] + LABEL), "white")
    sheet.paste(Image.fromarray(body), (0, LABEL))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for k, label in enumerate(("input", f"bicubic x{SCALE}", f"ginr x{SCALE}", "original")):
        draw.text((k * body.shape[1] // 4 + 6, 3), label, "black", font)
    write_picture(Picture(np.asarray(sheet)), SAMPLES / "before_after.png", overwrite=True)


if __name__ == "__main__":
    main()
