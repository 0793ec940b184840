"""Makes the pictures of README and docs/ from the samples: python benchmarks/make_pictures.py"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ginr.assessing.assessment import assess
from ginr.assessing.restoration import MOST_DETAIL
from ginr.checkpoints.checkpoint import Blend, load_checkpoint
from ginr.geometry.view import parse_box
from ginr.network.model import Ginr
from ginr.pictures import Picture, quantize, read_picture, write_picture
from ginr.pictures.resize import benchmark_pair, bicubic_8bit
from ginr.rendering.upscale import upscale
from ginr.rendering.zoom import render_shots, shot_of, zoom_path
from ginr.training.degradation import damaged

SAMPLES = Path(__file__).parents[1] / "sample_images"
SCALE = 3.7
CROPS = {  # top, left and side of the part shown, in pixels of the enlarged picture
    "photo_osprey": (0, 60, 200),
    "photo_colosseum": (40, 70, 200),
    "text_ui": (20, 30, 200),
}
DAMAGED = {  # photograph and degradation: top and left of the part shown
    ("photo_osprey", "phone"): (0, 70),
    ("photo_colosseum", "web"): (60, 130),
    ("photo_spices", "film"): (90, 150),
}
LABEL = 22
GAP = 8
SCALES = (2.0, 3.7, 6.0)
FRAME = (240, 320)
ZOOM = "80,20,80,60"  # where the zoom ends
SHOWN = 292  # columns of each of its frames


def main() -> None:
    """Write the pictures into sample_images/."""
    model = load_checkpoint().build()
    before_after(model)
    restored(model)
    three_scales(model)
    zoom_strip(model)
    lp_report()


def three_scales(model: Ginr) -> None:
    """three_scales.png: one field of a picture of 84x63 pixels rendered at three scales."""
    original = read_picture(SAMPLES / "photo_osprey.png").samples[..., :3]
    small = benchmark_pair(np.ascontiguousarray(original), 4)[1]
    pixels = torch.from_numpy(small.transpose(2, 0, 1) / np.float32(255))[None]
    with torch.inference_mode():
        field = model.encode(pixels)
        renders = [field.render(tuple(round(n * s) for n in small.shape[:2])) for s in SCALES]
    shown = [small] + [quantize(render[0].numpy(), 8, False) for render in renders]
    labels = ("input", *(f"x{scale:g}" for scale in SCALES))
    width = sum(p.shape[1] + GAP for p in shown) - GAP
    sheet = Image.new("RGB", (width, shown[-1].shape[0] + LABEL), "white")
    draw, font, left = ImageDraw.Draw(sheet), ImageFont.load_default(14), 0
    for picture, label in zip(shown, labels, strict=True):
        sheet.paste(Image.fromarray(picture), (left, LABEL))
        draw.text((left + 2, 3), label, "black", font)
        left += picture.shape[1] + GAP
    write_picture(Picture(np.asarray(sheet)), SAMPLES / "three_scales.png", overwrite=True)


def before_after(model: Ginr) -> None:
    """before_after.png: rows of input, bicubic, ginr and original."""
    rows = []
    for name, (top, left, side) in CROPS.items():
        original = read_picture(SAMPLES / f"{name}.png").samples[..., :3]
        small = benchmark_pair(np.ascontiguousarray(original), SCALE)[1]
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


def restored(model: Ginr) -> None:
    """restored.png: rows of damaged input, bicubic, `small` and what ginr makes of it by itself."""
    crisp, rows = load_checkpoint("crisp"), []
    for (name, preset), (top, left) in DAMAGED.items():
        original = np.ascontiguousarray(read_picture(SAMPLES / f"{name}.png").samples[..., :3])
        small = damaged(original, *(n // 2 for n in original.shape[:2]), preset, name)
        height, width = (2 * n for n in small.shape[:2])
        seen = assess(Picture(small))
        detail = round(min(MOST_DETAIL, seen.strength), 1)
        network = crisp.blended(Blend("photo", 1 - detail)).build()
        network = network.adapted(seen.traits_for(seen.strength))
        shown = [small.repeat(2, axis=0).repeat(2, axis=1), bicubic_8bit(small, height, width)]
        shown += [
            upscale(Picture(small), one, height=height, width=width).samples
            for one in (model, network)
        ]
        crops = np.concatenate([p[top : top + 100, left : left + 100] for p in shown], axis=1)
        rows.append(crops.repeat(2, axis=0).repeat(2, axis=1))
    body = np.concatenate(rows)
    sheet = Image.new("RGB", (body.shape[1], body.shape[0] + LABEL), "white")
    sheet.paste(Image.fromarray(body), (0, LABEL))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, label in enumerate(("damaged picture", "bicubic", "small, not restored", "ginr")):
        draw.text((column * 200 + 2, 3), label, "black", font)
    write_picture(Picture(np.asarray(sheet)), SAMPLES / "restored.png", overwrite=True)


def zoom_strip(model: Ginr) -> None:
    """zoom_strip.png: four frames of a zoom into the osprey's head."""
    picture = read_picture(SAMPLES / "photo_osprey.png")
    size = picture.height, picture.width
    whole, part = (parse_box(box).resolve(*size) for box in ("0%,0%,100%,100%", ZOOM))
    shots = zoom_path(shot_of(whole, size, FRAME), shot_of(part, size, FRAME), 4)
    frames = render_shots(picture, model, shots, height=FRAME[0], width=FRAME[1])
    gap = np.full((FRAME[0], 4, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (frame[:, :SHOWN, :3], gap)]
    strip = np.concatenate(parts[:-1], axis=1)
    write_picture(Picture(strip), SAMPLES / "zoom_strip.png", overwrite=True)


def lp_report() -> None:
    """lp_report.png: the plot of `ginr inspect-lps`."""
    photo, plot = (str(SAMPLES / name) for name in ("photo_osprey.png", "lp_report.png"))
    command = [sys.executable, "-m", "ginr_cli", "inspect-lps", "small", "--image", photo]
    subprocess.run([*command, "--plot", plot, "--overwrite"], check=True)


if __name__ == "__main__":
    main()
