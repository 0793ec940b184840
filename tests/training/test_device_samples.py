"""Crops cut on a device equal those of the plain sampler.

Run: pytest tests/training/test_device_samples.py
"""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.training.config import TrainConfig
from ginr.training.device_samples import DeviceSampler, fits
from ginr.training.loop import train
from ginr.training.samples import Batch, Sampler
from ginr.training.store import PictureStore

from .support import Log, noise, stripes

CPU = torch.device("cpu")


def assert_alike(ours: Batch, expected: Batch) -> Tensor:
    """Returns which values of LR differ."""
    for name in ("coords", "cells", "target"):
        assert getattr(ours, name).dtype == torch.float32
        assert torch.equal(getattr(ours, name), getattr(expected, name)), name
    assert ours.pixels.shape == expected.pixels.shape
    levels = 255 * (ours.pixels - expected.pixels).abs()
    assert levels.max() < 1.01  # float32 may round a tie the other way
    return (levels > 0.5).float()


@pytest.mark.parametrize("max_scale", [1.0, 2.5, 4.0])
def test_batches_are_those_of_the_plain_sampler(max_scale: float) -> None:
    images = [noise(20), stripes(70, 4)[:31], noise(50)[7:], noise(8)]
    plain = Sampler(images, 3, crop=8, n_query=50, max_scale=max_scale)
    device = DeviceSampler(plain, CPU)
    other = [
        assert_alike(device.batch(step, range(2, 7)), plain.batch(step, range(2, 7)))
        for step in range(40)
    ]
    assert torch.stack(other).mean() < 1e-3


def test_pictures_may_be_mapped_from_a_file(tmp_path: Path) -> None:
    store = PictureStore(tmp_path, 1)
    for image in (noise(20), stripes(33, 4)):
        store.add(image)
    plain = Sampler(store.images(), 0, crop=8, n_query=50, max_scale=2.5)
    assert_alike(DeviceSampler(plain, CPU).batch(1, range(9)), plain.batch(1, range(9)))


def test_a_run_is_the_same_with_crops_from_the_device(
    tiny_config: GinrConfig, settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, device = Log(), Log()
    train(tiny_config, settings, host)
    monkeypatch.setattr("ginr.training.loop.fits", lambda images, device: True)
    elsewhere = dataclasses.replace(settings, run=settings.run.with_name("device"))
    train(tiny_config, elsewhere, device)
    assert device == pytest.approx(list(host), rel=1e-3)
    assert (host.cuts_on_device, device.cuts_on_device) == (False, True)


def test_the_host_cuts_what_a_device_does_not_do(
    tiny_config: GinrConfig, settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not fits([noise(20)], CPU)
    monkeypatch.setattr("ginr.training.loop.fits", lambda images, device: True)
    log = Log()
    train(tiny_config, dataclasses.replace(settings, degradation="photo"), log)
    assert not log.cuts_on_device


@pytest.mark.parametrize(("free", "room"), [(2399, False), (2400, True)])
def test_pictures_may_take_half_of_a_gpu(
    free: int, room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (free, 10_000))
    assert fits([noise(20)], torch.device("cuda")) == room


@pytest.mark.cuda
def test_batches_on_a_gpu_are_those_of_the_plain_sampler() -> None:
    plain = Sampler([noise(90), stripes(70, 4)], 3, crop=8, n_query=50, max_scale=4.0)
    device = torch.device("cuda")
    ours, expected = DeviceSampler(plain, device).batch(0, range(9)), plain.batch(0, range(9))
    for name in ("coords", "cells", "target"):
        torch.testing.assert_close(getattr(ours, name).cpu(), getattr(expected, name))
    assert (255 * (ours.pixels.cpu() - expected.pixels).abs() > 0.5).float().mean() < 1e-3
