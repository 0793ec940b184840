"""Perceptual and adversarial losses: patches, masks, both sides' gradients, and resumed runs.

Run: pytest tests/training/test_objectives.py
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.errors import CheckpointError, GinrError
from ginr.geometry.coords import to_lattice
from ginr.measuring.perceptual_weights import VARIABLE
from ginr.training.config import TrainConfig
from ginr.training.discriminator import Adversary, Discriminator
from ginr.training.loop import train
from ginr.training.objectives import (
    Objective,
    PerceptualObjective,
    loss_of,
    objective_of,
    patch_side,
)
from ginr.training.processes import ProcessGroup
from ginr.training.ripples import ripples
from ginr.training.samples import Batch, Sampler
from ginr.training.texture import detailed

from .support import Log, noise

SIDE = 44
BOTH = "perceptual+adversarial"


@pytest.fixture(autouse=True)
def the_weights_of_lpips(perceptual_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(perceptual_file))


@pytest.fixture
def looking(tmp_path: Path) -> TrainConfig:
    """Two pictures of noise, of which the first is held out; patches of 44x44 pixels."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(2):
        Image.fromarray(noise(80)[:, ::-1] if k else noise(80)).save(folder / f"{k}.png")
    return TrainConfig(
        (folder,), tmp_path / "run", steps=4, batch=2, crop=16, n_query=SIDE**2, warm_up=2,
        n_held_out=1, loss=BOTH,
    )  # fmt: skip


def objective(settings: TrainConfig, **change: Any) -> PerceptualObjective:
    torch.manual_seed(3)
    settings = dataclasses.replace(settings, **change)
    found = objective_of(settings, ProcessGroup("cpu"), 4.0)
    assert isinstance(found, PerceptualObjective)
    return found


def colours(n: int, seed: int) -> torch.Tensor:
    return torch.rand(n, SIDE**2, 3, generator=torch.Generator().manual_seed(seed))


def batch_of(target: torch.Tensor) -> Batch:
    """A batch whose queries are patches at the corner of crops, of three HR pixels an LR pixel."""
    n, side = len(target), 3 * 16
    y, x = np.indices((SIDE, SIDE)).reshape(2, -1)
    place = torch.from_numpy(np.stack([y, x], -1)).float()
    coords = (2 * (place + 0.5) / side - 1).expand(n, -1, -1)
    return Batch(torch.zeros(n, 3, 16, 16), coords, coords[:, :1], target, torch.zeros(n, 0))


def test_the_queries_of_a_crop_are_a_square_of_its_picture() -> None:
    image = noise(80)
    sampler = Sampler([image], 5, 16, SIDE**2, 4.0, patch=SIDE)
    for step in range(8):
        crop = sampler.draw(step, 0)
        batch = sampler.batch(step, range(1))
        y, x = (v.reshape(SIDE, SIDE) for v in (crop.y, crop.x))
        assert (np.diff(y, axis=0) == 1).all() and (np.diff(x, axis=1) == 1).all()
        assert (np.diff(y, axis=1) == 0).all() and (np.diff(x, axis=0) == 0).all()
        assert y.min() >= 0 and y.max() < len(crop.view) and x.max() < len(crop.view)
        assert len(crop.view) >= SIDE + 1
        patch = crop.view[y[0, 0] : y[0, 0] + SIDE, x[0, 0] : x[0, 0] + SIDE]
        found = (batch.target[0].view(SIDE, SIDE, 3) * 255).round().numpy()
        np.testing.assert_array_equal(found, patch)
        place = to_lattice(batch.coords[0].double(), len(crop.view)).view(SIDE, SIDE, 2)
        torch.testing.assert_close(place[..., 0], torch.from_numpy(y).double(), rtol=0, atol=1e-4)


def test_detail_is_where_there_is_texture_and_nothing_is_drawn() -> None:
    flat = torch.full((1, 3, 40, 40), 0.5) + 0.5 / 255 * torch.rand(1, 3, 40, 40)
    assert not detailed(flat).any()
    grain = torch.rand(1, 3, 40, 40)
    assert (detailed(grain) == 1).all()
    slope = torch.linspace(0, 1, 40).expand(1, 3, 40, 40)  # as out of focus
    assert not detailed(slope)[..., 8:-8].any()
    strokes = torch.zeros(1, 3, 40, 40)
    strokes[..., ::8] = 1
    assert not detailed(strokes).any()
    half = detailed(torch.cat([flat, flat, grain, grain], 3))[0, 0]
    assert not half[:, :73].any() and (half[:, 88:] == 1).all()


def test_a_perfect_patch_costs_nothing_but_the_adversary(looking: TrainConfig) -> None:
    same = colours(2, 0)
    assert objective(looking, loss="perceptual")(same, batch_of(same)) == 0
    assert objective(looking, loss="perceptual")(colours(2, 1), batch_of(same)) > 0.3


def test_flat_patches_count_by_their_colours_alone(looking: TrainConfig) -> None:
    flat = torch.full((2, SIDE**2, 3), 0.5)
    other = flat + 0.2 * colours(2, 0)
    for weight in (0.0, 3.0):
        found = objective(looking, ripple_weight=0.0, smooth_weight=weight)(other, batch_of(flat))
        torch.testing.assert_close(found, (1 + weight) * loss_of(other - flat, "l1"))


