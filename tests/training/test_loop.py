"""Training: the loss falls, and stopped runs resume as if they had never stopped.

Run: pytest tests/training/test_loop.py
"""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ginr.architecture.config import GinrConfig
from ginr.assessing.assessment import TRAITS
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.errors import CheckpointError, GinrError
from ginr.network.model import Ginr
from ginr.training.config import TrainConfig
from ginr.training.loop import train
from ginr.training.objectives import loss_of
from ginr.training.run_folder import Weights
from ginr.training.settings import Layer, read_toml, resolve

from .support import Log, noise


def test_the_loss_falls_on_one_picture(tiny_config: GinrConfig, settings: TrainConfig) -> None:
    log = Log()
    long = dataclasses.replace(settings, steps=150, batch=4, rate=1e-2)
    train(tiny_config, long, log)
    assert len(log) == 150
    assert np.mean(log[-30:]) < 0.9 * np.mean(log[:30])
    assert log.scores[-1].gain.keys() == {"x2", "x3", "x3.7", "x4"}
    assert log.scores[-1].gain["x2"] > 0.5  # dB over bicubic, on the other picture of stripes


@pytest.mark.parametrize("at", [1, 3, 5])
def test_stop_and_resume_equal_a_straight_run(
    tiny_config: GinrConfig, settings: TrainConfig, at: int
) -> None:
    straight, first, second = Log(), Log(at), Log()
    elsewhere = dataclasses.replace(settings, run=settings.run.with_name("straight"))
    whole = train(tiny_config, elsewhere, straight)
    train(tiny_config, settings, first)
    assert len(first) == at
    resumed = train(tiny_config, settings, second)
    assert [*first, *second] == straight
    one, two = load_checkpoint(whole), load_checkpoint(resumed)
    assert one.facts["steps"] == two.facts["steps"] == 6
    assert one.facts["held_out_gain_over_bicubic_db"] == two.facts["held_out_gain_over_bicubic_db"]
    for name, weight in one.weights.items():
        assert torch.equal(weight, two.weights[name]), name


class Impatient(Log):
    """Stops after some steps, in the middle of the validation."""

    def stops_validation(self) -> bool:
        return self.stop()


