"""Networks between two of one form: interpolated weights, with and without torch.

Run: pytest tests/checkpoints/test_blend.py
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ginr.checkpoints.checkpoint import (
    Blend,
    load_checkpoint,
    load_cpu_network,
    save_checkpoint,
)
from ginr.errors import CheckpointError, GinrError
from ginr.network.model import Ginr

SIZE = (24, 16)


@pytest.fixture
def pair(tiny_model: Ginr, tmp_path: Path) -> tuple[Path, Path]:
    """Two checkpoints of one form, of which the second is in float16."""
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    weights = tiny_model.state_dict()
    save_checkpoint(one, tiny_model.config, weights, {})
    moved = {name: w + 0.1 * torch.randn_like(w) for name, w in weights.items()}
    save_checkpoint(two, tiny_model.config, moved, {}, dtype=torch.float16)
    return one, two


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_weights_are_interpolated(pair: tuple[Path, Path], share: float) -> None:
    one, two = (load_checkpoint(path) for path in pair)
    between = one.blended(Blend(pair[1], share))
    assert between.weights.keys() == one.weights.keys()
    for name, weight in between.weights.items():
        wanted = (1 - share) * one.weights[name] + share * two.weights[name]
        torch.testing.assert_close(weight, wanted, rtol=1e-6, atol=1e-7)


def test_the_ends_are_the_two_networks(pair: tuple[Path, Path]) -> None:
    planes = [np.random.default_rng(0).random((3, *SIZE), np.float32)]

    def features(path: Path, blend: Blend | None = None) -> np.ndarray:
        network = load_cpu_network(path, blend=blend)
        return np.array(network.encode_planes(planes, origin=(0, 0), size=SIZE).features)

    one, two = pair
    np.testing.assert_array_equal(features(one, Blend(two, 0.0)), features(one))
    np.testing.assert_allclose(features(one, Blend(two, 1.0)), features(two), atol=1e-5)
    between = features(one, Blend(two, 0.5))
    assert np.abs(between - features(one)).max() > 0.01
    assert np.abs(between - features(two)).max() > 0.01


def test_a_network_without_grain_has_one_of_zero(pair: tuple[Path, Path], tmp_path: Path) -> None:
    plain = load_checkpoint(pair[0])
    config = dataclasses.replace(plain.config, n_grain=2)
    weights = {**plain.weights, "grain": torch.ones(2, config.width)}
    save_checkpoint(tmp_path / "grained.safetensors", config, weights, {})
    grained = load_checkpoint(tmp_path / "grained.safetensors")
    between = grained.blended(Blend(pair[0], 0.25))
    assert (between.weights["grain"] == 0.75).all() and between.build().config == config
    with pytest.raises(CheckpointError, match="another form"):
        plain.blended(Blend(tmp_path / "grained.safetensors", 0.25))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_is_refused(pair: tuple[Path, Path], share: float) -> None:
    with pytest.raises(GinrError, match="give a number from 0 to 1"):
        load_checkpoint(pair[0]).blended(Blend(pair[1], share))


def test_a_network_of_another_form_is_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(CheckpointError, match="another form than one: they cannot be blended"):
        load_checkpoint(pair[0]).blended(Blend("small", 0.5))


def test_a_damaged_network_is_refused(pair: tuple[Path, Path]) -> None:
    weights = load_checkpoint(pair[0]).weights
    bad = {**weights, "lps": torch.full_like(weights["lps"], float("nan"))}
    save_checkpoint(pair[1], load_checkpoint(pair[0]).config, bad, {})
    with pytest.raises(CheckpointError, match="lps holds NaN"):
        load_cpu_network(pair[0], blend=Blend(pair[1], 0.5))
