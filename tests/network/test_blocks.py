"""The encoder's parts: residual branches, content paths, compiled blocks.

Run: pytest tests/network/test_blocks.py
"""

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import bank_size, window_plan
from ginr.network import compiled_blocks, scan
from ginr.network.blocks import (
    Block,
    ContentPath,
    FeedForward,
    depth_to_space,
    space_to_depth,
)
from ginr.network.compiled import attach
from ginr.network.layers import RESIDUAL_INIT
from ginr.network.model import Ginr, initial_lps
from ginr.network.sequences import sequence_layout

CPU = torch.device("cpu")


def test_a_silent_block_passes_the_residual_through(tiny_config: GinrConfig) -> None:
    block = Block(tiny_config, 0)
    layout = sequence_layout(tiny_config, 16, 8, False, CPU)
    tokens = torch.randn(2, *layout.token_shape, tiny_config.width)
    lps = torch.randn(2, *layout.lp_shape, tiny_config.width)
    assert block.mixer is not None and block.lp_ff is not None
    assert block.content is not None
    bank, content = random_bank(tiny_config), block.content
    last = [block.mixer.out, block.token_ff.out, block.lp_ff.out, content.value, content.shift]
    with torch.no_grad():
        before = block(tokens, lps, bank, layout)
        for layer in last:
            for parameter in layer.parameters():
                parameter.zero_()
        after = block(tokens, lps, bank, layout)
    for changed, passed, start in zip(before, after, (tokens, lps), strict=True):
        assert not torch.allclose(changed, start, atol=1e-3)
        assert torch.equal(passed, start)


def test_residual_branches_start_small(tiny_config: GinrConfig) -> None:
    config = dataclasses.replace(tiny_config, width=64, head_dim=8, hidden=64)
    block, bank = Block(config, 0), initial_lps(config)
    layout = sequence_layout(tiny_config, 16, 16, False, CPU)
    tokens, lps = torch.randn(2, *layout.token_shape, 64), torch.randn(2, *layout.lp_shape, 64)
    with torch.no_grad():
        after = block(tokens, lps, bank, layout)
    for changed, start in zip(after, (tokens, lps), strict=True):
        assert 0 < (changed - start).std() < 3 * RESIDUAL_INIT


def test_blocks_scan_as_often_as_configured(
    make_model: Callable[[GinrConfig], Ginr], tiny_config: GinrConfig
) -> None:
    model = make_model(dataclasses.replace(tiny_config, n_blocks=5, scan_every=2))
    scans = [block.mixer is not None for block in model.blocks]
    assert scans == [True, False, True, False, True]
    assert model.encode(torch.rand(1, 3, 8, 8)).features.isfinite().all()


