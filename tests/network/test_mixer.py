"""What all mixers have in common: both directions alike, every step heard, any precision.

Run: pytest tests/network/test_mixer.py
"""

import dataclasses
from typing import get_args, get_type_hints

import pytest
import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.network.blocks import MIXERS, Block
from ginr.network.mixer import BidirectionalScan, Mixer
from ginr.network.sequences import sequence_layout

from .support import positions_of

SCANS = [name for name, kind in MIXERS.items() if issubclass(kind, BidirectionalScan)]


@pytest.fixture
def config(tiny_config: GinrConfig, name: str) -> GinrConfig:
    return dataclasses.replace(tiny_config, mixer=name)


@pytest.fixture
def mixer(config: GinrConfig, name: str) -> Mixer:
    return MIXERS[name](config)


def sequence_of(config: GinrConfig, n_batch: int) -> Tensor:
    return torch.randn(n_batch, len(positions_of(config)), config.width)


def test_every_mixer_of_the_configuration_exists(tiny_config: GinrConfig) -> None:
    assert tuple(MIXERS) == get_args(get_type_hints(GinrConfig)["mixer"])
    for name, kind in MIXERS.items():
        block = Block(dataclasses.replace(tiny_config, mixer=name), 0)
        assert type(block.mixer) is kind


@pytest.mark.parametrize("name", SCANS)
def test_swapped_directions_mirror_the_mixer(config: GinrConfig, mixer: Mixer, name: str) -> None:
    twin = MIXERS[name](config)
    twin.load_state_dict(mixer.state_dict())
    places, sequence = positions_of(config), sequence_of(config, 3)
    with torch.no_grad():
        for parameter in ("conv_weight", "conv_bias", "log_decay", "step_bias", "skip"):
            own = getattr(mixer, parameter)
            assert own.shape[0] == 2
            own.add_(torch.randn_like(own) * 0.1)
            getattr(twin, parameter).copy_(own.flip(0))
        torch.testing.assert_close(twin(sequence.flip(1), places).flip(1), mixer(sequence, places))
        assert not torch.allclose(
            mixer(sequence.flip(1), places).flip(1), mixer(sequence, places), atol=1e-3
        )


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("direction", [0, 1])
def test_each_direction_hears_of_its_past_only(
    config: GinrConfig, mixer: BidirectionalScan, direction: int
) -> None:
    sequence = sequence_of(config, 1).requires_grad_()
    scanned = mixer.scans(sequence, mixer.convolved(sequence))
    (grad,) = torch.autograd.grad(scanned[direction][0, 15].square().sum(), sequence)
    heard = grad[0].abs().sum(-1) > 0
    past = torch.arange(len(heard)) <= 15 if direction == 0 else torch.arange(len(heard)) >= 15
    assert torch.equal(heard, past)


@pytest.mark.parametrize("name", MIXERS)
def test_every_step_hears_of_every_other(config: GinrConfig, mixer: Mixer) -> None:
    sequence = sequence_of(config, 1)[:, :30].requires_grad_()
    for step in (0, 15, 29):
        mixed = mixer(sequence, positions_of(config)[:30])
        (grad,) = torch.autograd.grad(mixed[0, step].square().sum(), sequence)
        assert (grad.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("name", MIXERS)
def test_raw_values_keep_their_contrast(config: GinrConfig, name: str) -> None:
    tokens, lps = torch.randn(1, 4, 4, config.width), torch.randn(1, 8, 8, config.width)
    layout = sequence_layout(config, 8, 8, False, tokens.device)
    for values, least, most in (("raw", 3, 30), ("normalised", 0.99, 1.01)):
        block = Block(dataclasses.replace(config, values=values), 0)
        with torch.no_grad():
            once, of_tenfold = (
                block.mix(k * tokens, k * lps, layout)[1] - k * lps for k in (1, 10)
            )
        assert least < float(of_tenfold.norm() / once.norm()) < most


@pytest.mark.parametrize("name", MIXERS)
def test_how_steps_are_mixed_is_not_read_from_raw_values(config: GinrConfig, name: str) -> None:
    mixer = MIXERS[name](dataclasses.replace(config, values="raw", n_tap=1))
    places, sequence = positions_of(config), sequence_of(config, 1)
    zero = torch.zeros_like(sequence)
    with torch.no_grad():
        assert not mixer(sequence, places, zero).any()
        assert not torch.allclose(mixer(sequence, places, sequence), mixer(zero, places, sequence))


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("strength", [1.0, 1e3])
def test_no_nan_in_bfloat16(config: GinrConfig, mixer: Mixer, strength: float) -> None:
    places, sequence = positions_of(config), sequence_of(config, 2)
    if isinstance(mixer, BidirectionalScan):  # attention is steep: a softmax of large numbers
        sequence = sequence * strength
    with torch.no_grad():
        exact = mixer(sequence, places)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = mixer(sequence, places)
        whole = mixer.bfloat16()(sequence.bfloat16(), places)
    for out in (rounded, whole):
        assert out.dtype == torch.bfloat16
        assert (out - exact).abs().max() < 0.1 * exact.abs().max()
