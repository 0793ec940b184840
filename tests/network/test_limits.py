"""Limits keep flat areas flat and grey areas grey: pytest tests/network/test_limits.py"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.architecture.limits import (
    ABOUT,
    ACTIVE,
    ALMOST,
    COLOUR,
    FLAT,
    FREE,
    LEVEL,
    STRIP,
    find_limits,
)
from ginr.network.field import Field
from ginr.network.limits import limit_at, limit_at_plain, limit_grid
from ginr.network.model import Ginr


def drawn(height: int, width: int, n_batch: int = 2) -> Tensor:
    """Blocks of 8-bit colours, some grey, some with a little noise, and texture."""
    random = np.random.default_rng(height * 100 + width)
    levels = random.integers(0, 256, (n_batch, 3, height // 5 + 1, width // 7 + 1))
    levels[:, :, :, :3] = levels[:, :1, :, :3]
    pixels = levels.repeat(5, 2).repeat(7, 3)[:, :, :height, :width].astype(np.float32)
    noisy = random.random((n_batch, 1, height, width)) < 0.1
    pixels += noisy * random.integers(-3, 4, noisy.shape)
    pixels[:, :, :, width // 2 :] += random.integers(-40, 40, (height, width - width // 2))
    return torch.from_numpy(pixels.clip(0, 255) / np.float32(255))


def most(pixels: Tensor, side: int) -> Tensor:
    return F.max_pool2d(pixels, side, 1, side // 2)


def least(pixels: Tensor, side: int) -> Tensor:
    return -most(-pixels, side)


def limits_by_pooling(pixels: Tensor) -> Tensor:
    """`find_limits` by torch's own sliding maximum."""
    low, high = least(pixels, 5), most(pixels, 5)
    flat = (most(pixels, 3) - least(pixels, 3)).amax(1, keepdim=True) < FLAT
    ground_low = least(pixels.masked_fill(~flat, FREE), 7)
    ground_high = most(pixels.masked_fill(~flat, -FREE), 7)
    about, slack = ABOUT * (high - low) + ALMOST, (high - low).clamp(max=LEVEL)
    is_low, is_high = ground_low <= low + about, ground_high >= high - about
    tint = most(pixels.amax(1, keepdim=True) - pixels.amin(1, keepdim=True), 5)
    colour = (tint / (2 * LEVEL)).clamp(max=1)
    active = (is_low | is_high).any(1, keepdim=True) | (colour < 1)
    low = torch.where(is_low, low - slack, low - FREE)
    high = torch.where(is_high, high + slack, high + FREE)
    return torch.cat([low, high, colour, active.to(colour)], 1)


@pytest.mark.parametrize(
    "size",
    [(1, 1), (1, 9), (9, 1), (2, 3), (3, 5), (7, 7), (40, 61), (STRIP + 3, 9), (3 * STRIP, 20)],
    ids=str,
)
def test_limits_of_arrays_and_of_tensors_are_those_by_pooling(size: tuple[int, int]) -> None:
    for pixels in (drawn(*size), torch.rand(2, 3, *size)):
        expected = limits_by_pooling(pixels)
        assert expected.shape == (2, 8, *size)
        assert torch.equal(find_limits(pixels), expected)
        found = find_limits(pixels.numpy())
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


def test_both_kinds_of_places_are_in_the_example() -> None:
    limits = find_limits(drawn(40, 61))
    for part in (limits[:, ACTIVE], limits[:, COLOUR]):
        assert 0.05 < part.mean() < 0.95


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (40, 61)], ids=str)
def test_queries_equal_their_plain_form_and_the_grid(size: tuple[int, int]) -> None:
    limits = find_limits(drawn(*size))
    rows, columns = torch.linspace(-1, size[0], 50), torch.linspace(-2, size[1] + 1, 70)
    rgb = torch.randn(2, 3, 50, 70)
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)
    asked, places = rgb.flatten(2).transpose(1, 2), places.expand(2, -1, -1)
    plain = limit_at_plain(asked, limits, places)
    torch.testing.assert_close(limit_at(asked, limits, places), plain, rtol=0, atol=1e-5)
    grid = limit_grid(rgb, limits, rows, columns).flatten(2).transpose(1, 2)
    torch.testing.assert_close(grid, plain, rtol=0, atol=1e-5)
    assert size == (1, 1) or not torch.equal(plain, asked)


def test_an_edge_of_flat_ground_is_limited_on_both_sides() -> None:
    pixels = torch.full((1, 3, 9, 12), 200 * LEVEL)
    pixels[..., :6] = 50 * LEVEL
    limits = find_limits(pixels)
    assert (limits[:, ACTIVE] == 1).all() and (limits[:, COLOUR] == 0).all()
    for column, low, high in ((1, 50, 50), (5, 49, 201), (6, 49, 201), (10, 200, 200)):
        torch.testing.assert_close(limits[0, :3, 4, column] / LEVEL, torch.full((3,), float(low)))
        torch.testing.assert_close(limits[0, 3:6, 4, column] / LEVEL, torch.full((3,), float(high)))


def test_a_thin_line_may_become_darker_than_lr_has_it() -> None:
    pixels = torch.full((1, 3, 11, 11), 1.0)
    pixels[..., 5] = 0.5
    limits = find_limits(pixels)
    torch.testing.assert_close(limits[0, :3, 5, 5], torch.full((3,), 0.5 - FREE))
    torch.testing.assert_close(limits[0, 3:6, 5, 5], torch.full((3,), 1 + LEVEL))


def test_texture_is_free() -> None:
    limits = find_limits(torch.rand(1, 3, 20, 20))
    assert (limits[:, ACTIVE] == 0).all()
    rgb = torch.randn(1, 3, 7, 9)
    rows, columns = torch.linspace(0, 19, 7), torch.linspace(0, 19, 9)
    torch.testing.assert_close(
        limit_grid(rgb.clamp(-1, 2), limits, rows, columns), rgb.clamp(-1, 2)
    )


@torch.no_grad()
def test_every_render_and_query_is_within_the_limits(tiny_model: Ginr) -> None:
    grey = drawn(20, 20, 1).mean(1, keepdim=True).mul(255).round().div(255).expand(-1, 3, -1, -1)
    field = tiny_model.encode(grey)
    picture = field.render((70, 90))
    assert (picture.amax(1) - picture.amin(1)).max() < 1e-5
    flat = tiny_model.encode(torch.tensor([0.2, 0.6, 0.9])[:, None, None].expand(1, 3, 16, 16))
    colour = flat.render((61, 61))
    torch.testing.assert_close(
        colour, torch.tensor([0.2, 0.6, 0.9])[:, None, None].expand_as(colour)
    )


def test_limits_take_no_gradient_and_let_it_through(tiny_model: Ginr) -> None:
    field = tiny_model.encode(torch.rand(1, 3, 12, 12))
    coords, cells = torch.rand(1, 30, 2) * 2 - 1, torch.full((1, 1, 2), 0.05)
    free, held = (field.query(coords, cells, limited=limited) for limited in (False, True))
    weights = tiny_model.decoder.head.weight  # type: ignore[union-attr]
    assert isinstance(field, Field)
    one, two = (torch.autograd.grad(v.sum(), weights, retain_graph=True)[0] for v in (free, held))
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
