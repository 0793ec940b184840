"""The Mamba mixer against its formula, step by step: pytest tests/network/test_mamba.py"""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.network.mamba import Mamba

from .support import positions_of


@pytest.fixture
def mixer(tiny_config: GinrConfig) -> Mamba:
    config = dataclasses.replace(tiny_config, mixer="mamba", width=32)
    mixer = Mamba(config)
    with torch.no_grad():
        for name in ("conv_bias", "log_decay", "step_bias", "skip"):
            getattr(mixer, name).add_(torch.randn_like(getattr(mixer, name)) * 0.3)
        mixer.out.weight.mul_(10)
    return mixer


def one_direction(mixer: Mamba, sequence: Tensor, direction: int) -> Tensor:
    """sequence (T, D) -> (T, E), by the equations of the paper and its code."""
    weight = {name: p.flatten(1) if p.ndim == 4 else p[direction] for name, p in mixer.named_parameters()}  # fmt: skip
    u = sequence @ weight["to_packed.weight"].T
    if direction == 1:
        u = u.flip(0)
    taps, rows, state = weight["conv_weight"], [], torch.zeros_like(weight["log_decay"])
    for t in range(len(u)):
        past = [taps[j] * u[t - len(taps) + 1 + j] for j in range(len(taps)) if t - len(taps) + 1 + j >= 0]  # fmt: skip
        x = F.silu(torch.stack(past).sum(0) + weight["conv_bias"])
        low, b, c = (weight["to_scan.weight"] @ x).split(mixer.parts)
        step = F.softplus(weight["to_step.weight"] @ low + weight["step_bias"])
        decay = torch.exp(-step[:, None] * weight["log_decay"].exp())
        state = decay * state + (step * x)[:, None] * b
        rows.append(state @ c + weight["skip"] * x)
    y = torch.stack(rows)
    return y.flip(0) if direction == 1 else y


def formula(mixer: Mamba, sequences: Tensor) -> Tensor:
    mixed = []
    for sequence in sequences:
        both = one_direction(mixer, sequence, 0) + one_direction(mixer, sequence, 1)
        gate = F.silu(sequence @ mixer.to_gate.weight.flatten(1).T)
        mixed.append(0.5 * both * gate @ mixer.out.weight.flatten(1).T)
    return torch.stack(mixed)


@pytest.mark.parametrize("backend", ["reference", "chunked", "numba"])
def test_mixer_equals_its_formula(tiny_config: GinrConfig, mixer: Mamba, backend: str) -> None:
    mixer.backend = backend
    sequence, places = torch.randn(2, 37, 32), positions_of(tiny_config)[:37]
    weighting = torch.randn(2, 37, 32)
    answers = []
    for kind in (torch.float32, torch.float64):
        own = mixer.to(kind)
        x = sequence.to(kind).requires_grad_()
        out = own(x, places) if kind is torch.float32 else formula(own, x)
        inputs = [x, *own.parameters()]
        answers.append([out, *torch.autograd.grad((out * weighting.to(kind)).sum(), inputs)])
    for ours, expected in zip(*answers, strict=True):
        tolerance = 1e-5 * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=tolerance)
