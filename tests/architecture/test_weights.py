"""The list of weights is that of the torch network: pytest tests/architecture/test_weights.py"""

from random import Random
from typing import Any

import pytest

from ginr.architecture.config import PRESETS, GinrConfig
from ginr.architecture.weights import shapes
from ginr.network.model import Ginr

VALUES: dict[str, list[Any]] = {
    "patch": [1, 2, 4, 8],
    "window": [4, 8, 16],
    "n_lp": [0, 1, 3, 4, 5, 16, 64, 256],
    "placement": ["equidistant", "middle", "n_group", "random"],
    "group": [1, 2, 4],
    "content": ["none", "start", "blocks"],
    "order": ["hilbert", "morton", "raster"],
    "width": [16, 32, 48],
    "n_blocks": [1, 2, 5],
    "scan_every": [1, 2, 3],
    "expand": [1.0, 2.0, 3.0],
    "head_dim": [1, 4, 8],
    "n_state": [3, 16],
    "n_tap": [1, 4],
    "hidden": [16, 20],
    "kernel": [1, 3, 5],
    "decoder": ["lattice", "attention"],
    "n_frequency": [1, 5, 16],
    "base": ["bicubic", "none"],
    "mixer": ["mamba2", "mamba", "transformer"],
    "values": ["normalised", "raw"],
    "positions": ["none", "sinusoidal", "learned", "rope"],
}


def assert_same(model: Ginr) -> None:
    assert shapes(model.config) == {k: tuple(v.shape) for k, v in model.state_dict().items()}


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    assert_same(Ginr(PRESETS[name]))


@pytest.mark.parametrize("decoder", ["lattice", "attention"])
def test_all_kinds_of_networks(decoder: str) -> None:
    random, kinds = Random(0), set[tuple[Any, ...]]()
    for _ in range(2000):
        values = {name: random.choice(choices) for name, choices in VALUES.items()}
        try:
            model = Ginr(GinrConfig(**values | {"decoder": decoder}))
        except ValueError:  # no such network can be built
            continue
        assert_same(model)
        kinds.add((values["patch"], values["n_lp"], values["placement"], values["content"]))
    assert len(kinds) > 30
