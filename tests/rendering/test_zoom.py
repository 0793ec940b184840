"""Zooms: their path, and frames against enlargements and means: pytest tests/rendering/test_zoom.py"""

from itertools import pairwise

import numpy as np
import pytest

import ginr.rendering.zoom as module
from ginr.errors import SizeError
from ginr.network.model import Ginr
from ginr.pictures import Picture
from ginr.pictures.resize import resize
from ginr.rendering.upscale import upscale
from ginr.rendering.zoom import Shot, render_shots, shot_of, zoom_path


def _random(height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> Picture:
    shape, peak = (height, width, channels), np.iinfo(dtype).max
    return Picture(np.random.default_rng(0).integers(0, peak, shape, dtype, endpoint=True))


def _frames(
    picture: Picture, model: Ginr, shots: list[Shot], height: int, width: int
) -> np.ndarray:
    frames = list(render_shots(picture, model, shots, height=height, width=width, tile=8))
    return np.stack(frames).astype(np.int64)


def test_shots_grow_to_the_shape_of_the_film_and_stay_inside() -> None:
    size = (60, 80)
    assert shot_of((10, 20, 40, 60), size, (30, 40)) == Shot(10, 20, 30, 40)
    assert shot_of((10, 20, 40, 60), size, (30, 60)) == Shot(10, 10, 30, 60)
    assert shot_of((0, 0, 10, 10), size, (10, 20)) == Shot(0, 0, 10, 20)
    assert shot_of((0, 0, 60, 80), size, (90, 90)) == Shot(0, 10, 60, 60)
    with pytest.raises(SizeError, match="a view of 4x3 pixels would be enlarged x40 for 160x120"):
        shot_of((10, 20, 13, 24), size, (120, 160))


def test_the_path_is_even_in_scale_eased_and_about_one_point() -> None:
    start, end = Shot(0, 0, 60, 80), Shot(30, 50, 7.5, 10)
    shots = zoom_path(start, end, 9)
    assert len(shots) == 9 and (shots[0], shots[-1]) == (start, end)
    widths = np.array([shot.width for shot in shots])
    factors = widths[:-1] / widths[1:]
    assert widths[4] == pytest.approx(np.sqrt(80 * 10))  # half of the way, half of the factor
    assert factors.argmax() in (3, 4) and factors[0] < 1.2 < factors[3]
    fixed = 50 / (1 - 10 / 80)  # x = left + width u of the first shot and the last
    for shot in shots:
        assert (fixed - shot.left) / shot.width == pytest.approx(fixed / 80)
        assert shot.height / shot.width == pytest.approx(0.75)
    still = zoom_path(start, Shot(0, 8, 60, 80), 3)
    assert still[1] == Shot(0, 4, 60, 80)
    assert zoom_path(end, start, 9)[4].width == pytest.approx(widths[4])


@pytest.mark.parametrize(
    ("channels", "dtype"), [(3, np.uint8), (4, np.uint8), (2, np.uint16), (1, np.uint8)]
)
def test_a_shot_is_that_part_of_an_enlargement(
    tiny_model: Ginr, channels: int, dtype: type
) -> None:
    picture = _random(20, 30, channels, dtype)
    large = upscale(picture, tiny_model, height=60, width=90, tile=8).samples.astype(np.int64)
    (frame,) = _frames(picture, tiny_model, [Shot(7, 9, 10, 15)], 30, 45)
    assert np.abs(frame - large[21:51, 27:72]).max() <= np.iinfo(dtype).max // 255


@pytest.mark.parametrize(("cell", "part"), [(1.0, 0.02), (2.0, 0.02), (4.0, 0.4), (8.0, 0.4)])
def test_nothing_jumps_on_the_way(tiny_model: Ginr, cell: float, part: float) -> None:
    """Where the base widens, the field is gone, and halved pictures take over: for noise, the worst."""
    picture, width = _random(64, 96), int(80 / cell)
    shots = [Shot(8, 8, 8 * c, c * width) for c in (cell * (1 - 1e-5), cell * (1 + 1e-5))]
    before, after = _frames(picture, tiny_model, shots, 8, width)
    assert np.abs(before - after).mean() < part * before.std()


def test_frames_come_in_order_and_each_tile_is_encoded_once(
    tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = _random(24, 40)
    shots = zoom_path(Shot(0, 0, 24, 40), Shot(6, 10, 6, 10), 7)
    encoded, encode, heard = [], Ginr.encode, []

    def counted(self: Ginr, *arguments: object, **options: object) -> object:
        encoded.append(options["origin"])
        return encode(self, *arguments, **options)

    monkeypatch.setattr(Ginr, "encode", counted)
    whole = list(
        render_shots(
            picture, tiny_model, shots, height=24, width=40, tile=8,
            progress=lambda done, total: heard.append((done, total)),
        )
    )  # fmt: skip
    assert len(encoded) == 15 and heard == sorted(heard)
    assert heard[-1] == (7 * 24 * 40, 7 * 24 * 40)
    monkeypatch.setattr(module, "FRAMES", 2 * 24 * 40 * 3)
    parts = list(render_shots(picture, tiny_model, shots, height=24, width=40, tile=8))
    assert len(parts) == 7
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    steps = [np.abs(a.astype(int) - b.astype(int)).mean() for a, b in pairwise(whole)]
    assert min(steps) > 0


def test_the_widened_kernel_is_that_of_resize(tiny_model: Ginr) -> None:
    picture = _random(45, 60)
    (frame,) = _frames(picture, tiny_model, [Shot(0, 0, 45, 60)], 15, 20)
    shrunk = np.floor(resize(picture.samples, 15, 20) + 0.5).clip(0, 255)
    assert np.abs(frame - shrunk).max() <= 1
