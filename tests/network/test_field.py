"""All ways to evaluate a field agree, at any scale and in any part of the picture.

Run: pytest tests/network/test_field.py
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.errors import SizeError
from ginr.geometry.coords import pixel_centres, to_lattice
from ginr.geometry.size import Box
from ginr.network import lattice_decoder as decoder
from ginr.network.compiled_decoder import read_codes_compiled
from ginr.network.field import Field, bicubic_at, bicubic_at_plain, bicubic_grid
from ginr.network.lattice_decoder import LatticeDecoder, read_codes
from ginr.network.model import Ginr
from ginr.pictures.resize import resize
from ginr.pictures.samples import quantize

from .support import pixel_cell, pixel_grid

LR = (13, 21)
SIZES = {
    "x1": LR,
    "x1.7": (22, 36),
    "x3.7": (48, 78),
    "x4": (52, 84),
    "x2 by x3": (26, 63),
    "x0.5": (6, 10),
    "x12": (156, 252),
}


@pytest.fixture
def field(tiny_model: Ginr) -> Field:
    with torch.no_grad():
        return tiny_model.encode(torch.rand(2, 3, *LR))


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item())
    )


def centres(size: tuple[int, int], lr: tuple[int, int]) -> list[Tensor]:
    """Rows and columns of a render of `size`, in LR pixels."""
    return [
        torch.from_numpy(to_lattice(pixel_centres(n), m)) for n, m in zip(size, lr, strict=True)
    ]


@torch.no_grad()
def fused(field: Field, size: tuple[int, int], box: Box | None = None) -> Tensor:
    return field.render(size, box)


def plain(field: Field, size: tuple[int, int], box: Box | None = None) -> Tensor:
    """A render with gradients, which plain torch computes."""
    learning = dataclasses.replace(field, features=field.features.detach().requires_grad_())
    picture = learning.render(size, box)
    assert picture.requires_grad
    return picture.detach()


@torch.no_grad()
def asked(field: Field, size: tuple[int, int]) -> Tensor:
    """The same picture, by one query per pixel."""
    n_batch = field.features.shape[0]
    coords = pixel_grid(*size).expand(n_batch, -1, -1)
    rgb = field.query(coords, pixel_cell(*size).expand_as(coords))
    return rgb.transpose(1, 2).unflatten(2, size)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_fused_and_plain_renders_and_queries_agree(field: Field, size: tuple[int, int]) -> None:
    picture = fused(field, size)
    assert picture.shape == (2, 3, *size)
    assert picture.std() > 0.3  # includes the field, not only its base
    close(plain(field, size), picture)
    close(asked(field, size), picture)


@pytest.mark.parametrize(
    ("change", "pitch"),
    [
        ({"patch": 1, "n_lp": 16, "placement": "equidistant"}, 1.0),  # 2x2 codes per LP
        ({"patch": 2, "n_lp": 1, "placement": "middle"}, 1.0),  # 8x8 codes per LP
        ({"patch": 1, "n_lp": 256, "placement": "n_group"}, 0.5),  # codes finer than LR
    ],
)
def test_other_pitches_agree_too(
    make_model: Callable[[GinrConfig], Ginr],
    tiny_config: GinrConfig,
    change: dict[str, Any],
    pitch: float,
) -> None:
    model = make_model(dataclasses.replace(tiny_config, **change))
    assert model.decoder.pitch == pitch
    with torch.no_grad():
        field = model.encode(torch.rand(2, 3, *LR))
    for size in SIZES.values():
        close(plain(field, size), fused(field, size))
        close(asked(field, size), fused(field, size))


def test_the_field_adds_something_to_its_base(field: Field) -> None:
    assert field.base is not None
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in LR)
    assert (fused(field, LR) - bicubic_grid(field.base, rows, columns)).std() > 0.1


def test_without_a_base(field: Field) -> None:
    bare = dataclasses.replace(field, base=None)
    size = SIZES["x3.7"]
    assert field.base is not None
    rows, columns = centres(size, LR)
    close(fused(bare, size) + bicubic_grid(field.base, rows, columns), fused(field, size))
    close(plain(bare, size), fused(bare, size))
    close(asked(bare, size), fused(bare, size))


def test_one_cell_for_all_places_is_the_same_as_one_each(field: Field) -> None:
    coords, cells = torch.rand(2, 50, 2) * 2 - 1, torch.rand(2, 1, 2) * 0.1
    with torch.no_grad():
        close(field.query(coords, cells), field.query(coords, cells.expand(-1, 50, -1)))


@pytest.mark.parametrize("render", [fused, plain], ids=["fused", "plain"])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (5, 9, 40, 61), (47, 77, 48, 78), (0, 30, 48, 78)])
def test_a_box_is_a_crop(field: Field, box: Box, render: type) -> None:
    top, left, bottom, right = box
    whole = render(field, SIZES["x3.7"])
    part = render(field, SIZES["x3.7"], box)
    if render is fused:
        assert torch.equal(part, whole[:, :, top:bottom, left:right])
    close(part, whole[:, :, top:bottom, left:right])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
def test_finished_samples_are_the_rounded_render(
    field: Field, kind: type[np.unsignedinteger[Any]], channels: int
) -> None:
    assert field.base is not None
    one = dataclasses.replace(field, features=field.features[:1], base=field.base[:1])
    for size, box in ((SIZES["x3.7"], (5, 9, 40, 61)), (SIZES["x1"], (0, 0, *LR))):
        planes = fused(one, size, box)[0].numpy()
        assert planes.min() < 0  # some are clipped
        assert planes.max() > 1
        expected = quantize(planes, 8 * np.dtype(kind).itemsize, False)
        out = np.full((*expected.shape[:2], channels), 7, kind)
        assert one.begin_render(size, box, out)() is out
        np.testing.assert_array_equal(out[..., :3], expected)
        assert (out[..., 3:] == 7).all()


@pytest.mark.parametrize("part", [1, 5000])  # one row, several rows
def test_many_rows_are_rendered_in_parts(
    field: Field, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(decoder, "PART", part)
    close(plain(field, (150, 20)), fused(field, (150, 20)))


@pytest.mark.parametrize("tile", [(0, 0, 6, 9), (3, 5, 13, 21), (2, 4, 11, 16)])
def test_a_tile_answers_like_the_whole(tiny_model: Ginr, field: Field, tile: Box) -> None:
    top, left, bottom, right = tile
    assert field.features.shape[1:3] == LR  # one LP per LR pixel
    assert field.base is not None
    part = Field(
        field.features[:, top:bottom, left:right],
        field.base[:, :, top:bottom, left:right],
        LR,
        (top, left),
        tiny_model.decoder,
    )
    # Two LR pixels from an edge inside the picture, the tile has all it needs.
    inner = (
        top + 2 * (top > 0),
        left + 2 * (left > 0),
        bottom - 2 * (bottom < LR[0]),
        right - 2 * (right < LR[1]),
    )
    box = tuple(4 * n for n in inner)
    size = SIZES["x4"]
    close(fused(part, size, box), fused(field, size, box))  # type: ignore[arg-type]
    coords = pixel_grid(*size).reshape(*size, 2)[box[0] : box[2], box[1] : box[3]].flatten(0, 1)
    coords, cells = coords.expand(2, -1, -1), pixel_cell(*size).expand(2, 1, 2)
    with torch.no_grad():
        close(part.query(coords, cells), field.query(coords, cells))


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((0, 5), None),
        ((5, -1), None),
        ((5, 5), (0, 0, 0, 5)),
        ((5, 5), (2, 3, 2, 4)),
        ((5, 5), (3, 0, 2, 5)),
        ((5, 5), (0, 0, 6, 5)),
        ((5, 5), (0, 0, 5, 6)),
        ((5, 5), (-1, 0, 5, 5)),
        ((5, 5), (0, -2, 5, 5)),
    ],
)
def test_empty_and_outside_boxes_are_refused(
    field: Field, size: tuple[int, int], box: Box | None
) -> None:
    with pytest.raises(SizeError) as caught:
        field.render(size, box)
    assert "\n" not in str(caught.value)
    assert all(str(n) in str(caught.value) for n in (*size, *(box or ())))


@pytest.mark.parametrize("lr", [(8, 8), (1, 1), (1, 6), (2, 3), (13, 21)], ids=str)
@pytest.mark.parametrize("scale", [(2, 2), (3.7, 3.7), (1.3, 2.9), (1, 4)], ids=str)
def test_the_base_is_the_bicubic_of_matlab(lr: tuple[int, int], scale: tuple[float, float]) -> None:
    base = torch.rand(1, 3, *lr)
    height, width = (math.ceil(n * s) for n, s in zip(lr, scale, strict=True))
    expected = resize(base[0].permute(1, 2, 0).numpy(), height, width)
    rows, columns = centres((height, width), lr)
    actual = bicubic_grid(base, rows, columns)[0].permute(1, 2, 0)
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-6)
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)
    at = bicubic_at(base, places[None].float())[0].reshape(height, width, 3)
    np.testing.assert_allclose(at.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("lr", [(1, 1), (1, 6), (5, 2), (13, 21)], ids=str)
def test_the_base_anywhere_equals_its_plain_form(lr: tuple[int, int], dtype: torch.dtype) -> None:
    base = torch.rand(2, 3, *lr)
    places = torch.rand(2, 200, 2, dtype=dtype) * 60 - 20  # including far outside
    places[:, :3] = torch.tensor([0.0, -0.5, lr[0] - 0.5], dtype=dtype)[:, None]
    close(bicubic_at(base, places), bicubic_at_plain(base, places))
    values, by_place = torch.ones(2, 200, 3), places.clone().requires_grad_()
    (bicubic_at(base, by_place) * values).sum().backward()  # with gradients, the plain form runs
    assert by_place.grad is not None and by_place.grad.isfinite().all()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_silent_network_renders_its_base(tiny_model: Ginr, size: tuple[int, int]) -> None:
    with torch.no_grad():
        tiny_model.decoder.head.weight.zero_()
        tiny_model.decoder.head.bias.zero_()
        pixels = torch.rand(1, 3, *LR)
        field = tiny_model.encode(pixels)
    rows, columns = centres(size, LR)
    expected = bicubic_grid(pixels, rows, columns)
    for picture in (fused(field, size), plain(field, size), asked(field, size)):
        close(picture, expected)


@pytest.mark.parametrize("n_gain", [1, 40])
@pytest.mark.parametrize("n_wave", [1, 3, 16])
@pytest.mark.parametrize(("size", "pitch"), [((3, 4), 1.0), ((1, 1), 1.0), ((6, 5), 0.5)], ids=str)
def test_reading_codes_equals_its_plain_form(
    size: tuple[int, int], pitch: float, n_wave: int, n_gain: int
) -> None:
    places = torch.rand(2, 40, 2) * 8 - 2  # some outside
    places[:, :3] = torch.tensor([0.0, -0.5, 2.5])[:, None]
    case = [
        torch.randn(2, *size, 3, 1 + 2 * n_wave),
        torch.randn(2, n_gain, 1 + n_wave),
        torch.randn(n_wave, 2),
    ]
    answers = []
    for read in (read_codes_compiled, read_codes):
        codes, gain, waves = inputs = [v.clone().requires_grad_() for v in case]
        rgb = read(codes, places, pitch, gain, waves)
        weighting = torch.randn(rgb.shape, generator=torch.Generator().manual_seed(1))
        (rgb * weighting).sum().backward()
        answers.append([rgb.detach(), *(v.grad for v in inputs)])
    for ours, expected in zip(*answers, strict=True):
        close(ours, expected)


@pytest.mark.parametrize("cell", [(1.0, 1.0), (0.27, 0.27), (0.5, 0.9), (2.0, 3.0)])
def test_a_footprint_is_averaged_over(tiny_model: Ginr, cell: tuple[float, float]) -> None:
    decoder = tiny_model.decoder
    assert isinstance(decoder, LatticeDecoder)
    with torch.no_grad():
        for parameter in decoder.footprint.parameters():
            parameter.zero_()  # no learned correction
        gain = decoder.gain(torch.tensor(cell))
        n = 400
        y, x = (((torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5) * c for c in cell)
        phase = y[:, None, None] * decoder.waves[:, 0] + x[None, :, None] * decoder.waves[:, 1]
    assert gain[0] == 1
    close(gain[1:].double(), phase.cos().mean((0, 1)))


def test_no_footprint_is_smaller_than_those_of_training(tiny_model: Ginr) -> None:
    gain = tiny_model.decoder.gain  # trained up to x4
    with torch.no_grad():
        finer, finest = (
            gain(torch.tensor([[0.1, 0.5], [0.0, 1e-4]])),
            gain(torch.tensor([0.25, 0.5])),
        )
        close(finer[0], finest)
        close(finer[1], gain(torch.tensor([0.25, 0.25])))
        assert not torch.allclose(finest, gain(torch.tensor([0.26, 0.5])))


def test_gradients_of_a_render_reach_every_part(tiny_model: Ginr) -> None:
    pixels = torch.rand(1, 3, 8, 8)
    tiny_model.encode(pixels).render((20, 26)).square().mean().backward()
    decoder = tiny_model.decoder
    for parameter in (tiny_model.lps, decoder.waves, decoder.head.weight, *decoder.footprint.parameters()):  # fmt: skip
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


def test_the_slope_of_a_field(tiny_model: Ginr) -> None:
    with torch.no_grad():
        features = tiny_model.double().encode(torch.rand(1, 3, 8, 8, dtype=torch.float64)).features
    field = Field(features, None, (8, 8), (0, 0), tiny_model.decoder)
    coords = (torch.rand(1, 9, 2, dtype=torch.float64) * 2 - 1).requires_grad_()
    cells = torch.full((1, 1, 2), 0.1, dtype=torch.float64)
    (slope,) = torch.autograd.grad(field.query(coords, cells).sum(), coords)
    step = torch.tensor([0.0, 1e-6], dtype=torch.float64)
    with torch.no_grad():
        rise = field.query(coords + step, cells) - field.query(coords - step, cells)
    close(slope[..., 1], rise.sum(-1) / 2e-6)
    # In float32, in which a kernel computes values without gradients.
    single = dataclasses.replace(
        field, features=features.float(), decoder=tiny_model.float().decoder
    )
    (rounded,) = torch.autograd.grad(single.query(coords.float(), cells.float()).sum(), coords)
    torch.testing.assert_close(rounded, slope, rtol=0, atol=1e-3 * slope.abs().max().item())


def test_gradients_of_render_and_query_agree(tiny_model: Ginr) -> None:
    pixels, size = torch.rand(1, 3, 8, 8), (11, 19)
    field = tiny_model.encode(pixels)
    weighting = torch.randn(3, *size)
    names, parameters = zip(*tiny_model.decoder.named_parameters(), strict=True)
    rendered = (field.render(size)[0] * weighting).sum()
    rgb = field.query(pixel_grid(*size)[None], pixel_cell(*size)[None, None])[0]
    queried = (rgb.t().reshape(3, *size) * weighting).sum()
    one = torch.autograd.grad(rendered, parameters, retain_graph=True)
    two = torch.autograd.grad(queried, parameters)
    for name, a, b in zip(names, one, two, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * b.abs().max().item(), msg=name)