def test_the_gradient_is_that_of_the_written_out_loss(looking: TrainConfig) -> None:
    fake, real = colours(2, 0).requires_grad_(), colours(2, 1)
    ours = objective(looking, perceptual_weight=0.0, adversarial_weight=0.7, ripple_weight=0.0)
    before = torch.Generator().manual_seed(0).get_state()
    ours._random.set_state(before)
    (found,) = torch.autograd.grad(ours(fake, batch_of(real)), fake)
    net = objective(looking)._adversary._net  # type: ignore[union-attr]
    planes = [v.transpose(1, 2).unflatten(2, (SIDE, SIDE)) for v in (fake, real)]
    net(planes[1])  # a step of the power iteration, as above
    verdict = F.softplus(net(planes[1]).detach() - net(planes[0])).mean()
    (wanted,) = torch.autograd.grad(loss_of(fake - real, "l1") + 0.7 * verdict, fake)
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=1e-6)  # another power iteration


def test_the_adversary_learns_what_a_patch_lacks(looking: TrainConfig) -> None:
    torch.manual_seed(0)
    adversary = Adversary(dataclasses.replace(looking, rate=3e-3), ProcessGroup("cpu"))
    where = torch.ones(2, 1, SIDE, SIDE)
    losses = []
    for step in range(30):
        real = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(step))
        fake = F.avg_pool2d(real, 5, 1, 2)  # as a blurred picture lacks grain
        losses.append(adversary.loss(fake, real, where).item())
        adversary.backward(1.0)
        adversary.step(1.0)
    assert losses[-1] > 1.5 * losses[0]
    assert all(p.requires_grad for p in adversary._parameters)


def test_a_ripple_is_what_repeats_with_the_lr_pixels() -> None:
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    places = torch.stack([y / 3, x / 3], -1)[None]
    real = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert ripples(real, real, places) == 0
    for period, least, most in ((3, 0.02, 0.08), (6, 0.02, 0.08), (4.3, 0, 0.008)):
        wave = 0.1 * (2 * math.pi * x / period).cos().expand(1, 3, 96, 96)
        flat = torch.full_like(real, 0.5)
        assert least <= ripples(flat + wave, flat, places) <= most
        assert ripples(flat, flat + wave, places) == 0


def test_only_the_network_is_moved_by_its_loss(looking: TrainConfig) -> None:
    ours = objective(looking)
    fake = colours(2, 0).requires_grad_()
    ours(fake, batch_of(colours(2, 1))).backward()  # type: ignore[no-untyped-call]
    assert fake.grad is not None and fake.grad.abs().sum() > 0
    net = ours._adversary._net  # type: ignore[union-attr]
    assert all(p.grad is None for p in net.parameters())
    ours.backward(1.0)
    assert all(p.grad is not None for p in net.parameters())


def test_the_discriminator_has_a_verdict_for_every_fourth_pixel() -> None:
    assert Discriminator()(torch.rand(2, 3, 48, 48)).shape == (2, 1, 12, 12)


@pytest.mark.parametrize("at", [1, 3])
def test_stop_and_resume_equal_a_straight_run(
    tiny_config: GinrConfig, looking: TrainConfig, at: int
) -> None:
    straight, first, second = Log(), Log(at), Log()
    elsewhere = dataclasses.replace(looking, run=looking.run.with_name("straight"))
    config = dataclasses.replace(tiny_config, max_scale=4.0)
    whole = train(config, elsewhere, straight)
    train(config, looking, first)
    resumed = train(config, looking, second)
    assert [*first, *second] == straight
    one, two = load_checkpoint(whole), load_checkpoint(resumed)
    for name, weight in one.weights.items():
        assert torch.equal(weight, two.weights[name]), name
    assert one.facts["settings"]["loss"] == BOTH


def test_halves_of_a_batch_move_the_adversary_as_the_whole(
    tiny_config: GinrConfig, looking: TrainConfig
) -> None:
    config = dataclasses.replace(tiny_config, max_scale=4.0)
    whole, halves = Log(), Log()
    once = dataclasses.replace(looking, steps=1, perceptual_weight=0.0)
    train(config, once, whole)
    train(config, dataclasses.replace(once, accumulate=2, run=looking.run / "2"), halves)
    assert whole == pytest.approx(halves, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_query": 4095}, "square number"),
        ({"n_query": 900}, "from 1600"),
        ({"perceptual_weight": -1.0}, "perceptual_weight is -1"),
        ({"adversarial_weight": float("nan")}, "adversarial_weight is nan"),
        ({"ripple_weight": -0.5}, "ripple_weight is -0.5"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    looking: TrainConfig, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(GinrError, match=words):
        dataclasses.replace(looking, **change)


def test_a_patch_that_no_crop_has_room_for_is_refused(looking: TrainConfig) -> None:
    with pytest.raises(GinrError, match="44x44 pixels: a crop of 16 has 32 a side at x2"):
        objective_of(looking, ProcessGroup("cpu"), 2.0)


def test_missing_weights_are_one_line_before_any_picture_is_read(
    tiny_config: GinrConfig, looking: TrainConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.safetensors"))
    with pytest.raises(CheckpointError, match="no weights of LPIPS and DISTS here"):
        train(tiny_config, dataclasses.replace(looking, folders=(tmp_path / "no",)), Log())


def test_a_loss_of_colours_needs_no_patch_and_no_weights(
    settings: TrainConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.safetensors"))
    assert type(objective_of(settings, ProcessGroup("cpu"), 4.0)) is Objective
    assert patch_side(settings) == 0
