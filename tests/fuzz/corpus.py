"""Small sound files of every kind that ginr reads, made here: the seeds of the fuzzer."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, features
from safetensors.numpy import save

from ginr.architecture.config import GinrConfig
from ginr.architecture.weights import shapes
from ginr.checkpoints.tensors_file import CHECKPOINT, FIELD
from ginr.training.config import TrainConfig
from ginr.training.settings import to_toml

TINY = GinrConfig(
    patch=2, window=8, n_lp=64, group=4, width=16, n_blocks=1,
    scan_every=1, head_dim=16, n_state=4, hidden=16, n_frequency=4,
)  # fmt: skip


def checkpoints() -> dict[str, bytes]:
    """A checkpoint as float32, and the same as float16."""
    numbers = np.random.default_rng(0)
    facts = {"steps": 12, "held_out_gain_over_bicubic_db": {"x2": 0.1}}
    about = CHECKPOINT.metadata(TINY, facts)
    weights = {name: numbers.normal(size=shape) for name, shape in shapes(TINY).items()}
    return {
        f"{kind}.safetensors": save({k: w.astype(kind) for k, w in weights.items()}, about)
        for kind in ("float32", "float16")
    }


def fields() -> dict[str, bytes]:
    """A saved field of a 16x16 picture with 16-bit features, and one with codes and a profile."""
    facts = {"height": 16, "width": 16, "channels": 3, "depth": 8, "checkpoint": "small"}
    about = FIELD.metadata(TINY, facts | {"sha256": "0" * 64})
    side = 8 * 2  # LPs along one axis
    base = np.zeros((3, 16, 16), np.uint8)
    features_of = {"features": np.zeros((1, side, side, 16), np.float16), "base": base}
    codes = {
        "features": np.zeros((1, side, side, 16), np.uint8),
        "levels": np.ones((2, 16), np.float32),
        "base": base,
        "icc": np.zeros(40, np.uint8),
    }
    return {
        "float16.safetensors": save(features_of, about),
        "codes.safetensors": save(codes, about),
    }


def settings() -> dict[str, bytes]:
    """The settings of a run, and a few in other spellings."""
    whole = to_toml(GinrConfig(), TrainConfig((Path("photos"),), Path("run")))
    short = 'folders = ["a", \'b\']\nrun = "c"\nrate = 1e-3\nsteps = 0x10\nnetwork = {width = 32}\n'
    return {"whole.toml": whole.encode(), "short.toml": short.encode()}


def pictures() -> dict[str, bytes]:
    """A 12x9 picture in every format and mode, with metadata where there can be some."""
    exif = Image.Exif()
    exif[0x10F], exif[0x112] = "Maker", 6
    exif.get_ifd(0x8769).update({0xA002: 12, 0xA003: 9})
    found = {}
    for mode in ("L", "LA", "RGB", "RGBA", "P", "I;16", "1", "CMYK"):
        image = Image.fromarray(
            np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
        ).convert("I" if mode == "I;16" else mode)
        image = image.convert(mode)
        for suffix, name, options in (
            ("png", "PNG", {"exif": exif, "dpi": (300, 300)}), ("gif", "GIF", {}),
            ("jpg", "JPEG", {"exif": exif, "comment": b"hello"}), ("bmp", "BMP", {}),
            ("tif", "TIFF", {"exif": exif}), ("tiff", "TIFF", {"compression": "tiff_lzw"}),
            ("webp", "WEBP", {"exif": exif, "lossless": True}), ("avif", "AVIF", {"exif": exif}),
        ):  # fmt: skip
            file = io.BytesIO()
            try:
                image.save(file, name, **options)
            except (OSError, KeyError, ValueError, TypeError):  # not in this mode
                continue
            if suffix != "avif" or features.check("avif"):
                found[f"{mode.replace(';', '')}.{suffix}"] = file.getvalue()
    return found


def arrays() -> dict[str, bytes]:
    """A map for `ginr warp --map`."""
    file = io.BytesIO()
    np.save(file, np.zeros((4, 5, 2), np.float32))
    return {"map.npy": file.getvalue()}
