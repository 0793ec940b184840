"""Warps against enlargements, dense supersampling and scenes that are known: pytest tests/rendering/test_warp.py"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import ginr.rendering.warp as module
from ginr.architecture.config import GinrConfig
from ginr.array_types import Doubles
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.errors import GinrError, SizeError
from ginr.geometry.maps import Projective, Table, straightening, turned_frame, turning
from ginr.network.model import Ginr
from ginr.pictures import Picture
from ginr.rendering.upscale import upscale
from ginr.rendering.warp import warp


@pytest.fixture(scope="module")
def small() -> Ginr:
    return load_checkpoint("small").build("cpu")


def _random(height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> Picture:
    shape, peak = (height, width, channels), np.iinfo(dtype).max
    return Picture(np.random.default_rng(0).integers(0, peak, shape, dtype, endpoint=True))


def _smooth(height: int, width: int) -> Picture:
    y, x = np.mgrid[:height, :width] / 6.0
    planes = [np.sin(y + 0.5 * x), np.cos(x), np.sin(y) * np.cos(x)]
    return Picture(np.round(127.5 + 90 * np.stack(planes, -1)).astype(np.uint8))


def _levels(picture: Picture) -> NDArray[np.int64]:
    return picture.samples.astype(np.int64)


@pytest.mark.parametrize(
    ("channels", "dtype"), [(3, np.uint8), (4, np.uint8), (1, np.uint16), (2, np.uint16)]
)
def test_without_a_turn_it_is_upscale(tiny_model: Ginr, channels: int, dtype: type) -> None:
    picture = replace(_random(20, 27, channels, dtype), icc=b"profile", dpi=(72, 72))
    plain = upscale(picture, tiny_model, height=50, width=81, tile=8)
    scaling = turning((20, 27), (20, 27), (50, 81))
    warped = warp(picture, tiny_model, scaling, height=50, width=81, tile=8)
    assert (warped.samples.dtype, warped.samples.shape) == (dtype, (50, 81, channels))
    assert (warped.icc, warped.dpi) == (picture.icc, picture.dpi)
    assert np.abs(_levels(warped) - _levels(plain)).max() <= picture.samples.max() // 255


@pytest.mark.parametrize("quarter", [1, 2, -1])
def test_quarter_turns_are_exact(tiny_model: Ginr, quarter: int) -> None:
    picture, frame = _random(20, 27), turned_frame((20, 27), 90 * quarter)
    size = (frame[0] * 3, frame[1] * 2)
    plain = upscale(
        picture, tiny_model, height=60 - 20 * (quarter % 2), width=54 + 27 * (quarter % 2)
    )
    turn = turning((20, 27), frame, size, degrees=90 * quarter)
    warped = warp(picture, tiny_model, turn, height=size[0], width=size[1])
    assert warped.samples.shape == (*size, 3)
    assert np.abs(_levels(warped) - np.rot90(_levels(plain), quarter)).max() <= 1


def test_half_a_pixel_there_and_back(small: Ginr) -> None:
    picture = _smooth(48, 64)
    for shift in ((0.0, 0.5), (0.0, -0.5)):
        move = turning((48, 64), (48, 64), (48, 64), shift=shift)
        picture = warp(picture, small, move, height=48, width=64)
    assert picture.has_alpha
    inner = np.s_[:, 4:-4]
    assert (picture.samples[inner][..., 3] == 255).all()
    error = _levels(picture)[inner][..., :3] - _levels(_smooth(48, 64))[inner]
    assert np.abs(error).max() <= 3 and np.sqrt((error**2).mean()) < 1


def _averaged(
    field: Callable[[Doubles], Doubles], mapping: Projective, size: tuple[int, int], n: int
) -> Doubles:
    """The plain reference: n x n points of every output pixel, mapped one by one."""
    finer = mapping.matrix @ np.diag([1 / n, 1 / n, 1])
    places, _ = Projective(finer).at((0, 0, size[0] * n, size[1] * n))
    return field(places).reshape(size[0], n, size[1], n, -1).mean((1, 3))


TILTED = [(2.0, 3.0), (20.0, 1.0), (24.0, 23.0), (1.0, 15.0)]


@pytest.mark.parametrize(
    ("mapping", "size"),
    [
        (turning((24, 24), (24, 24), (48, 48)), (48, 48)),
        (turning((24, 24), (34, 34), (68, 68), degrees=30), (68, 68)),
        (turning((24, 24), (34, 34), (68, 68), degrees=45), (68, 68)),
        (turning((24, 24), (34, 34), (16, 16), degrees=30), (16, 16)),
        (turning((24, 24), (34, 34), (17, 90), degrees=45), (17, 90)),
        (straightening(TILTED, (40, 30)), (40, 30)),
        (straightening(TILTED, (12, 9)), (12, 9)),
    ],
)
def test_a_pixel_is_the_mean_over_its_footprint(
    make_model: Callable[[GinrConfig], Ginr],
    tiny_config: GinrConfig,
    mapping: Projective,
    size: tuple[int, int],
) -> None:
    picture = _random(24, 24, dtype=np.uint16)
    config = replace(tiny_config, base="none", bank="window")
    errors = [_error_of_means(make_model(config), picture, mapping, size) for _ in range(4)]
    # 0.14 when upright: the decoder integrates its waves, and not how it blends its codes. Random
    # networks differ, so some are measured together.
    assert np.mean(errors) < 0.19


def _error_of_means(
    model: Ginr, picture: Picture, mapping: Projective, size: tuple[int, int]
) -> float:
    """The error of a warp against finer sampling, as a share of what is to be seen."""
    with torch.no_grad():
        for parameter in model.decoder.footprint[2].parameters():
            parameter.zero_()  # the mean as such, nothing learned on top
        for parameter in model.decoder.head.parameters():
            parameter *= 0.02
        model.decoder.head.bias[::9] += 0.5  # mid-grey, so that nothing is clipped
    with torch.inference_mode():
        field = model.encode(torch.from_numpy(picture.pixels(0, 0, 24, 24))[None])

    @torch.inference_mode()
    def ask(places: Doubles) -> Doubles:
        coords = (torch.from_numpy(places.reshape(1, -1, 2)).float() + 0.5) / 12 - 1
        inside = (coords.abs() <= 1).all(-1, keepdim=True)
        rgb = field.query(coords, torch.zeros(1, 1, 2)) * inside
        return torch.cat([rgb, inside.float()], -1)[0].double().numpy()

    truth = _averaged(ask, mapping, size, 8)
    warped = warp(picture, model, mapping, height=size[0], width=size[1])
    got = np.full((*size, 4), 1.0)
    got[..., : warped.channels] = _levels(warped) / 65535
    whole = truth[..., 3] == 1
    assert whole.sum() > 60 and np.abs(got[..., 3] - truth[..., 3]).max() < 0.2
    error = (got - truth)[whole][:, :3]
    return float(error.std() / truth[whole][:, :3].std())


def _checkerboard(places: Doubles) -> Doubles:
    """Squares of 2.2 pixels, turned by 10 degrees, as levels of 0.1 and 0.9 at places (..., 2)."""
    cos, sin = math.cos(math.radians(10)), math.sin(math.radians(10))
    y, x = np.moveaxis(places @ np.array([[cos, -sin], [sin, cos]]), -1, 0)
    board: Doubles = np.where((np.floor(y / 2.2) + np.floor(x / 2.2)) % 2 == 0, 0.1, 0.9)
    return board


@pytest.mark.parametrize(("shrink", "part"), [(1.0, 0.4), (1.7, 0.2), (4.0, 0.05)])
def test_a_turned_checkerboard_aliases_no_more_than_its_areas_do(
    small: Ginr, shrink: float, part: float
) -> None:
    size, out = (96, 96), (round(96 / shrink), round(96 / shrink))
    level = _averaged(_checkerboard, turning(size, size, size), size, 8)[..., 0]
    picture = Picture(np.round(level * 255).astype(np.uint8)[..., None])
    turn = turning(size, size, out, degrees=25)
    truth = _averaged(_checkerboard, turn, out, 8)[..., 0]
    finest = _averaged(_checkerboard, turn, out, 1)[..., 0]
    warped = warp(picture, small, turn, height=out[0], width=out[1])
    got = _levels(warped)[..., 0] / 255
    edge = math.ceil(0.2 * out[0])
    inner = np.s_[edge:-edge, edge:-edge]
    error, pointwise = (np.sqrt(((v - truth)[inner] ** 2).mean()) for v in (got, finest))
    assert error < part * pointwise and got[inner].std() < 1.1 * truth[inner].std()


def test_corners_are_transparent_in_every_kind_of_picture(tiny_model: Ginr) -> None:
    for channels, with_alpha, dtype in ((1, 2, np.uint8), (3, 4, np.uint16), (4, 4, np.uint16)):
        picture = _random(20, 20, channels, dtype)
        turn = turning((20, 20), (29, 29), (58, 58), degrees=45)
        warped = warp(picture, tiny_model, turn, height=58, width=58)
        assert warped.samples.dtype == dtype and warped.channels == with_alpha
        assert not warped.samples[:10, :10].any()
        alpha = warped.samples[..., -1] / np.iinfo(dtype).max
        if channels < 4:  # the border is blended, the area is that of the square
            assert abs(alpha.sum() - 40**2) < 16 and ((alpha > 0.1) & (alpha < 0.9)).sum() > 60


def test_a_table_is_the_map_it_was_made_of(tiny_model: Ginr) -> None:
    picture = _random(20, 27)
    plane = straightening([(2, 3), (25, -1), (24, 23), (1, 15)], (30, 40))
    places, _ = plane.at((0, 0, 30, 40))
    of_plane, of_table = (
        _levels(warp(picture, tiny_model, mapping, height=30, width=40))
        for mapping in (plane, Table(places[..., ::-1]))
    )
    assert np.abs(of_plane - of_table)[1:-1, 1:-1].mean() < 0.5


def test_blocks_and_tiles_leave_no_seams(tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, turn = _random(72, 80), turning((72, 80), (110, 110), (90, 90), degrees=37)
    monkeypatch.setattr("ginr.rendering.upscale.MARGIN", 72)
    whole = warp(picture, tiny_model, turn, height=90, width=90, tile=80)
    encoded, heard = [], []
    encode = Ginr.encode

    def counted(self: Ginr, *arguments: torch.Tensor, **options: tuple[int, int]) -> object:
        encoded.append(options["origin"])
        return encode(self, *arguments, **options)

    monkeypatch.setattr(Ginr, "encode", counted)
    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "BATCH", 100)
    parts = warp(
        picture, tiny_model, turn, height=90, width=90, tile=16,
        progress=lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    assert np.abs(_levels(parts) - _levels(whole)).max() <= 1
    assert len(encoded) == 25 and heard == sorted(heard) and heard[-1] == (8100, 8100)


def test_a_footprint_may_be_larger_than_a_tile(tiny_model: Ginr) -> None:
    with torch.no_grad():  # nothing is clipped
        for parameter in tiny_model.decoder.head.parameters():
            parameter *= 0.02
    picture, size = _smooth(32, 48), (32, 48)
    warped = warp(picture, tiny_model, turning(size, size, (1, 2)), height=1, width=2, tile=8)
    plain = upscale(picture, tiny_model, height=32, width=48, tile=8)
    means = plain.samples.reshape(32, 2, 24, 3).mean((0, 2))
    np.testing.assert_allclose(warped.samples[0], means, atol=2)


def test_out_of_memory_starts_over_with_smaller_tiles(
    tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, notices, limit = Ginr.encode, [], 32

    def scarce(self: Ginr, pixels: torch.Tensor, **options: tuple[int, int]) -> object:
        if pixels.shape[2] > limit:
            raise MemoryError
        return encode(self, pixels, **options)

    monkeypatch.setattr(Ginr, "encode", scarce)
    monkeypatch.setattr("ginr.rendering.upscale.MARGIN", 8)
    turn = turning((48, 48), (68, 68), (34, 34), degrees=30)
    picture = _random(48, 48)
    done = warp(picture, tiny_model, turn, height=34, width=34, tile=64, notice=notices.append)
    assert done.samples[17].any()
    assert notices[-1] == "out of memory: starting over with tiles of 16 pixels"
    limit = 8
    with pytest.raises(GinrError, match="out of memory with tiles of 8 pixels"):
        warp(picture, tiny_model, turn, height=34, width=34)


def test_nothing_of_the_picture_in_sight(tiny_model: Ginr) -> None:
    away = Table(np.full((5, 6, 2), -1e6, np.float32))
    warped = warp(_random(8, 8), tiny_model, away, height=5, width=6)
    assert warped.samples.shape == (5, 6, 4) and not warped.samples.any()
    with pytest.raises(SizeError, match="0x5: a picture needs"):
        warp(_random(8, 8), tiny_model, away, height=5, width=0)
