"""Networks of format 1 in today's form.

Run: pytest tests/checkpoints/test_format_1.py
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.architecture.config import FORMAT_1, GinrConfig
from ginr.architecture.tokens import lattice_of_bank, window_plan
from ginr.checkpoints.checkpoint import load_checkpoint, load_cpu_network
from ginr.checkpoints.format_1 import shapes_then, today
from ginr.errors import CheckpointError
from ginr.network.blocks import ContentPath, _to_windows, depth_to_space, space_to_depth

KINDS: dict[str, dict[str, Any]] = {
    "dense": {},
    "sparse": {"patch": 1, "n_lp": 16, "placement": "equidistant"},
    "no lattice": {"n_lp": 5, "placement": "middle", "decoder": "attention"},
    "without content": {"content": "none"},
}


def old_file(path: Path, config: GinrConfig) -> dict[str, Tensor]:
    """Writes a file of format 1 with random weights, and returns them."""
    config = dataclasses.replace(config, bank="window")
    weights = {name: torch.randn(shape) * 0.3 for name, shape in shapes_then(today(config)).items()}
    described = dataclasses.asdict(config)
    for name in FORMAT_1:
        del described[name]
    facts = {"ginr.format": "1", "ginr.config": json.dumps(described), "ginr.facts": "{}"}
    safetensors.torch.save_file(weights, path, facts)
    return weights


@pytest.mark.parametrize("change", KINDS.values(), ids=KINDS)
@torch.no_grad()
def test_lps_take_what_the_maps_gave(
    tiny_config: GinrConfig, tmp_path: Path, change: dict[str, Any]
) -> None:
    config = dataclasses.replace(tiny_config, **change)
    weights = old_file(tmp_path / "old.safetensors", config)
    model = load_checkpoint(tmp_path / "old.safetensors").build()
    assert model.config.bank == ("place" if config == tiny_config else "window")
    tokens = torch.randn(1, 8, 8, config.width)
    paths = {n: m for n, m in model.named_modules() if isinstance(m, ContentPath)}
    assert len(paths) == (0 if config.content == "none" else 1 + config.n_blocks)
    for name, path in paths.items():
        weight, bias = weights[f"{name}.map.weight"][:, :, 0, 0], weights[f"{name}.map.bias"]
        taken = path.plain(tokens, model.lps)
        if path.source is None:
            given = depth_to_space(
                F.linear(space_to_depth(tokens, path.down), weight, bias), path.up
            )
        else:
            given = F.linear(_to_windows(tokens, path.side)[:, :, path.source], weight, bias)
        if name == "start" and config == tiny_config:  # the vectors themselves are added, too
            place = lattice_of_bank(model.config)
            old = weights["lps"][window_plan(config).lp_curves[0].argsort()].unflatten(
                0, place.shape
            )
            means = (
                old.unflatten(0, (-1, 2)).unflatten(2, (-1, 2)).mean((0, 2))
            )  # by place (2, 2, D)
            taken, given = taken + model.lps[place].repeat(2, 2, 1), given + means.repeat(8, 8, 1)
        torch.testing.assert_close(taken, given, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_both_engines_read_it(tiny_config: GinrConfig, tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    old_file(path, dataclasses.replace(tiny_config, window=16, n_lp=256))
    pixels = torch.rand(1, 3, 20, 24)
    by_torch = load_checkpoint(path).build().encode(pixels).features
    planes = [pixels[0].numpy()]
    by_kernels = load_cpu_network(path).encode_planes(planes, origin=(0, 0), size=(20, 24)).features
    np.testing.assert_allclose(
        by_kernels, by_torch, rtol=0, atol=1e-4 * float(by_torch.abs().max())
    )


def test_a_file_with_other_weights_is_refused(tiny_config: GinrConfig, tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    weights = old_file(path, tiny_config)
    with safetensors.safe_open(path, "pt") as file:
        facts = file.metadata()
    weights["start.map.weight"] = weights["start.map.weight"][:5].contiguous()
    safetensors.torch.save_file(weights, path, facts)
    with pytest.raises(CheckpointError, match=r"tensor start.map.weight is \(5, "):
        load_checkpoint(path)
