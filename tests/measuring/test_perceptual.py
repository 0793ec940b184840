"""LPIPS and DISTS against slow forms of their formulas, their gradients, and the file of weights.

Run: pytest tests/measuring/test_perceptual.py
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from ginr.array_types import Doubles, Image
from ginr.errors import SizeError
from ginr.measuring.metrics import LPIPS_SIDE
from ginr.measuring.perceptual import Dists, Lpips, PerceptualMeasures
from ginr.measuring.perceptual_weights import DISTS_WIDTHS, load_weights, weights_path
from ginr.pictures import read_picture
from ginr.pictures.resize import benchmark_pair, bicubic_8bit

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def weights(perceptual_file: Path) -> Weights:
    return load_weights(perceptual_file)


@pytest.fixture(scope="module")
def doubles(weights: Weights) -> Weights:
    return {name: weight.double() for name, weight in weights.items()}


def pictures(n: int, height: int, width: int) -> Tensor:
    """Random pictures (n, 3, H, W) with more than noise in them."""
    ramp = torch.linspace(0, 1, width).expand(n, 3, height, width)
    return (0.5 * ramp + 0.5 * torch.rand(n, 3, height, width)).double()


def convolved(x: Doubles, weights: Weights, name: str, stride: int, padding: int) -> Doubles:
    """ReLU of a convolution of (C, H, W)."""
    kernel, bias = (weights[f"{name}.{part}"].numpy() for part in ("weight", "bias"))
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding)])
    windows = sliding_window_view(x, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    sums = np.tensordot(kernel, windows, axes=([1, 2, 3], [0, 3, 4])) + bias[:, None, None]
    return np.maximum(sums, 0)


def slow_lpips(x: Doubles, y: Doubles, weights: Weights) -> float:
    """LPIPS of (3, H, W), place by place."""
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    a, b = ((2 * p - 1 - shift[:, None, None]) / scale[:, None, None] for p in (x, y))
    total = 0.0
    for k, (stride, padding) in enumerate([(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)]):
        if k in (1, 2):
            a, b = (
                sliding_window_view(m, (3, 3), axis=(1, 2))[:, ::2, ::2].max((3, 4)) for m in (a, b)
            )
        a, b = (convolved(m, weights, f"alexnet.{k}", stride, padding) for m in (a, b))
        head, places = weights[f"lpips.{k}"].numpy(), []
        for row, column in np.ndindex(a.shape[1:]):
            u, v = (m[:, row, column] / np.linalg.norm(m[:, row, column]) for m in (a, b))
            places.append(head @ (u - v) ** 2)
        total += sum(places) / len(places)
    return total


def slow_dists(x: Doubles, y: Doubles, weights: Weights) -> float:
    """DISTS of (3, H, W), channel by channel."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    a, b = ((p - mean[:, None, None]) / deviation[:, None, None] for p in (x, y))
    maps = [(x, y)]
    window = np.outer([1, 2, 1], [1, 2, 1]) / 16  # a Hann window of five without its zeros
    for k in range(13):
        if k in (2, 4, 7, 10):
            maps.append((a, b))
            padded = [np.pad(m, [(0, 0), (1, 1), (1, 1)]) for m in (a, b)]
            a, b = (
                np.sqrt((sliding_window_view(m, (3, 3), axis=(1, 2)) ** 2 * window).sum((3, 4)))
                for m in padded
            )
            a, b = a[:, ::2, ::2], b[:, ::2, ::2]
        a, b = (convolved(m, weights, f"vgg16.{k}", 1, 1) for m in (a, b))
    maps.append((a, b))
    channels = [pair for pair_of_maps in maps for pair in zip(*pair_of_maps, strict=True)]
    similarity = 0.0
    for (p, q), alpha, beta in zip(
        channels, weights["dists.alpha"].tolist(), weights["dists.beta"].tolist(), strict=True
    ):
        (p_variance, covariance), (_, q_variance) = np.cov(p.ravel(), q.ravel(), bias=True)
        texture = (2 * p.mean() * q.mean() + 1e-6) / (p.mean() ** 2 + q.mean() ** 2 + 1e-6)
        structure = (2 * covariance + 1e-6) / (p_variance + q_variance + 1e-6)
        similarity += alpha * texture + beta * structure
    return 1 - similarity


@pytest.mark.parametrize("size", [(31, 31), (33, 52)])
def test_both_are_their_formulas(doubles: Weights, size: tuple[int, int]) -> None:
    x, y = pictures(2, *size)
    lpips, dists = (
        Lpips(doubles).distance(x[None], y[None]),
        Dists(doubles).distance(x[None], y[None]),
    )
    assert lpips.item() == pytest.approx(slow_lpips(x.numpy(), y.numpy(), doubles), rel=1e-6)
    assert dists.item() == pytest.approx(slow_dists(x.numpy(), y.numpy(), doubles), abs=1e-6)
    assert lpips.item() > 0 and 0 < dists.item() < 1