def test_a_run_that_is_stopped_while_it_is_measured_is_saved_and_resumed(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    straight, first, second = Log(), Impatient(3), Log()
    every = dataclasses.replace(settings, save_minutes=1e-9)  # saves after each step
    stopped = load_checkpoint(train(tiny_config, every, first))
    assert [bool(scores.psnr) for scores in first.scores] == [True, True, False]
    assert stopped.facts["steps"] == 3
    assert stopped.facts["held_out_psnr_y_db"] == {}
    stopped.build()
    resumed = load_checkpoint(train(tiny_config, settings, second))
    elsewhere = dataclasses.replace(settings, run=settings.run.with_name("straight"))
    whole = load_checkpoint(train(tiny_config, elsewhere, straight))
    assert [*first, *second] == straight
    assert resumed.facts["held_out_psnr_y_db"] == whole.facts["held_out_psnr_y_db"]
    for name, weight in whole.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name
    lines = map(json.loads, (settings.run / "metrics.jsonl").read_text().splitlines())
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [1, 2, 6]


def test_the_averaged_weights_remember_no_step(tiny_config: GinrConfig) -> None:
    model = Ginr(tiny_config)
    weights = Weights(model, torch.optim.Adam(model.parameters()))
    before = weights.average["lps"].clone()
    with torch.no_grad():
        model.lps.add_(1)
    weights.update_average(0.75)
    torch.testing.assert_close(weights.average["lps"], before + 0.25)
    assert all(average.grad_fn is None for average in weights.average.values())


def test_a_finished_run_is_left_as_it_is(tiny_config: GinrConfig, settings: TrainConfig) -> None:
    once, twice = Log(), Log()
    before = load_checkpoint(train(tiny_config, settings, once))
    after = load_checkpoint(train(tiny_config, settings, twice))
    assert twice == []
    assert all(torch.equal(before.weights[k], after.weights[k]) for k in before.weights)


def test_a_run_stopped_at_once_starts_from_its_beginning(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    straight, nothing, whole = Log(), Log(0), Log()
    train(tiny_config, settings, nothing)
    assert nothing == []
    train(tiny_config, settings, whole)
    train(tiny_config, dataclasses.replace(settings, run=settings.run / "other"), straight)
    assert whole == straight


@pytest.mark.parametrize("content", ["none", "start"])
def test_a_network_with_idle_parameters_is_saved_and_resumed(
    tiny_config: GinrConfig, settings: TrainConfig, content: Any
) -> None:
    # Without content in every block, nothing reads the tokens of the last block.
    config = dataclasses.replace(tiny_config, content=content)
    first, second = Log(2), Log()
    train(config, settings, first)
    path = train(config, settings, second)
    assert len(first) + len(second) == 6
    assert load_checkpoint(path).build().config == config


def test_the_checkpoint_says_how_it_was_trained(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    checkpoint = load_checkpoint(train(tiny_config, settings, Log()))
    assert checkpoint.config == tiny_config
    assert checkpoint.facts["steps"] == 6
    assert checkpoint.facts["n_training_images"] == 1
    assert checkpoint.facts["settings"]["crop"] == 8
    assert str(settings.folders[0].parent) not in str(dict(checkpoint.facts))
    with torch.no_grad():
        picture = checkpoint.build().encode(torch.rand(1, 3, 8, 8)).render((20, 20))
    assert picture.isfinite().all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"network.n_blocks": 1},
            r"run: was trained with network\.n_blocks = 2, not 1: use that again",
        ),
        (
            {"crop": 9},
            "run: was trained with crop = 8, not 9: use that again, or choose another run folder",
        ),
        ({"seed": 1}, "was trained with seed = 0, not 1"),
    ],
)
def test_a_run_keeps_its_configuration(
    tiny_config: GinrConfig, settings: TrainConfig, change: dict[str, Any], words: str
) -> None:
    log = Log(1)
    train(tiny_config, settings, log)
    saved = read_toml(settings.run / "config.toml")
    config, other = resolve([saved, Layer("change", change)])
    with pytest.raises(CheckpointError, match=words):
        train(config, other, Log())


def test_a_loss_of_nan_ends_the_run_and_keeps_the_save(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    wild = dataclasses.replace(settings, rate=1e30, steps=50)
    path = train(tiny_config, wild, Log(0))
    saved = path.read_bytes()
    with pytest.raises(GinrError, match=r"the loss is (nan|inf) at step \d+.* --init .* lower"):
        train(tiny_config, wild, Log())
    assert path.read_bytes() == saved


@pytest.mark.parametrize("side", [None, 7])
def test_a_folder_without_pictures_to_train_on_is_refused(
    tiny_config: GinrConfig, tmp_path: Path, side: int | None
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    if side is not None:
        for k in range(3):
            Image.fromarray(noise(side)).save(folder / f"{k}.png")
    with pytest.raises(GinrError, match="few: no "):
        train(tiny_config, TrainConfig((folder,), tmp_path / "run", steps=1, crop=8), Log())


def weights_after(config: GinrConfig, settings: TrainConfig, name: str, **change: Any) -> Any:
    elsewhere = dataclasses.replace(settings, run=settings.run.with_name(name), **change)
    log = Log()
    return load_checkpoint(train(config, elsewhere, log)).weights, log


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "charbonnier"},
        {"loss": "mse"},
        {"optimizer": "adam"},
        {"optimizer": "adamw"},
        {"weight_decay": 0.1},
        {"precision": "bfloat16"},
        {"degradation": "photo"},
        {"degradation": "web"},
        {"rate_lps": 0.03},
        {"rate_encoder": 0.03},
        {"rate_decoder": 0.03},
    ],
)
def test_settings_of_the_loop_change_what_is_learned(
    tiny_config: GinrConfig, settings: TrainConfig, change: dict[str, Any]
) -> None:
    plain, _ = weights_after(tiny_config, settings, "plain", steps=3)
    other, log = weights_after(tiny_config, settings, "other", steps=3, **change)
    assert all(math.isfinite(loss) for loss in log)
    assert any(not torch.equal(plain[name], other[name]) for name in plain)


