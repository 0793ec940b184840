"""What the shipped checkpoints promise holds for the samples: pytest tests/test_shipped.py"""

import hashlib
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from ginr.checkpoint import load_checkpoint, shipped_checkpoints
from ginr.likeness import likeness
from ginr.lps import lp_report
from ginr.metrics import psnr_y
from ginr.model import Ginr
from ginr.picture import Picture, read_picture
from ginr.picture_field import encode_picture
from ginr.resize import benchmark_pair, bicubic_8bit
from ginr.tiles import upscale

SCALES = (2.0, 3.0, 3.7, 4.0, 6.0)
PHOTOS = ("photo_colosseum", "photo_osprey", "photo_spices")


@lru_cache
def built(name: str) -> Ginr:
    """A shipped network."""
    return load_checkpoint(name).build()


@pytest.fixture(scope="module")
def model() -> Ginr:
    return built("small")


@pytest.mark.parametrize("name", sorted(shipped_checkpoints()))
def test_card_and_index_name_this_very_file(name: str) -> None:
    path = shipped_checkpoints()[name]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card = path.with_suffix(".md").read_text()
    index = (Path(__file__).parents[1] / "models" / "README.md").read_text()
    assert digest in card
    assert digest in index


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("name", ["small", "base"])
def test_gain_over_bicubic_is_the_one_it_claims(
    sample_images: Path, name: str, photo: str, scale: float
) -> None:
    claimed = load_checkpoint(name).facts["sample_gain_over_bicubic_db"][photo][f"x{scale:g}"]
    hr, lr = benchmark_pair(read_picture(sample_images / f"{photo}.png").samples, scale)
    ours = upscale(Picture(lr), built(name), height=hr.shape[0], width=hr.shape[1]).samples
    border = math.ceil(scale)
    gain = psnr_y(ours, hr, border) - psnr_y(bicubic_8bit(lr, *hr.shape[:2]), hr, border)
    assert gain > 0
    assert abs(gain - claimed) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "base"])
def test_tiles_equal_the_whole(sample_images: Path, name: str) -> None:
    for photo in PHOTOS:
        picture = read_picture(sample_images / f"{photo}.png")
        size = {"height": picture.height * 2, "width": picture.width * 2}
        whole = upscale(picture, built(name), **size, tile=1024).samples.astype(int)
        for tile in (64, 128):
            tiled = upscale(picture, built(name), **size, tile=tile).samples
            assert np.abs(whole - tiled).max() <= 1


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 90)])
def test_flat_areas_stay_flat(model: Ginr, colour: tuple[int, int, int]) -> None:
    """Exactly so inside for these colours; up to four levels at a picture's very corners."""
    flat = np.broadcast_to(np.uint8(colour), (64, 64, 3)).copy()
    out = upscale(Picture(flat), model, height=237, width=237).samples.astype(int)
    error = np.abs(out - colour).max(-1)
    assert error[40:-40, 40:-40].max() == 0
    assert error.max() <= 4
    assert (error > 1).mean() < 0.001


@pytest.mark.parametrize("name", ["small", "base"])
def test_position_tokens_are_diverse(name: str) -> None:
    assert lp_report(load_checkpoint(name)).diversity > 0.5


@pytest.mark.parametrize("kind", ["float16", "8 bits"])
def test_reconstruction_is_as_close_as_it_claims(sample_images: Path, kind: str) -> None:
    loaded = load_checkpoint("reconstruct")
    model, picture = loaded.build(), read_picture(sample_images / "photo_osprey.png")
    field = encode_picture(picture, model)
    field = field.quantized() if kind == "8 bits" else field
    assert field.base_bits == 0  # nothing of the picture but LP features
    render = field.render(model, height=picture.height, width=picture.width)
    found = likeness(render, picture)
    claimed = loaded.facts["sample_reconstruction_db"]["photo_osprey"][kind]
    assert abs(found.psnr_rgb - claimed["psnr_rgb"]) < 0.02
    assert abs(found.psnr_y - claimed["psnr_y"]) < 0.02
