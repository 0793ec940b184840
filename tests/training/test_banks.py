"""Training a bank: the LPs alone learn, and a run goes on with the same network only.

Run: pytest tests/training/test_banks.py
"""

import dataclasses
from pathlib import Path

import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.banks import load_bank
from ginr.checkpoints.checkpoint import load_checkpoint, peek, save_checkpoint
from ginr.errors import CheckpointError
from ginr.training.config import TrainConfig
from ginr.training.loop import train
from ginr.training.settings import Layer, resolve

from .support import Log


@pytest.fixture
def banked(settings: TrainConfig, tiny_checkpoint: Path) -> TrainConfig:
    return dataclasses.replace(settings, bank="mine", init=str(tiny_checkpoint), rate=3e-2)


def test_the_vectors_alone_learn(
    tiny_config: GinrConfig, banked: TrainConfig, tiny_checkpoint: Path
) -> None:
    log = Log()
    path = train(tiny_config, dataclasses.replace(banked, steps=60, batch=4), log)
    assert sum(log[-20:]) < 0.98 * sum(log[:20])
    assert path == banked.run / "mine.safetensors"
    lps = torch.from_numpy(load_bank(path, peek(tiny_checkpoint)))
    own = load_checkpoint(tiny_checkpoint).weights["lps"]
    assert lps.shape == own.shape and (lps - own).abs().mean() > 0.01
    assert (banked.run / "state.safetensors").stat().st_size < 8000
    found = load_checkpoint(tiny_checkpoint).with_bank(path)  # the hash: no other weight changed
    assert torch.equal(found.weights["lps"], lps)


def test_a_stopped_bank_resumes_bit_for_bit(tiny_config: GinrConfig, banked: TrainConfig) -> None:
    straight, first, second = Log(), Log(3), Log()
    elsewhere = dataclasses.replace(banked, run=banked.run.with_name("straight"))
    whole = train(tiny_config, elsewhere, straight)
    train(tiny_config, banked, first)
    resumed = train(tiny_config, banked, second)
    assert [*first, *second] == straight
    header = peek(banked.init or "")
    assert (load_bank(whole, header) == load_bank(resumed, header)).all()


def test_a_run_with_traits_trains_a_bank(
    tiny_config: GinrConfig, banked: TrainConfig, make_model, tmp_path: Path
) -> None:
    from ginr.assessing.assessment import TRAITS

    config = dataclasses.replace(tiny_config, n_trait=len(TRAITS), lps_scale=True)
    path = tmp_path / "told.safetensors"
    save_checkpoint(path, config, make_model(config).state_dict(), {})
    settings = dataclasses.replace(banked, init=str(path), degradation="photo")
    bank = train(config, settings, Log())
    assert load_bank(bank, peek(path)).shape == (4, 16)


def test_a_bank_goes_on_with_its_own_network_only(
    tiny_config: GinrConfig, banked: TrainConfig, tiny_checkpoint: Path
) -> None:
    train(tiny_config, banked, Log(2))
    checkpoint = load_checkpoint(tiny_checkpoint)
    moved = {**checkpoint.weights, "stem.bias": checkpoint.weights["stem.bias"] + 1}
    save_checkpoint(tiny_checkpoint, tiny_config, moved, {})
    with pytest.raises(CheckpointError, match="was trained with init = "):
        train(tiny_config, banked, Log())
    for other in (
        dataclasses.replace(banked, bank="yours"),
        dataclasses.replace(banked, bank=None),
    ):
        with pytest.raises(CheckpointError, match="was trained with bank = mine, not "):
            train(tiny_config, other, Log())


def test_a_run_of_a_network_takes_no_bank(
    tiny_config: GinrConfig, settings: TrainConfig, banked: TrainConfig
) -> None:
    train(tiny_config, dataclasses.replace(settings, rate=banked.rate), Log(2))
    with pytest.raises(CheckpointError, match="was trained with bank = None, not mine"):
        train(tiny_config, banked, Log())


def test_a_bank_has_defaults_of_its_own(tmp_path: Path) -> None:
    values = {"folders": [str(tmp_path)], "run": str(tmp_path), "bank": "mine", "init": "base"}
    config, settings = resolve([Layer("test", values)])
    assert config == peek("base").config
    assert (settings.minutes, settings.rate, settings.batch) == (3.0, 1e-2, 4)
    _, settings = resolve([Layer("test", {**values, "steps": 5, "rate": 0.5})])
    assert (settings.steps, settings.rate) == (5, 0.5)
