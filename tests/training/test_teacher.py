"""Distillation: what is learned from a teacher, and that a run stays exact.

Run: pytest tests/training/test_teacher.py
"""

import dataclasses
from pathlib import Path

import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.errors import CheckpointError, GinrError
from ginr.network.model import Ginr
from ginr.training.config import TrainConfig
from ginr.training.loop import train
from ginr.training.samples import Batch
from ginr.training.teacher import Teacher, teacher_of

from .support import Log


@pytest.fixture
def taught(settings: TrainConfig, tiny_checkpoint: Path) -> TrainConfig:
    return dataclasses.replace(settings, teacher=str(tiny_checkpoint))


def test_a_network_comes_closer_to_its_teacher(
    tiny_config: GinrConfig, taught: TrainConfig, tmp_path: Path
) -> None:
    teacher = teacher_of(taught, tiny_config, torch.device("cpu"))
    pupil = load_checkpoint(taught.teacher or "").build().requires_grad_()
    assert teacher is not None
    with torch.no_grad():
        pupil.decoder.head.bias += 0.3
    optimizer, losses = torch.optim.Adam([pupil.decoder.head.bias], 2e-2), []
    for step in range(40):
        batch = _batch(4, step)
        optimizer.zero_grad()
        loss = teacher.loss(pupil.encode(batch.pixels), batch, step, 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])

    checkpoint = load_checkpoint(train(tiny_config, taught, Log()))
    assert checkpoint.facts["settings"]["teacher"] == Path(taught.teacher or "").name
    alone = dataclasses.replace(taught, teacher=None, run=tmp_path / "alone")
    other = load_checkpoint(train(tiny_config, alone, Log())).weights
    assert not torch.equal(other["lps"], checkpoint.weights["lps"])


def test_parts_of_a_batch_and_a_resumed_run_learn_the_same(
    tiny_config: GinrConfig, taught: TrainConfig, tmp_path: Path
) -> None:
    batch, teacher = _batch(4), teacher_of(taught, tiny_config, torch.device("cpu"))
    assert teacher is not None
    field = Ginr(tiny_config).encode(batch.pixels)
    whole = teacher.loss(field, batch, 5, 8)
    half = dataclasses.replace(field, features=field.features[2:], base=batch.pixels[2:])
    first = teacher.loss(
        dataclasses.replace(field, features=field.features[:2], base=batch.pixels[:2]),
        batch.split(2)[0], 5, 8,
    )  # fmt: skip
    second = teacher.loss(half, batch.split(2)[1], 5, 10)
    torch.testing.assert_close((first + second) / 2, whole)
    assert teacher.loss(field, batch, 6, 8) != whole

    short = dataclasses.replace(taught, steps=6)
    once = load_checkpoint(train(tiny_config, short, Log())).weights
    again = dataclasses.replace(short, run=tmp_path / "again")
    train(tiny_config, again, Log(3))
    twice = load_checkpoint(train(tiny_config, again, Log())).weights
    assert all(torch.equal(weight, twice[name]) for name, weight in once.items())


def test_what_cannot_teach_is_refused(
    tiny_config: GinrConfig, taught: TrainConfig, tmp_path: Path
) -> None:
    missing = dataclasses.replace(taught, teacher=str(tmp_path / "no.safetensors"))
    with pytest.raises(CheckpointError, match=r"no\.safetensors"):
        train(tiny_config, missing, Log())
    with pytest.raises(GinrError, match="teacher photo needs to know how a picture was damaged"):
        Teacher("photo", tiny_config, 0, torch.device("cpu"))
    assert not taught.run.exists()


def _batch(n_crop: int, seed: int = 1) -> Batch:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.rand(n_crop, 3, 16, 16, generator=random)
    coords = torch.rand(n_crop, 50, 2, generator=random) * 2 - 1
    cells = torch.full((n_crop, 1, 2), 0.05)
    return Batch(pixels, coords, cells, torch.rand(n_crop, 50, 3), torch.empty(n_crop, 0))
