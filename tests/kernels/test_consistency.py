"""The corrected base against its definition: a render, shrunk, and what it lacks added."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.architecture.limits import find_limits
from ginr.engine.field import CpuField
from ginr.engine.model import CpuGinr
from ginr.kernels.consistency import REACH, SIDE, corrected, finer, measure_shrinking
from ginr.network.field import Field, Ground, bicubic_grid
from ginr.network.model import Ginr
from ginr.pictures.resize import resize_matrix

SIZE = 19, 24


@pytest.fixture(params=[{}, {"patch": 1, "n_lp": 256, "group": 4}], ids=["one LP", "four LPs"])
def model(
    request: pytest.FixtureRequest,
    make_model: Callable[[GinrConfig], Ginr],
    tiny_config: GinrConfig,
) -> Ginr:
    model = make_model(dataclasses.replace(tiny_config, **request.param))
    with torch.no_grad():
        model.decoder.head.weight.mul_(3)  # type: ignore[union-attr, operator]
    return model


def field_of(model: Ginr) -> Field:
    pixels = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    pixels[:, :, 5:14, 8:16] = 0.25  # a flat area, which has limits
    with torch.no_grad():
        return dataclasses.replace(model.encode(pixels), consistent=True)


def shrunk(planes: torch.Tensor) -> torch.Tensor:
    """Planes (B, 3, n H, n W) shrunk to SIZE as MATLAB's imresize does."""
    y, x = (
        torch.from_numpy(resize_matrix(planes.shape[2 + k], SIZE[k]).copy()).float() for k in (0, 1)
    )
    return y @ planes @ x.T


def plain(field: Field, n: tuple[int, int]) -> torch.Tensor:
    """The base of a field, corrected by rendering and shrinking it."""
    assert field.base is not None
    size = SIZE[0] * n[0], SIZE[1] * n[1]
    alone = dataclasses.replace(field, base=None, consistent=False)
    at = [(torch.arange(size[k], dtype=torch.float64) + 0.5) / n[k] - 0.5 for k in (0, 1)]
    lacks = field.base - shrunk(alone.render(size) + bicubic_grid(field.base, *at))
    inside = torch.zeros_like(lacks)
    inside[..., REACH:-REACH, REACH:-REACH] = 1
    lacks = lacks * inside
    right = field.base + 2 * lacks - shrunk(bicubic_grid(lacks, *at))
    assert field.limits is not None
    low, high = field.limits[:, :3], field.limits[:, 3:6]
    return right.clamp(torch.minimum(field.base, low), torch.maximum(field.base, high))


@pytest.mark.parametrize("n", [(2, 2), (3, 3), (4, 4), (4, 2)], ids=str)
@torch.no_grad()
def test_the_base_is_corrected_by_what_a_render_lacks(model: Ginr, n: tuple[int, int]) -> None:
    field = field_of(model)
    expected = plain(field, n)
    assert field.base is not None
    change = (expected - field.base).abs().max().item()
    assert change > 0.01
    ground = field.ground((1 / n[0], 1 / n[1]))
    assert isinstance(ground, Ground)
    torch.testing.assert_close(ground.base, expected, rtol=0, atol=2e-6 * (1 + change))


@torch.no_grad()
def test_both_networks_correct_alike(model: Ginr) -> None:
    field = field_of(model)
    assert field.base is not None
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    decoder = CpuGinr(model.config, weights)._decoder
    ours = CpuField(
        field.features.numpy(), field.base.numpy(), field.size, (0, 0), decoder, consistent=True
    )
    for scale in (1.5, 2.0, 3.7, 8.0):
        size = tuple(round(scale * side) for side in SIZE)
        expected = field.render(size).numpy()
        np.testing.assert_allclose(ours.begin_render(size, (0, 0, *size))(), expected, atol=1e-5)
    size = SIZE[0] // 2, SIZE[1] // 2
    unchanged = dataclasses.replace(field, consistent=False).render(size)
    assert torch.equal(field.render(size), unchanged)


@torch.no_grad()
def test_gradients_pass(model: Ginr) -> None:
    field = field_of(model)
    features = field.features.clone().requires_grad_()
    with torch.enable_grad():
        again = dataclasses.replace(field, features=features)
        ground = again.ground((0.5, 0.5))
        assert ground is not None
        weighting = torch.rand_like(ground.base)
        (ours,) = torch.autograd.grad((ground.base * weighting).sum(), features)
        other = dataclasses.replace(field, features=features)
        (expected,) = torch.autograd.grad((plain(other, (2, 2)) * weighting).sum(), features)
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-5 * expected.abs().max().item())


def test_the_scale_of_shrinking() -> None:
    assert finer((0.5, 0.5)) == (2, 2)
    assert finer((1 / 3.7, 1.0)) == (4, 2)
    assert finer((1 / 30, 0.4)) == (4, 2)
    assert finer((1.01, 0.5)) is None


def test_a_picture_without_an_inside_is_left_alone() -> None:
    def nothing(features: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return np.zeros((len(features), 3, *size), np.float32)

    shrinking = measure_shrinking(nothing, 5, 1, (2, 3))
    assert not shrinking.kernel.any() and shrinking.blur[0].sum() == pytest.approx(1)
    base = np.random.default_rng(0).random((1, 3, 4, SIDE), np.float32)
    features = np.zeros((1, 4, SIDE, 5), np.float32)
    assert corrected(base, find_limits(base), features, shrinking) is base
