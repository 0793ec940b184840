"""A field that is looked at renders what `upscale` does: pytest tests/rendering/test_live_field.py"""

from collections.abc import Callable

import numpy as np
import pytest

import ginr.rendering.live_field as module
from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import load_cpu_network
from ginr.geometry.size import Box
from ginr.network.model import Ginr
from ginr.pictures import Picture
from ginr.rendering.live_field import LivePicture, LiveSavedField
from ginr.rendering.picture_field import encode_picture
from ginr.rendering.upscale import Tiles, upscale


@pytest.fixture(autouse=True)
def _small_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIDE", 32)


def random_picture(channels: int = 3, kind: type = np.uint8) -> Picture:
    peak = np.iinfo(kind).max
    samples = np.random.default_rng(0).integers(peak, size=(70, 90, channels), dtype=kind)
    return Picture(samples)


def apart(one: np.ndarray, two: np.ndarray) -> int:
    """The largest difference; that of colours less, the more transparent they are."""
    assert one.dtype == two.dtype and one.shape == two.shape
    differences = np.abs(one.astype(int) - two)
    if one.shape[2] in (2, 4):
        differences[..., :-1] = differences[..., :-1] * one[..., -1:] // np.iinfo(one.dtype).max
    return int(differences.max())


@pytest.mark.parametrize(
    ("channels", "kind"), [(1, np.uint8), (2, np.uint8), (3, np.uint16), (4, np.uint8)]
)
def test_a_box_is_that_of_an_enlargement(tiny_model: Ginr, channels: int, kind: type) -> None:
    picture, out, box = random_picture(channels, kind), (259, 333), (101, 37, 240, 300)
    live = LivePicture(picture, tiny_model, most_bytes=2**30)
    expected = upscale(picture, tiny_model, height=259, width=333, box=box, tile=32).samples
    assert apart(live.render(out, box), expected) <= (1 if kind is np.uint8 else 257)


def test_a_box_of_the_shipped_network_is_that_of_an_enlargement() -> None:
    ramp = np.add.outer(np.arange(70) * 2, np.arange(90))[..., None] + [0, 20, 50]
    picture, model = Picture(ramp.astype(np.uint8)), load_cpu_network("small")
    live = LivePicture(picture, model, most_bytes=2**30)
    for out, box in {(133, 171): (0, 0, 133, 171), (2100, 2700): (900, 900, 1000, 1100)}.items():
        expected = upscale(picture, model, height=out[0], width=out[1], box=box).samples
        assert apart(live.render(out, box), expected) <= 1


@pytest.mark.parametrize(
    "change", [{}, {"decoder": "attention", "n_lp": 4, "placement": "equidistant"}]
)
def test_what_is_cut_off_around_a_core_is_not_read(
    make_model: Callable[[GinrConfig], Ginr], tiny_config: GinrConfig, change: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import dataclasses

    model = make_model(dataclasses.replace(tiny_config, **change))
    model.consistent = "decoder" not in change
    renders = []
    for reach in (module.REACH, 10_000):
        monkeypatch.setattr(module, "REACH", reach)
        live = LivePicture(random_picture(), model, most_bytes=2**30)
        renders.append(live.render((210, 270), (0, 0, 210, 270)))
    assert np.array_equal(*renders)


def test_a_saved_field_is_rendered_box_by_box(tiny_model: Ginr) -> None:
    saved = encode_picture(random_picture(), tiny_model)
    live, box = LiveSavedField(saved, tiny_model), (50, 60, 170, 190)
    whole = saved.render(tiny_model, height=175, width=225).samples
    assert live.missing((175, 225), box) == []
    assert apart(live.render((175, 225), box), whole[50:170, 60:190]) <= 1


def test_each_core_is_encoded_once_and_only_those_needed(
    tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, encode = list[Box](), Tiles.encode
    monkeypatch.setattr(Tiles, "encode", lambda t, core: (encoded.append(core), encode(t, core))[1])
    live = LivePicture(random_picture(), tiny_model, most_bytes=2**30)
    out, box = (140, 180), (0, 0, 70, 70)  # LR rows and columns 0 to 34
    assert live.missing(out, box) == [
        (0, 0, 32, 32),
        (0, 32, 32, 64),
        (32, 0, 64, 32),
        (32, 32, 64, 64),
    ]
    for _ in range(2):
        live.render(out, box)
    assert sorted(encoded) == sorted({*encoded}) and len(encoded) == 4
    assert live.missing(out, box) == []
    rest = []
    while (core := live.next_missing((1.0, 1.0))) is not None:
        rest.append(core)
        live.encode(core)
    assert rest[0] == (64, 64, 70, 90) and live.n_encoded == len(live.cores) == 9


def test_what_was_seen_longest_ago_makes_room(tiny_model: Ginr) -> None:
    live = LivePicture(random_picture(), tiny_model, most_bytes=2**30)
    first, second, *_ = live.cores
    live.encode(first)
    live._most = int(1.5 * live._n_bytes)
    assert live.next_missing((0.5, 0.5)) is None  # it would displace the first one
    live.encode(second)
    assert live.n_encoded == 1 and live._n_bytes <= live._most
    assert live.missing((70, 90), (0, 0, 32, 32)) == [first]
    expected = upscale(random_picture(), tiny_model, height=140, width=180, tile=32).samples
    assert apart(live.render((140, 180), (0, 0, 140, 180)), expected) <= 1