@pytest.mark.parametrize("measure", [Lpips, Dists])
def test_equal_pictures_have_none_and_the_order_does_not_matter(
    weights: Weights, measure: type[Lpips] | type[Dists]
) -> None:
    x, y = pictures(4, 40, 37).float().split(2)
    found = measure(weights)
    assert found.distance(x, x).tolist() == [0, 0]
    assert found.distance(torch.zeros_like(x), torch.zeros_like(x)).tolist() == [0, 0]
    one_way = found.distance(x, y)
    assert one_way.shape == (2,) and (one_way > 0).all()
    torch.testing.assert_close(found.distance(y, x), one_way)
    one = torch.cat([found.distance(x[:1], y[k : k + 1]) for k in range(2)])
    torch.testing.assert_close(found.distance(x[:1], y), one)


def test_five_maps_can_be_reached(weights: Weights) -> None:
    maps = list(Lpips(weights).maps(pictures(2, 63, 95).float()))
    assert [tuple(m.shape) for m in maps] == [
        (2, 64, 15, 23), (2, 192, 7, 11), (2, 384, 3, 5), (2, 256, 3, 5), (2, 256, 3, 5),
    ]  # fmt: skip
    maps = list(Dists(weights).maps(pictures(1, 40, 33).float()))
    assert [m.shape[1] for m in maps] == list(DISTS_WIDTHS)
    assert [tuple(m.shape[2:]) for m in maps[1:]] == [(40, 33), (20, 17), (10, 9), (5, 5), (3, 3)]


@pytest.mark.parametrize("measure", [Lpips, Dists])
def test_gradients_are_those_of_finite_differences(
    doubles: Weights, measure: type[Lpips] | type[Dists]
) -> None:
    found = measure(doubles)
    x, y = pictures(2, 31, 35).split(1)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(found.distance(x, y).sum(), x)
    step = 1e-8  # larger ones pass kinks of ReLU
    for _ in range(3):
        direction = torch.randn_like(x)
        with torch.no_grad():
            ahead, behind = (found.distance(x + s * step * direction, y) for s in (1, -1))
        expected = (ahead - behind).item() / (2 * step)
        assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-3)


def test_gradients_of_lpips_are_finite_where_no_feature_answers(weights: Weights) -> None:
    silent = {
        name: torch.full_like(weight, -9) if name.endswith("bias") else weight
        for name, weight in weights.items()
    }
    for those in (weights, silent):
        x = torch.zeros(1, 3, 31, 31, requires_grad=True)
        for y in (torch.zeros_like(x), torch.rand_like(x)):
            (gradient,) = torch.autograd.grad(Lpips(those).distance(x, y).sum(), x)
            assert gradient.isfinite().all()


def test_lpips_needs_31_pixels_a_side(weights: Weights) -> None:
    measure = Lpips(weights)
    assert LPIPS_SIDE == 31
    assert math.isfinite(measure.distance(*pictures(2, 31, 80).float().split(1)).item())
    for height, width in ((30, 80), (80, 30)):
        with pytest.raises(SizeError, match=f"{width}x{height} pixels are too few for LPIPS"):
            measure.distance(*pictures(2, height, width).float().split(1))


def test_grey_counts_as_three_equal_channels(weights: Weights) -> None:
    measures = PerceptualMeasures(weights, torch.device("cpu"))
    grey: list[Image] = [np.random.randint(0, 256, (36, 40, 1)).astype(np.uint8) for _ in range(3)]
    colour = [np.repeat(image, 3, axis=2) for image in grey]
    found = measures(grey[0], grey[1:])
    np.testing.assert_allclose(found, measures(colour[0], colour[1:]), rtol=1e-5)
    assert len(found) == 2
    assert measures(grey[0], grey[:1]) == [(0, 0)]
    x, y = (
        torch.from_numpy(c.transpose(2, 0, 1).astype(np.float32) / 255)[None] for c in colour[:2]
    )
    expected = Lpips(weights).distance(x, y).item(), Dists(weights).distance(x, y).item()
    assert found[0] == pytest.approx(expected, rel=1e-4)


def test_the_real_weights_give_the_known_values(sample_images: Path) -> None:
    path = weights_path()
    if not path.exists():
        pytest.skip(f"{path} is absent: benchmarks/fetch_perceptual.py makes it")
    measures = PerceptualMeasures(load_weights(path), torch.device("cpu"))
    hr = read_picture(sample_images / "photo_osprey.png").samples
    results = []
    for scale in (2, 4):
        crop, lr = benchmark_pair(hr[:192, :192], scale)
        results.append(bicubic_8bit(lr, *crop.shape[:2]))
    (lpips_2, dists_2), (lpips_4, dists_4) = measures(crop, results)
    # Of an independent program with the same weights.
    assert (lpips_2, lpips_4) == pytest.approx((0.13733, 0.38533), abs=1e-4)
    assert (dists_2, dists_4) == pytest.approx((0.16097, 0.28140), abs=1e-4)