def test_a_group_with_a_rate_of_nearly_nothing_stays(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    torch.manual_seed(settings.seed)
    before = Ginr(tiny_config).state_dict()
    after, _ = weights_after(tiny_config, settings, "other", rate_decoder=1e-12)
    for name, weight in after.items():
        moved = float((weight - before[name]).abs().max())
        assert moved < 1e-9 if name.startswith("decoder.") else moved > 1e-5, name


def test_half_of_the_bits_give_nearly_the_same_loss(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    _, whole = weights_after(tiny_config, settings, "whole")
    _, half = weights_after(tiny_config, settings, "half", precision="bfloat16")
    assert half != whole
    assert half == pytest.approx(list(whole), rel=2e-3)


def rates_of(config: GinrConfig, settings: TrainConfig, **change: Any) -> list[float]:
    """The rate of every step, divided by its peak."""
    weights_after(config, settings, "rates", log_steps=1, **change)
    log = (settings.run.with_name("rates") / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in log]
    return [line["rate"] / settings.rate for line in lines if line["kind"] == "training"]


def test_the_warm_up_takes_a_tenth_of_a_short_run(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    rates = rates_of(tiny_config, settings, steps=40, warm_up=200)
    cosine = [0.5 * (1 + math.cos(math.pi * step / 40)) for step in range(40)]
    warm = [1 / 200, 1 / 4, 2 / 4, 3 / 4] + [1.0] * 36
    assert rates == pytest.approx([c * w for c, w in zip(cosine, warm, strict=True)])


def test_losses_by_hand() -> None:
    error = torch.tensor([0.5, -0.1])
    assert loss_of(error, "l1").item() == pytest.approx(0.3)
    assert loss_of(error, "mse").item() == pytest.approx(0.13)
    assert loss_of(error, "charbonnier").item() == pytest.approx(0.3, abs=1e-5)
    assert loss_of(torch.zeros(2), "charbonnier").item() == pytest.approx(1e-3)


def test_parts_of_a_batch_add_up_to_it(tiny_config: GinrConfig, settings: TrainConfig) -> None:
    whole, one = weights_after(tiny_config, settings, "whole", batch=4)
    parts, four = weights_after(tiny_config, settings, "parts", batch=4, accumulate=4)
    assert four == pytest.approx(list(one), rel=1e-4)
    for name, weight in whole.items():
        torch.testing.assert_close(weight, parts[name], rtol=1e-2, atol=1e-4)


def test_a_run_starts_from_the_weights_of_a_checkpoint(
    tiny_config: GinrConfig, settings: TrainConfig, tiny_checkpoint: Path
) -> None:
    begun = dataclasses.replace(settings, init=str(tiny_checkpoint))
    path = train(dataclasses.replace(tiny_config, max_scale=3.0), begun, Log(0))
    first, given = load_checkpoint(path), load_checkpoint(tiny_checkpoint)
    assert first.facts["settings"]["init"] == tiny_checkpoint.name
    for name, weight in given.weights.items():
        assert torch.equal(weight, first.weights[name]), name


def test_what_a_larger_network_has_more_of_adds_nothing_at_first(
    tiny_config: GinrConfig, settings: TrainConfig, tiny_checkpoint: Path
) -> None:
    begun = dataclasses.replace(settings, init=str(tiny_checkpoint))
    larger = dataclasses.replace(tiny_config, n_blocks=4, lps_scale=True, n_trait=len(TRAITS))
    first, given = (load_checkpoint(p) for p in (train(larger, begun, Log(0)), tiny_checkpoint))
    pixels, traits = torch.rand(1, 3, 16, 16), torch.ones(1, len(TRAITS))
    network, before = first.build(), given.build().encode(pixels).features
    assert len(first.weights) > len(given.weights)
    for told in (None, traits):
        torch.testing.assert_close(network.encode(pixels, traits=told).features, before)


def test_a_restorer_is_told_traits(tiny_config: GinrConfig, settings: TrainConfig) -> None:
    config = dataclasses.replace(tiny_config, lps_scale=True, n_trait=len(TRAITS))
    damaged = dataclasses.replace(settings, degradation="photo")
    weights = load_checkpoint(train(config, damaged, Log())).weights
    assert weights["traits"].abs().amax((1, 2)).min() > 0
    with pytest.raises(GinrError, match="n_trait is 3: use 0, or 10"):
        train(dataclasses.replace(config, n_trait=3), damaged, Log())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 32, "n_blocks": 1}, r"another shape: width = 16, not 32; n_blocks = 2, not 1$"),
        ({"n_lp": 16, "group": 1}, r"another shape: n_lp = 64, not 16; group = 4, not 1$"),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused(
    tiny_config: GinrConfig,
    settings: TrainConfig,
    tiny_checkpoint: Path,
    change: dict[str, Any],
    words: str,
) -> None:
    begun = dataclasses.replace(settings, init=str(tiny_checkpoint))
    with pytest.raises(CheckpointError, match=words):
        train(dataclasses.replace(tiny_config, **change), begun, Log())
    assert not settings.run.exists()


def test_other_pictures_are_another_run(tiny_config: GinrConfig, settings: TrainConfig) -> None:
    train(tiny_config, settings, Log(1))
    Image.fromarray(noise(40)).save(settings.folders[0] / "2.png")
    with pytest.raises(CheckpointError, match=r"run: was trained on other pictures: .* --init "):
        train(tiny_config, settings, Log())


def lines_of(settings: TrainConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (settings.run / "metrics.jsonl").read_text().splitlines()]


def test_the_log_has_every_number(tiny_config: GinrConfig, settings: TrainConfig) -> None:
    log = Log()
    train(tiny_config, dataclasses.replace(settings, log_steps=2), log)
    *training, validation = lines_of(settings)
    assert [(line["kind"], line["step"]) for line in training] == [
        ("training", k) for k in (2, 4, 6)
    ]
    assert [line["loss"] for line in training] == log[1::2]
    for line in training:
        assert line.keys() == {
            "kind", "step", "minutes", "loss", "psnr_db", "gradient_norm", "rate", "lp_diversity",
            "lp_effective_rank", "waiting_for_data", "forward_and_backward",
        }  # fmt: skip
        assert 0.5 < line["lp_diversity"] <= 1 and 0 <= line["waiting_for_data"] <= 1
        assert 3 < line["lp_effective_rank"] <= 4
        assert 0 < line["psnr_db"] < 60 and line["gradient_norm"] > 0
    assert validation["kind"] == "validation" and validation["step"] == 6
    assert validation["gain_over_bicubic_db"] == log.scores[-1].gain
    assert validation["psnr_y_db"].keys() == {"x2", "x3", "x3.7", "x4"}


def test_tensorboard_is_given_numbers_and_pictures(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    train(tiny_config, dataclasses.replace(settings, tensorboard=True, log_steps=3), Log())
    (events,) = (settings.run / "tensorboard").iterdir()
    contents = events.read_bytes()
    for name in (b"training/loss", b"validation/psnr_y_db/x3.7", b"bicubic_network_original/0"):
        assert name in contents
    assert contents.count(b"IHDR") == 1


def test_tensorboard_that_is_missing_is_said(
    tiny_config: GinrConfig, settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(GinrError, match=r"tensorboardX is missing: pip install 'ginr\[train\]'"):
        train(tiny_config, dataclasses.replace(settings, tensorboard=True), Log())


def test_pictures_that_do_not_fit_in_memory_give_the_same_run(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    inside, one = weights_after(tiny_config, settings, "inside", steps=2)
    mapped, two = weights_after(tiny_config, settings, "mapped", steps=2, memory_gb=1e-9)
    assert one == two
    assert all(torch.equal(inside[name], mapped[name]) for name in inside)


def test_a_run_that_goes_on_has_no_step_twice_in_its_log(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    every = dataclasses.replace(settings, log_steps=1)
    train(tiny_config, every, Log(2))
    with (settings.run / "metrics.jsonl").open("a") as file:  # as if it had crashed later on
        file.write('{"kind": "training", "step": 3}\n{"kind": "tra')
    train(tiny_config, every, Log())
    steps = [line["step"] for line in lines_of(settings) if line["kind"] == "training"]
    assert steps == [1, 2, 3, 4, 5, 6]
