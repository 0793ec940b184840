"""The LPs of one token of a picture: pytest tests/lps/test_spot.py"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import load_cpu_network
from ginr.errors import GinrError
from ginr.lps.measures import similarity
from ginr.lps.spot import MAGNIFICATION, spot
from ginr.network.model import Ginr
from ginr.pictures import Picture
from ginr.rendering.live_field import LivePicture


def picture(height: int = 50, width: int = 70) -> Picture:
    samples = np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)
    return Picture(samples)


@pytest.mark.parametrize("place", [(21, 33), (0, 0), (49, 69), (15, 16)])
def test_each_token_changes_its_surroundings(place: tuple[int, int]) -> None:
    live = LivePicture(picture(), load_cpu_network("small"), most_bytes=2**30)
    field, box = live.around(place)
    found = spot(field, box, live.config, place)
    assert box[0] <= place[0] < box[2] <= 50 and box[1] <= place[1] < box[3] <= 70
    assert (found.places // 2 == np.array(place) // 2).all() and len(found.places) == 4
    assert np.allclose(np.diag(found.alike), 1) and np.allclose(found.alike, found.alike.T)
    rows, columns = (MAGNIFICATION * (box[k + 2] - box[k]) for k in (0, 1))
    assert found.changes.shape == (4, rows, columns)
    for (y, x), change in zip(found.places, found.changes, strict=True):
        row, column = np.unravel_index(change.argmax(), change.shape)
        peak = box[0] + row / MAGNIFICATION, box[1] + column / MAGNIFICATION
        assert np.hypot(peak[0] - y, peak[1] - x) < 3  # strongest near the LP itself


def test_it_is_what_the_whole_field_says(tiny_model: Ginr) -> None:
    live = LivePicture(picture(), tiny_model, most_bytes=2**30)
    place = (20, 30)
    field, box = live.around(place)
    found = spot(field, box, live.config, place)
    whole = tiny_model.encode_planes(
        [live._tiles.picture.pixels(0, 0, 50, 70)], origin=(0, 0), size=(50, 70)
    )
    rows, columns = found.places.astype(int).T  # an LP per pixel
    vectors = whole.features[0, rows, columns].float()
    assert np.allclose(found.alike, similarity(vectors).numpy(), atol=0.01)


def test_a_network_without_a_lattice_is_refused(
    make_model: Callable[[GinrConfig], Ginr], tiny_config: GinrConfig
) -> None:
    config = dataclasses.replace(tiny_config, decoder="attention", n_lp=3, placement="middle")
    live = LivePicture(picture(), make_model(config), most_bytes=2**30)
    with pytest.raises(GinrError, match="do not stand on a lattice"):
        spot(live.part(live.cores[0]), (0, 0, 9, 9), config, (4, 4))
