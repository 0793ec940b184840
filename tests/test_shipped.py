"""What the shipped checkpoints promise holds for the samples: pytest tests/test_shipped.py"""

import hashlib
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ginr.checkpoints.checkpoint import load_checkpoint, shipped_checkpoints
from ginr.lps.report import lp_report
from ginr.measuring.metrics import psnr_y
from ginr.measuring.whole_pictures import likeness
from ginr.network.model import Ginr
from ginr.pictures import Picture, read_picture
from ginr.pictures.resize import benchmark_pair, bicubic_8bit
from ginr.rendering.picture_field import encode_picture
from ginr.rendering.upscale import upscale

SCALES = (2.0, 3.0, 3.7, 4.0, 6.0)
PHOTOS = ("photo_colosseum", "photo_osprey", "photo_spices")


@lru_cache
def built(name: str) -> Ginr:
    """A shipped network."""
    return load_checkpoint(name).build()


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


@pytest.mark.parametrize("name", ["small", "base"])
@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 90), (0, 0, 255)]
)
def test_flat_areas_stay_flat(name: str, colour: tuple[int, int, int]) -> None:
    flat = np.broadcast_to(np.uint8(colour), (64, 64, 3)).copy()
    out = upscale(Picture(flat), built(name), height=237, width=237).samples
    np.testing.assert_array_equal(out, np.broadcast_to(np.uint8(colour), out.shape))


@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0])
@pytest.mark.parametrize("name", ["small", "base"])
def test_a_drawing_without_colour_stays_without(
    sample_images: Path, name: str, scale: float
) -> None:
    hr, lr = benchmark_pair(read_picture(sample_images / "line_art.png").samples, scale)
    out = upscale(Picture(lr), built(name), height=hr.shape[0], width=hr.shape[1]).samples
    assert np.ptp(out, -1).max() == 0
    border = math.ceil(scale)
    assert psnr_y(out, hr, border) > psnr_y(bicubic_8bit(lr, *hr.shape[:2]), hr, border)


EDGES = [
    ((40, 70, 160), (225, 205, 170)),
    ((90, 90, 90), (170, 170, 170)),
    ((190, 40, 40), (50, 160, 70)),
]


@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0])
@pytest.mark.parametrize("colours", EDGES, ids=["blue and beige", "greys", "red and green"])
@pytest.mark.parametrize("name", ["small", "base"])
def test_edges_ring_less_than_bicubic(
    name: str, colours: tuple[tuple[int, int, int], ...], scale: float
) -> None:
    low, high = np.sort(np.array(colours), 0)
    for degrees in (0, 17, 30, 45, 72, 90):
        hr, lr = benchmark_pair(edge(degrees, *colours), scale)
        ours = upscale(Picture(lr), built(name), height=hr.shape[0], width=hr.shape[1]).samples
        beyond = [
            np.maximum(np.maximum(out - high, low - out), 0)[12:-12, 12:-12]
            for out in (ours.astype(int), bicubic_8bit(lr, *hr.shape[:2]).astype(int))
        ]
        assert beyond[0].max() <= beyond[1].max()
        assert beyond[0].mean() < beyond[1].mean()


def edge(degrees: float, *colours: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A straight edge between two colours through 144x144 pixels, each the mean of 8x8 points."""
    points = (np.arange(144 * 8) + 0.5) / 8 - 70.6
    angle = math.radians(degrees)
    side = math.cos(angle) * points[:, None] < math.sin(angle) * points
    share = side.reshape(144, 8, 144, 8).mean((1, 3))[..., None]
    one, other = (np.array(colour) for colour in colours)
    return np.rint(one + share * (other - one)).astype(np.uint8)


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
