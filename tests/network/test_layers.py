"""Linear maps and convolutions of lattices: pytest tests/network/test_layers.py"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ginr.network import compiled_blocks
from ginr.network.layers import Conv, Pointwise


def test_pointwise_is_a_linear_map() -> None:
    layer = Pointwise(5, 7)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 4, 5)
    expected = F.linear(x, layer.weight[:, :, 0, 0], layer.bias)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x.transpose(1, 2)), expected.transpose(1, 2))
    torch.testing.assert_close(layer(x[0, 0, 0]), expected[0, 0, 0])


@pytest.mark.parametrize("n_row", [1, 7, 8, 9, 512, 513])
@pytest.mark.parametrize("n_out", [1, 16, 48, 99])
def test_a_compiled_map_equals_its_plain_form(n_row: int, n_out: int) -> None:
    layer = Pointwise(32, n_out)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, n_row, 32, requires_grad=True)
    weighting = torch.randn(2, n_row, n_out)
    inputs = (x, *layer.parameters())
    answers = []
    for apply in (layer, lambda x: compiled_blocks.map_rows(layer, x)):
        out = apply(x)
        answers.append([out, *torch.autograd.grad((out * weighting).sum(), inputs)])
    for ours, expected in zip(*answers, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_keeps_the_lattice(kernel: int) -> None:
    layer = Conv(3, 4, kernel)
    x = torch.randn(2, 6, 5, 3)
    assert layer(x).shape == (2, 6, 5, 4)
    moved = layer(x.roll((1, 1), (1, 2)))
    inner = slice(1 + kernel // 2, -(kernel // 2) or None)
    torch.testing.assert_close(
        moved[:, inner, inner], layer(x).roll((1, 1), (1, 2))[:, inner, inner]
    )
