"""The Muon optimizer against its formula, one matrix at a time, and against AdamW.

Run: pytest tests/training/test_muon.py
"""

import pytest
import torch
from torch import Tensor, nn

from ginr.training.muon import MOMENTUM, UPDATE_RMS, Muon, orthogonal


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (48, 432), (30, 4), (3, 12, 7)], ids=str)
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    values = torch.linalg.svdvals(orthogonal(1e3 * torch.randn(shape)))
    assert values.min() > 0.6 and values.max() < 1.25


def test_directions_stay() -> None:
    left, _ = torch.linalg.qr(torch.randn(20, 6))
    right, _ = torch.linalg.qr(torch.randn(9, 6))
    made = orthogonal(left @ torch.diag(torch.linspace(0.5, 2, 6)) @ right.mT)
    seen = left.mT @ made @ right
    assert (seen - torch.diag(seen.diagonal())).abs().max() < 1e-4
    torch.testing.assert_close(left @ seen @ right.mT, made, rtol=0, atol=1e-4)


def test_nothing_comes_of_nothing() -> None:
    assert orthogonal(torch.zeros(2, 4, 6)).abs().max() == 0


def plain_move(weight: Tensor, momentum: Tensor, grad: Tensor, rate: float, decay: float) -> None:
    momentum.mul_(MOMENTUM).add_((1 - MOMENTUM) * grad)
    ahead = ((1 - MOMENTUM) * grad + MOMENTUM * momentum).flatten(1)
    size = UPDATE_RMS * max(ahead.shape) ** 0.5
    weight.mul_(1 - rate * decay).sub_(rate * size * orthogonal(ahead).view_as(weight))


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_matrices_by_the_formula_and_the_rest_by_adamw(decay: float) -> None:
    shapes = [(6, 4, 3, 3), (6, 4, 3, 3), (8, 2, 1, 1), (3, 9, 1, 1)]
    matrices = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    others = [nn.Parameter(torch.randn(7)), nn.Parameter(torch.randn(2, 3))]
    expected = [p.detach().clone() for p in matrices]
    momenta = [torch.zeros_like(p) for p in matrices]
    plain = [nn.Parameter(p.detach().clone()) for p in others]
    adamw = torch.optim.AdamW(plain, 0.01, betas=(0.9, 0.99), weight_decay=decay)
    ours = Muon(
        [{"params": matrices, "matrices": True}, {"params": others}],
        0.01,
        betas=(0.9, 0.99),
        weight_decay=decay,
    )
    for _ in range(4):
        for p in (*matrices, *others):
            p.grad = torch.randn_like(p)
        for p, q in zip(plain, others, strict=True):
            p.grad = None if q.grad is None else q.grad.clone()
        for p, weight, momentum in zip(matrices, expected, momenta, strict=True):
            assert p.grad is not None
            plain_move(weight, momentum, p.grad, 0.01, decay)
        ours.step()
        adamw.step()
    for p, weight in zip(matrices, expected, strict=True):
        torch.testing.assert_close(p.detach(), weight, rtol=1e-4, atol=1e-5)
    for p, q in zip(others, plain, strict=True):
        torch.testing.assert_close(p, q)


def test_what_has_no_gradient_stays() -> None:
    still, moved = nn.Parameter(torch.randn(4, 4, 1, 1)), nn.Parameter(torch.randn(4, 4, 1, 1))
    before = still.detach().clone(), moved.detach().clone()
    moved.grad = torch.randn_like(moved)
    Muon([{"params": [still, moved], "matrices": True}], 0.01).step()
    assert torch.equal(still, before[0]) and not torch.equal(moved, before[1])
