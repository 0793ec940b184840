"""The transformer mixer and its positions against their formulas: pytest tests/network/test_transformer.py"""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import bank_size, places, window_plan
from ginr.network.model import Ginr
from ginr.network.sequences import sequence_layout
from ginr.network.transformer import SLOWEST, Attention, PositionTable, phases, turned

from .support import positions_of

CPU = torch.device("cpu")
LAYOUTS: dict[str, dict[str, Any]] = {
    "dense": {},
    "sparse": {"patch": 1, "n_lp": 16, "placement": "equidistant"},
    "middle": {"n_lp": 5, "placement": "middle", "decoder": "attention"},
    "no LPs": {"n_lp": 0, "content": "none"},
}


@pytest.fixture(params=LAYOUTS)
def config(request: pytest.FixtureRequest, tiny_config: GinrConfig) -> GinrConfig:
    return dataclasses.replace(tiny_config, mixer="transformer", **LAYOUTS[request.param])


def rotation(place: Tensor, n: int) -> Tensor:
    """The matrix (n, n) that turns pair k by y for the first quarter of the channels, then by x."""
    whole = torch.zeros(n, n, dtype=torch.float64)
    for k in range(n // 2):
        axis, level = divmod(k, n // 4)
        angle = float(place[axis]) * SLOWEST["rope"] ** -(level / (n // 4))
        i, j = k, k + n // 2
        whole[i, i] = whole[j, j] = math.cos(angle)
        whole[j, i] = math.sin(angle)
        whole[i, j] = -math.sin(angle)
    return whole


def formula(mixer: Attention, sequence: Tensor, positions: Tensor | None) -> Tensor:
    """Head by head and step by step, in float64."""
    heads = []
    query, key, value = (
        sequence @ layer.weight.flatten(1).double().T
        for layer in (mixer.query, mixer.key, mixer.value)
    )
    n = query.shape[-1] // mixer.n_head
    for q, k, v in zip(*(x.split(n, -1) for x in (query, key, value)), strict=True):
        if positions is not None:
            turns = torch.stack([rotation(place, n) for place in positions])  # (T, K, K)
            q, k = (torch.einsum("tij,btj->bti", turns, x) for x in (q, k))
        weight = torch.softmax(q @ k.mT / math.sqrt(n), -1)
        heads.append(weight @ v)
    return torch.cat(heads, -1) @ mixer.out.weight.flatten(1).double().T


@pytest.mark.parametrize("positions", ["none", "rope"])
def test_attention_equals_its_formula(tiny_config: GinrConfig, positions: str) -> None:
    mixer = Attention(dataclasses.replace(tiny_config, mixer="transformer", positions=positions))
    where = positions_of(tiny_config)
    sequence = torch.randn(2, len(where), tiny_config.width, requires_grad=True)
    weighting = torch.randn(2, len(where), tiny_config.width)
    inputs = [sequence, *mixer.parameters()]
    answers = []
    for out in (
        mixer(sequence, where),
        formula(mixer, sequence.double(), where if positions == "rope" else None),
    ):
        answers.append([out, *torch.autograd.grad((out * weighting).sum(), inputs)])
    for ours, expected in zip(*answers, strict=True):
        tolerance = 1e-5 * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(ours.double(), expected.double(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("positions", ["none", "rope"])
def test_the_order_of_the_steps_does_not_matter(tiny_config: GinrConfig, positions: str) -> None:
    mixer = Attention(dataclasses.replace(tiny_config, mixer="transformer", positions=positions))
    where, order = positions_of(tiny_config), torch.randperm(80)
    sequence = torch.randn(2, 80, tiny_config.width)
    with torch.no_grad():
        torch.testing.assert_close(
            mixer(sequence[:, order], where[order]), mixer(sequence, where)[:, order]
        )
        assert torch.allclose(
            mixer(sequence, where), mixer(sequence, where.flip(0)), atol=1e-5
        ) == (positions == "none")


def test_rotations_depend_on_the_distance_only() -> None:
    query, key = torch.randn(2, 1, 8)
    one, other, shift = (torch.rand(1, 2) * 8 for _ in range(3))

    def score(moved: Tensor) -> Tensor:
        turns = (phases(place + moved, 8, SLOWEST["rope"]) for place in (one, other))
        return (turned(query, next(turns)) * turned(key, next(turns))).sum()

    torch.testing.assert_close(score(shift), score(torch.zeros(1, 2)), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(score(shift), (query * key).sum(), atol=1e-3)


@pytest.mark.parametrize("transposed", [False, True])
def test_steps_stand_where_their_tokens_and_lps_do(config: GinrConfig, transposed: bool) -> None:
    layout = sequence_layout(config, config.window, config.window, transposed, CPU)
    expected = np.concatenate(places(config))[layout.order.numpy()]
    np.testing.assert_allclose(layout.positions.numpy(), expected)
    assert len(layout.positions) == config.seq_len + config.n_lp


def test_lps_stand_among_their_tokens(config: GinrConfig) -> None:
    tokens, lps = places(config)
    side = window_plan(config).side
    np.testing.assert_array_equal(tokens[:3], [[0, 0], [0, 1], [0, 2]])
    assert lps.shape == (config.n_lp, 2)
    assert ((lps >= -0.5) & (lps <= side - 0.5)).all()


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_every_window_has_the_same_table(config: GinrConfig, positions: str) -> None:
    table = PositionTable(dataclasses.replace(config, positions=positions))
    layout = sequence_layout(config, 2 * config.window, 3 * config.window, False, CPU)
    tokens, lps = (torch.zeros(2, *n, config.width) for n in (layout.token_shape, layout.lp_shape))
    with torch.no_grad():
        steps = layout.interleave(*table(tokens, lps))
    # Whatever the window, a step has the vector of its token or LP.
    order = layout.order[: steps.shape[1]]
    assert torch.equal(steps, steps[:1].expand_as(steps))
    one = sequence_layout(config, config.window, config.window, False, CPU).order
    torch.testing.assert_close(steps[0], table.table.detach()[one])
    assert len(order) == len(one)


def test_sinusoids_are_those_of_the_place(config: GinrConfig) -> None:
    table = PositionTable(dataclasses.replace(config, positions="sinusoidal")).table
    where = np.concatenate(places(config))
    quarter = config.width // 4
    for row, place in zip(table, where, strict=True):
        for axis in (0, 1):
            for k in range(quarter):
                angle = place[axis] * SLOWEST["sinusoidal"] ** -(k / quarter)
                assert row[axis * quarter + k].item() == pytest.approx(math.sin(angle), abs=1e-5)
                assert row[(axis + 2) * quarter + k].item() == pytest.approx(
                    math.cos(angle), abs=1e-5
                )


@pytest.mark.parametrize("positions", ["none", "sinusoidal", "learned", "rope"])
def test_positions_tell_tokens_apart(tiny_config: GinrConfig, positions: str) -> None:
    # Equal tokens in every place: without positions, and without convolutions, all LPs are alike.
    config = dataclasses.replace(
        tiny_config, mixer="transformer", positions=positions, kernel=1, content="none"
    )
    model = Ginr(config)
    with torch.no_grad():
        model.stem.weight.zero_()
        model.stem.bias.normal_()
        for layer in (model.blocks[0].mixer.query, model.blocks[0].mixer.key):
            layer.weight.mul_(3)
        lps = model.encode(torch.rand(1, 3, 8, 8)).features[0]  # (8, 8, D), four of a kind
    same = [lps[y::2, x::2].flatten(0, 1) for y in (0, 1) for x in (0, 1)]
    alike = all(torch.allclose(v, v[:1].expand_as(v), atol=1e-6) for v in same)
    # Rotations tell how far apart steps are; between equal tokens and LPs that matters too.
    assert alike == (positions == "none")
    assert bank_size(config) == 4
