"""The attention decoder against a plain loop over its formula, for LPs wherever they are placed.

Run: pytest tests/network/test_attention_decoder.py
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import window_plan
from ginr.architecture.weights import N_BAND, N_KEY
from ginr.network.attention_decoder import CUTOFF, N_PLACE, AttentionDecoder
from ginr.network.field import Field
from ginr.network.model import Ginr

SIZE = (13, 21)
PLACEMENTS: dict[str, dict[str, Any]] = {
    "one per token": {"n_lp": 16, "placement": "equidistant"},
    "one per four tokens": {"n_lp": 4, "placement": "equidistant"},
    "equidistant, no square": {"n_lp": 5, "placement": "equidistant"},
    "middle": {"n_lp": 3, "placement": "middle"},
    "groups": {"n_lp": 6, "placement": "n_group", "group": 2},
    "random": {"n_lp": 4, "placement": "random"},
    "raster": {"n_lp": 4, "placement": "equidistant", "order": "raster"},
    "more LPs than tokens": {"n_lp": 64, "placement": "n_group", "group": 4},
}
each_placement = pytest.mark.parametrize("change", PLACEMENTS.values(), ids=PLACEMENTS)


@pytest.fixture
def make(tiny_config: GinrConfig) -> Callable[..., Ginr]:
    def model(change: dict[str, Any]) -> Ginr:
        every = {"decoder": "attention", "base": "none", "n_lp": 4, "placement": "equidistant"}
        model = Ginr(dataclasses.replace(tiny_config, **every | change)).eval()
        with torch.no_grad():
            model.lps.normal_()
            for layer in model.decoder.out:
                layer.weight.mul_(20)
        return model

    return model


def anchors(config: GinrConfig, features: Tensor) -> tuple[Tensor, Tensor]:
    """Where every LP of one picture stands (n, 2), in LR pixels, and its features (n, D)."""
    window = window_plan(config)
    if window.lp_side:
        pitch = config.window / window.lp_side
        y, x = torch.meshgrid(*(torch.arange(n) for n in features.shape[1:3]), indexing="ij")
        return (torch.stack([y, x], -1).flatten(0, 1) + 0.5) * pitch - 0.5, features[0].flatten(
            0, 1
        )
    own = (torch.as_tensor(window.anchors) + 0.5) * config.patch - 0.5
    corners = [
        torch.tensor([i, j]) * config.window
        for i in range(features.shape[1])
        for j in range(features.shape[2])
    ]
    return torch.cat([own + corner for corner in corners]), features[0].flatten(0, 2)


def plain(config: GinrConfig, field: Field, place: Tensor, cell: Tensor) -> Tensor:
    """The formula at one place (2,) for a pixel of a cell (2,), in LR pixels: rgb (3,)."""
    decoder = field.decoder
    assert isinstance(decoder, AttentionDecoder)
    where, features = anchors(config, field.features)
    keys = decoder.key(features).unflatten(-1, (N_BAND, N_KEY))
    values = decoder.value(features).unflatten(-1, (2, N_BAND, -1))
    side = decoder.around.side
    # From the middle of the nearest cell; a lattice's cells start at its LPs' corners.
    offset = place - ((((place + 0.5) / side).floor() + 0.5) * side - 0.5)
    turns = [offset[k] * 2 * math.pi * n / side for n in range(1, N_PLACE + 1) for k in (0, 1)]
    features_of_place = torch.stack(
        [torch.ones(()).double(), *(t.cos() for t in turns), *(t.sin() for t in turns)]
    )
    distance = (place - where).square().sum(-1) / decoder.around.radius**2
    rgb, hidden = decoder.bias.clone(), None
    for level in range(N_BAND):
        scores = keys[:, level] @ features_of_place - decoder.slope[level].exp() * distance
        scores = scores + 2 * (1 - distance).clamp_min(CUTOFF).log()
        weights = torch.where(distance < 1, scores, -math.inf).softmax(0)
        phase = (place - where) @ decoder.waves[level].t()  # (n, J)
        waves = values[:, 0, level] * phase.cos() + values[:, 1, level] * phase.sin()
        gain = torch.sinc(cell * decoder.waves[level] / (2 * math.pi)).prod(-1)
        waves = (weights[:, None] * waves).sum(0) * gain
        new = decoder.band[level](waves)
        hidden = F.gelu(new if hidden is None else new + decoder.carry[level - 1](hidden))
        rgb = rgb + decoder.colour[level](waves) + gain.mean() * decoder.out[level](hidden)
    return rgb


@each_placement
@torch.no_grad()
def test_queries_follow_the_formula(make: Callable[..., Ginr], change: dict[str, Any]) -> None:
    model = make(change).double()
    field = model.encode(torch.rand(1, 3, *SIZE).double())
    places = torch.rand(40, 2).double() * torch.tensor(SIZE) - 0.5
    cells = torch.rand(40, 2).double() + 0.1
    size = torch.tensor(SIZE)
    answers = field.query(((places + 0.5) / size * 2 - 1)[None], (cells / size * 2)[None])[0]
    assert answers.std() > 0.05
    for place, cell, answer in zip(places, cells, answers, strict=True):
        torch.testing.assert_close(
            answer, plain(model.config, field, place, cell), rtol=0, atol=1e-9
        )


def test_lps_of_absent_windows_are_not_looked_for(make: Callable[..., Ginr]) -> None:
    around = make(PLACEMENTS["middle"]).decoder.around
    assert len(around.within(1, 1).number) == 3  # those of the only window
    assert len(around.within(9, 9).number) == len(around.number) > 3


@each_placement
@torch.no_grad()
def test_a_render_is_its_queries_and_a_box_its_crop(
    make: Callable[..., Ginr], change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ginr.network.attention_decoder.BLOCK", (7, 20))
    field = make(change).encode(torch.rand(2, 3, *SIZE))
    picture = field.render((30, 45))
    y, x = torch.meshgrid(*((2 * torch.arange(n) + 1) / n - 1 for n in (30, 45)), indexing="ij")
    coords = torch.stack([y, x], -1).flatten(0, 1).expand(2, -1, 2)
    asked = field.query(coords, torch.tensor([2 / 30, 2 / 45]).expand(2, 1, 2))
    asked = asked.transpose(1, 2).unflatten(2, (30, 45))
    torch.testing.assert_close(picture, asked, rtol=0, atol=2e-4)
    part = field.render((30, 45), (3, 11, 20, 45))
    torch.testing.assert_close(part, picture[:, :, 3:20, 11:45], rtol=0, atol=1e-5)


@each_placement
def test_every_placement_can_be_trained(make: Callable[..., Ginr], change: dict[str, Any]) -> None:
    model = make(change)
    pixels, coords = torch.rand(2, 3, 16, 8), torch.rand(2, 50, 2) * 2 - 1
    model(pixels, coords, torch.full((2, 1, 2), 0.1)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert model.lps.grad.abs().amax(1).gt(0).all()


@each_placement
@torch.no_grad()
def test_nothing_jumps_at_borders(make: Callable[..., Ginr], change: dict[str, Any]) -> None:
    """Two places on either side of the border of a window, or of a cell, are alike."""
    field = make(change).double().encode(torch.rand(1, 3, 24, 24).double())
    y, line = torch.linspace(-0.9, 0.9, 50).double(), torch.arange(1, 6).double() / 3 - 1
    for across in line:  # every border of 4 pixels, those of windows among them
        for near, far in ((1e-7, 2e-7), (0.01, 0.02)):
            left, right, step = (
                field.query(
                    torch.stack([y, torch.full_like(y, float(across + shift))], -1)[None],
                    torch.full((1, 1, 2), 0.01).double(),
                )
                for shift in (-near, near, far + near)
            )
            jump, slope = (left - right).abs().max(), (step - right).abs().max()
            assert jump < 12 * slope + 1e-9  # no more than the field changes over that distance


@torch.no_grad()
def test_a_large_footprint_leaves_little_but_the_mean(make: Callable[..., Ginr]) -> None:
    fields = [make({}).encode(torch.rand(1, 3, 32, 32)) for _ in range(16)]
    fine, coarse = (sum(f.render(size).std() for f in fields) for size in ((64, 64), (4, 4)))
    assert coarse < 0.6 * fine  # of random networks together, since single ones differ much


@torch.no_grad()
def test_a_tile_answers_in_the_coordinates_of_its_picture(make: Callable[..., Ginr]) -> None:
    model = make({})
    part = torch.rand(1, 3, 16, 16)
    alone = model.encode(part).render((16, 16))
    placed = model.encode(part, origin=(8, 24), size=(40, 64)).render((40, 64), (8, 24, 24, 40))
    torch.testing.assert_close(placed, alone, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_base_is_added(make: Callable[..., Ginr]) -> None:
    field = make({"base": "bicubic"}).encode(torch.rand(1, 3, *SIZE))
    bare = dataclasses.replace(field, base=None)
    assert field.base is not None
    torch.testing.assert_close(field.render(SIZE) - bare.render(SIZE), field.base)
