"""Training: batches that repeat, a loss that falls, runs that stop and go on as if they had not.

Run: pytest tests/test_train.py
"""

import dataclasses
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ginr.checkpoint import load_checkpoint
from ginr.config import GinrConfig
from ginr.coords import to_lattice
from ginr.data import Batch, load_images, sample_batch
from ginr.errors import CheckpointError, GinrError
from ginr.model import Ginr
from ginr.resize import bicubic_8bit
from ginr.settings import Layer, read_toml, resolve
from ginr.train import Progress, gain_over_bicubic, train
from ginr.train_config import TrainConfig

Pixels = NDArray[np.uint8]


def stripes(side: int, period: int) -> Pixels:
    """Sharp slanted stripes: a network can learn them, bicubic blurs them."""
    y, x = np.mgrid[:side, :side]
    grey = np.where((x + 2 * y) // period % 2, 230, 20).astype(np.uint8)
    return np.stack([grey, 255 - grey, grey], -1)


def noise(side: int) -> Pixels:
    return np.random.default_rng(0).integers(256, size=(side, side, 3), dtype=np.uint8)


@pytest.fixture
def settings(tmp_path: Path) -> TrainConfig:
    """Two pictures, of which the first is held out; steps of a few milliseconds."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k, period in enumerate((5, 6)):
        Image.fromarray(stripes(40, period)).save(folder / f"{k}.png")
    return TrainConfig(
        (folder,), tmp_path / "run", steps=6, batch=2, crop=8, n_query=100, warm_up=2, n_held_out=1
    )


class Log(list[float]):
    """The loss of every step; asks to stop after `stop_after` of them."""

    def __init__(self, stop_after: float = math.inf) -> None:
        self.stop_after = stop_after
        self.scores: list[dict[str, float]] = []

    def __call__(self, progress: Progress, scores: dict[str, float] | None) -> None:
        if scores is None:
            self.append(progress.loss)
        else:
            self.scores.append(scores)

    def stop(self) -> bool:
        return len(self) >= self.stop_after


def batch_of(images: list[Pixels], seed: tuple[int, int] = (0, 0), **change: Any) -> Batch:
    options = {"batch": 3, "crop": 8, "n_query": 30, "max_scale": 2.5} | change
    return sample_batch(images, seed=seed, **options)


def test_a_seed_gives_its_batch_again() -> None:
    images = [noise(20), stripes(33, 4)]
    one, two, other = (batch_of(images, seed) for seed in ((4, 7), (4, 7), (4, 8)))
    for name in ("pixels", "coords", "cells", "target"):
        assert torch.equal(getattr(one, name), getattr(two, name))
        assert getattr(one, name).dtype == torch.float32
    assert not torch.equal(one.pixels, other.pixels)


def test_a_batch_has_the_promised_shapes_and_ranges() -> None:
    batch = batch_of([noise(20)], batch=5)
    assert batch.pixels.shape == (5, 3, 8, 8)
    assert batch.coords.shape == (5, 30, 2)
    assert batch.cells.shape == (5, 1, 2)
    assert batch.target.shape == (5, 30, 3)
    for values, low, high in ((batch.pixels, 0, 1), (batch.target, 0, 1), (batch.coords, -1, 1)):
        assert low <= values.min() <= values.max() <= high
    levels = batch.pixels * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("index", range(6))
def test_lr_is_bicubic_of_the_crop_and_targets_are_its_pixels(index: int) -> None:
    image = noise(14)
    batch = batch_of([image], (1, index), batch=1, crop=6, max_scale=2.0)
    side = round(2 / batch.cells[0, 0, 0].item())
    assert 6 <= side <= 12
    place = to_lattice(batch.coords[0].double(), side)
    torch.testing.assert_close(place, place.round(), rtol=0, atol=1e-4)
    y, x = place.round().long().T.numpy()
    target = (batch.target[0] * 255).round().byte().numpy()
    lr = (batch.pixels[0] * 255).round().byte().permute(1, 2, 0).numpy()
    # The crop is the one square of the picture, turned or mirrored, that has those pixels there.
    squares = [
        turned
        for top, left, turns in product(range(15 - side), range(15 - side), range(4))
        for straight in [np.rot90(image[top : top + side, left : left + side], turns)]
        for turned in (straight, straight[:, ::-1])
        if np.array_equal(turned[y, x], target)
    ]
    assert len(squares) == 1
    difference = np.abs(bicubic_8bit(squares[0], 6, 6).astype(int) - lr)
    assert difference.max() <= 1  # float32 may round a tie the other way
    assert (difference > 0).mean() < 0.02


def test_scales_are_drawn_as_far_as_the_picture_allows() -> None:
    sides = [
        round(2 / cell)
        for size, limit in ((20, 4.0), (64, 4.0), (8, 4.0))
        for cell in batch_of([noise(size)], batch=40, max_scale=limit).cells[:, 0, 0].tolist()
    ]
    small, large, single = np.split(np.array(sides), 3)
    assert small.min() <= 10
    assert 18 <= small.max() <= 20
    assert 28 <= large.max() <= 32
    assert set(single) == {8}


def test_pictures_of_every_kind_become_8_bit_colour(tmp_path: Path) -> None:
    grey = noise(9)[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(noise(9)).save(tmp_path / "b.png")
    Image.fromarray(np.dstack([noise(9), grey])).save(tmp_path / "c.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "d.png")
    (tmp_path / "e.png").write_text("no picture")
    (tmp_path / "f.txt").write_text("no picture")
    found = load_images([tmp_path])
    assert [path.name for path, _ in found] == ["a.png", "b.png", "c.png", "d.png"]
    for _, image in found:
        assert image.shape == (9, 9, 3)
        assert image.dtype == np.uint8
    for index in (0, 3):
        assert np.array_equal(found[index][1], np.repeat(grey[..., None], 3, -1))
    for index in (1, 2):
        assert np.array_equal(found[index][1], noise(9))


def test_the_loss_falls_on_one_picture(tiny_config: GinrConfig, settings: TrainConfig) -> None:
    log = Log()
    long = dataclasses.replace(settings, steps=150, batch=4, rate=1e-2)
    train(tiny_config, long, log)
    assert len(log) == 150
    assert np.mean(log[-30:]) < 0.9 * np.mean(log[:30])
    assert log.scores[-1].keys() == {"x2", "x3", "x4"}
    assert log.scores[-1]["x2"] > 0.5  # dB over bicubic, on the other picture of stripes


@pytest.mark.parametrize("at", [1, 3, 5])
def test_stop_and_resume_equal_a_straight_run(
    tiny_config: GinrConfig, settings: TrainConfig, at: int
) -> None:
    straight, first, second = Log(), Log(at), Log()
    elsewhere = dataclasses.replace(settings, run=settings.run.with_name("straight"))
    whole = train(tiny_config, elsewhere, straight)
    train(tiny_config, settings, first, first.stop)
    assert len(first) == at
    resumed = train(tiny_config, settings, second)
    assert [*first, *second] == straight
    one, two = load_checkpoint(whole), load_checkpoint(resumed)
    assert one.facts["steps"] == two.facts["steps"] == 6
    assert one.facts["held_out_gain_over_bicubic_db"] == two.facts["held_out_gain_over_bicubic_db"]
    for name, weight in one.weights.items():
        assert torch.equal(weight, two.weights[name]), name


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
    train(tiny_config, settings, nothing, nothing.stop)
    assert nothing == []
    train(tiny_config, settings, whole)
    train(tiny_config, dataclasses.replace(settings, run=settings.run / "other"), straight)
    assert whole == straight


@pytest.mark.parametrize("content", ["none", "start"])
def test_a_network_with_idle_parameters_is_saved_and_resumed(
    tiny_config: GinrConfig, settings: TrainConfig, content: Any
) -> None:
    # Without content in every block nothing reads the tokens of the last block.
    config = dataclasses.replace(tiny_config, content=content)
    first, second = Log(2), Log()
    train(config, settings, first, first.stop)
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
        ({"network.n_blocks": 1}, r"run: a run with network\.n_blocks = 2, not 1; set it so"),
        ({"crop": 9}, "run: a run with crop = 8, not 9; set it so, or choose another run folder"),
        ({"seed": 1}, "a run with seed = 0, not 1"),
    ],
)
def test_a_run_keeps_its_configuration(
    tiny_config: GinrConfig, settings: TrainConfig, change: dict[str, Any], words: str
) -> None:
    log = Log(1)
    train(tiny_config, settings, log, log.stop)
    saved = read_toml(settings.run / "config.toml")
    config, other = resolve([saved, Layer("change", change)])
    with pytest.raises(CheckpointError, match=words):
        train(config, other, Log())


def test_a_loss_of_nan_ends_the_run_and_keeps_the_save(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    wild = dataclasses.replace(settings, rate=1e30, steps=50)
    path = train(tiny_config, wild, Log(), lambda: True)
    saved = path.read_bytes()
    with pytest.raises(GinrError, match=r"the loss is (nan|inf) at step \d+; .* lower the rate"):
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


def test_a_silent_network_gains_nothing_over_bicubic(tiny_model: Ginr, sample_images: Path) -> None:
    with torch.no_grad():
        tiny_model.decoder.head.weight.zero_()
        tiny_model.decoder.head.bias.zero_()
    images = [image for _, image in load_images([sample_images])][:2]
    for scale in (2, 3.7):
        assert gain_over_bicubic(tiny_model, images, scale) == pytest.approx(0, abs=0.02)