def test_feed_forward_is_a_residual(tiny_config: GinrConfig) -> None:
    layer = FeedForward(tiny_config, 3)
    with torch.no_grad():
        layer.out.weight.zero_()
    x = torch.randn(1, 4, 4, tiny_config.width)
    assert torch.equal(layer(x, random_bank(tiny_config)), x)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_squares_to_depth_and_back(factor: int) -> None:
    x = torch.arange(6 * 12 * 2.0).reshape(1, 6, 12, 2)
    deep = space_to_depth(x, factor)
    assert deep.shape == (1, 6 // factor, 12 // factor, 2 * factor**2)
    first = x[0, :factor, :factor].flatten()  # a square in raster order
    assert torch.equal(deep[0, 0, 0], first)
    assert torch.equal(depth_to_space(deep, factor), x)


@pytest.mark.parametrize(
    "change",
    [
        {"patch": 1, "n_lp": 16, "placement": "equidistant"},  # four tokens for an LP
        {"patch": 2, "n_lp": 16, "placement": "equidistant"},  # one token per LP
        {"patch": 2, "n_lp": 64},  # four LPs per token
        {"patch": 2, "n_lp": 5, "placement": "middle"},  # no lattice
        {"patch": 2, "n_lp": 9, "placement": "random"},
    ],
    ids=["sparse", "one each", "dense", "middle", "random"],
)
def test_an_lp_is_given_the_tokens_of_its_block_only(
    tiny_config: GinrConfig, change: dict[str, object]
) -> None:
    config = dataclasses.replace(tiny_config, **change)  # type: ignore[arg-type]
    window = window_plan(config)
    content = ContentPath(config, 1.0)
    layout = sequence_layout(config, 8, 16, False, CPU)
    down, across = layout.token_shape
    tokens = torch.randn(1, down, across, config.width, requires_grad=True)
    given = content(tokens, random_bank(config))
    assert given.shape == (1, *layout.lp_shape, config.width)
    # Follow the sequence of the second window: LP i depends on block i of that window only.
    hears = [set[int]() for _ in range(config.n_lp)]
    for row in range(config.n_lp):
        lp = int(layout.order.reshape(2, -1)[1][window.plan.positions[row]]) - layout.n_token
        (grad,) = torch.autograd.grad(given.flatten(1, 2)[0, lp].sum(), tokens, retain_graph=True)
        hears[row] = set(grad.abs().sum(-1).flatten().nonzero().flatten().tolist())
    order = layout.order.reshape(2, -1)[1]
    in_sequence = order[order < layout.n_token]  # raster indices in curve order
    block = window.plan.block if window.lp_side else window.plan.block[:, -1:]
    assert hears == [set(in_sequence[torch.as_tensor(b)].tolist()) for b in block]


@pytest.mark.parametrize(
    "change",
    [{}, {"patch": 1, "n_lp": 16, "placement": "equidistant"}, {"n_lp": 16, "group": 1}],
    ids=["dense", "sparse", "one each"],
)
def test_content_by_place_equals_its_formula(
    tiny_config: GinrConfig, change: dict[str, Any]
) -> None:
    config = dataclasses.replace(tiny_config, **change)
    content = ContentPath(config, 1.0)
    nn.init.normal_(content.shift.weight)
    layout = sequence_layout(config, 8, 16, False, CPU)
    tokens = torch.randn(2, *layout.token_shape, config.width)
    inputs = [tokens, random_bank(config), *content.parameters()]
    for value in inputs:
        value.requires_grad_()
    weighting = torch.randn(2, *layout.lp_shape, config.width)
    answers = []
    for path in (content, content.plain):
        out = path(*inputs[:2])
        answers.append([out, *torch.autograd.grad((out * weighting).sum(), inputs)])
    for ours, expected in zip(*answers, strict=True):
        scale = expected.abs().max().item()
        torch.testing.assert_close(ours, expected, rtol=0, atol=2e-6 * scale)


def test_an_lp_decides_what_it_takes(tiny_config: GinrConfig) -> None:
    content, bank = ContentPath(tiny_config, 1.0), random_bank(tiny_config)
    tokens = torch.randn(1, 4, 4, tiny_config.width)
    with torch.no_grad():
        before = content(tokens, bank)
        bank[2] += 1  # the LP below and left in each square
        changed = (content(tokens, bank) != before).any(-1)[0]
    assert changed[1::2, ::2].all()
    assert changed.sum() == 16


def test_blocks_alternate_between_the_curves(tiny_model: Ginr, tiny_config: GinrConfig) -> None:
    seen: list[torch.Tensor] = []
    for block in tiny_model.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[3].order))
    with torch.no_grad():
        tiny_model.encode(torch.rand(1, 3, 8, 8))
    assert len(seen) == tiny_config.n_blocks
    assert all(not torch.equal(one, two) for one, two in pairwise(seen))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"width": 64, "expand": 1.5, "head_dim": 12, "hidden": 40, "n_state": 7, "n_tap": 2},
        {"patch": 1, "n_lp": 16, "placement": "equidistant"},  # four tokens for an LP
        {"patch": 2, "n_lp": 16, "placement": "equidistant", "kernel": 5},
        {"patch": 2, "n_lp": 5, "placement": "middle", "content": "none"},  # no lattice
        {"bank": "window"},
        {"patch": 1, "n_lp": 16, "placement": "equidistant", "bank": "window"},
        {"lps_scale": True},
        {"window": 16, "n_lp": 256, "width": 48, "head_dim": 24, "n_state": 16, "hidden": 48},
    ],
    ids=[
        "tiny",
        "other widths",
        "sparse",
        "one each",
        "middle",
        "bank by window",
        "sparse, bank by window",
        "channels scaled",
        "wide",
    ],
)
@pytest.mark.parametrize("windows", [(1, 1), (3, 1), (2, 5)], ids=str)
def test_compiled_blocks_equal_their_plain_form(
    tiny_config: GinrConfig,
    change: dict[str, Any],
    windows: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = Trial(dataclasses.replace(tiny_config, **change), windows)
    compiled = trial.values_and_gradients()
    with torch.no_grad():
        unlearned = trial.block(*trial.starts, trial.layout)
    assert torch.equal(unlearned[0], compiled["tokens"])
    assert torch.equal(unlearned[1], compiled["lps"])
    monkeypatch.setattr(compiled_blocks, "can_run", lambda *modules: False)
    monkeypatch.setattr(scan, "default_backend", lambda device: "reference")
    plain = trial.values_and_gradients()
    assert not torch.equal(compiled["tokens"], plain["tokens"])  # a kernel ran
    trial.block.double()  # the plain form's own rounding does not count
    for name, expected in trial.values_and_gradients().items():
        tolerance = 3e-6 if name in ("tokens", "lps") else 1e-5
        torch.testing.assert_close(
            compiled[name].double(), expected, rtol=0, atol=tolerance * expected.abs().max().item(),
            msg=lambda text, name=name: f"{name}: {text}",
        )  # fmt: skip


@pytest.mark.parametrize(("width", "head_dim"), [(48, 24), (32, 16)])
def test_compiled_blocks_round_like_their_plain_form(
    width: int, head_dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [Trial(GinrConfig(width=width, head_dim=head_dim), (2, 5)) for _ in range(4)]
    compiled = [trial.values_and_gradients() for trial in trials]
    monkeypatch.setattr(compiled_blocks, "can_run", lambda *modules: False)
    plain = [trial.values_and_gradients() for trial in trials]
    for trial in trials:
        trial.block.double()
    exact = [trial.values_and_gradients() for trial in trials]
    for name in exact[0]:
        off, plainly_off = (
            sum(  # of the largest errors, in units of the largest value
                ((v[name] - e[name]).abs().max() / e[name].abs().max()).item()
                for v, e in zip(values, exact, strict=True)
            )
            for values in (compiled, plain)
        )
        assert off <= 2 * plainly_off + len(trials) * 2e-6, name


def random_bank(config: GinrConfig) -> torch.Tensor:
    return torch.randn(bank_size(config), config.width)


def compiled_block(config: GinrConfig) -> Block:
    block = Block(config, 0)
    attach(block)
    return block


class Trial:
    """A block with random values in all parameters, and its output for random lattices."""

    def __init__(self, config: GinrConfig, windows: tuple[int, int]) -> None:
        self.block = compiled_block(config)
        self.layout = layout = sequence_layout(
            config, *(n * config.window for n in windows), True, CPU
        )
        shapes = (layout.token_shape, layout.lp_shape)
        self.starts = [*(torch.randn(2, *n, config.width) for n in shapes), random_bank(config)]
        self.weighting = [torch.randn_like(start) for start in self.starts[:2]]
        with torch.no_grad():
            for parameter in self.block.parameters():
                if parameter.ndim == 1:  # biases and scales that start at 0 and 1
                    parameter.add_(torch.randn_like(parameter) * 0.3)
                elif parameter.ndim == 4:  # projections, small at the end of a branch
                    parameter.mul_(2)

    def values_and_gradients(self) -> dict[str, torch.Tensor]:
        """Outputs and gradients by name, in the block's precision."""
        kind = next(self.block.parameters()).dtype
        starts = [start.to(kind) for start in self.starts]
        inputs = [start.clone().requires_grad_() for start in starts]
        answers = self.block(*inputs, self.layout)
        self.block.zero_grad()
        sum((a * w).sum() for a, w in zip(answers, self.weighting, strict=True)).backward()
        for place, start in zip(inputs, starts, strict=True):
            assert torch.equal(place, start)
        given = {name: parameter.grad for name, parameter in self.block.named_parameters()}
        kept = {name: grad for name, grad in given.items() if grad is not None}
        assert kept.keys() == given.keys()
        names = ("tokens", "lps", "of tokens", "of lps", "of the bank")
        tensors = (*(a.detach() for a in answers), *(v.grad for v in inputs))
        found = {name: v for name, v in zip(names, tensors, strict=True) if v is not None}
        return found | kept


def test_gradients_do_not_depend_on_the_threads(tiny_config: GinrConfig) -> None:
    block = compiled_block(tiny_config)
    layout = sequence_layout(tiny_config, 24, 16, False, CPU)
    inputs = [torch.randn(5, *n, 16) for n in (layout.token_shape, layout.lp_shape)]
    inputs.append(random_bank(tiny_config))
    given, n_before = [], torch.get_num_threads()
    try:
        for n_thread in (1, 2, 3):
            torch.set_num_threads(n_thread)
            block.zero_grad()
            sum(answer.square().sum() for answer in block(*inputs, layout)).backward()
            given.append([p.grad.clone() for p in block.parameters() if p.grad is not None])
    finally:
        torch.set_num_threads(n_before)
    for others in given[1:]:
        assert all(torch.equal(a, b) for a, b in zip(given[0], others, strict=True))


def test_compiled_blocks_stay_finite(tiny_config: GinrConfig) -> None:
    block = compiled_block(tiny_config)
    layout = sequence_layout(tiny_config, 8, 8, False, CPU)
    with torch.no_grad():
        for strength in (0.0, 1e-20, 1e4, 1e15):
            tokens = torch.randn(1, *layout.token_shape, tiny_config.width) * strength
            lps = torch.randn(1, *layout.lp_shape, tiny_config.width) * strength
            bank = random_bank(tiny_config)
            assert all(part.isfinite().all() for part in block(tokens, lps, bank, layout))


def test_other_precisions_and_widths_take_the_plain_form(tiny_model: Ginr) -> None:
    block, lattice = tiny_model.blocks[0], torch.randn(1, 4, 4, 16)
    assert compiled_blocks.can_run(block, lattice)
    assert not compiled_blocks.can_run(block, lattice.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not compiled_blocks.can_run(block, lattice)
