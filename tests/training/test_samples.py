"""Batches are reproducible and have the documented shapes, bicubic LR and targets from the crop.

Run: pytest tests/training/test_samples.py
"""

import threading
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from ginr.assessing.assessment import traits_of_tile
from ginr.assessing.statistics import SIDE
from ginr.geometry.coords import to_lattice
from ginr.pictures.resize import bicubic_8bit
from ginr.training.degradation import PRESETS, degrade
from ginr.training.samples import Batch, Feed, Sampler

from .support import Pixels, noise, stripes


def batch_of(
    images: list[Pixels], seed: tuple[int, int] = (0, 0), batch: int = 3, **change: Any
) -> Batch:
    options = {"crop": 8, "n_query": 30, "max_scale": 2.5} | change
    return Sampler(images, seed[0], **options).batch(seed[1], range(batch))


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
    # Only one crop of the picture, rotated or mirrored, has these pixels at these places.
    squares = [
        turned
        for top, left, turns in product(range(15 - side), range(15 - side), range(4))
        for straight in [np.rot90(image[top : top + side, left : left + side], turns)]
        for turned in (straight, straight[:, ::-1])
        if np.array_equal(turned[y, x], target)
    ]
    assert len(squares) == 1
    difference = np.abs(bicubic_8bit(squares[0], 6, 6).astype(int) - lr)
    assert difference.max() <= 1  # float32 may round ties differently
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


def test_a_part_of_a_batch_is_that_part_of_the_whole() -> None:
    sampler = Sampler([noise(20), stripes(33, 4)], 3, crop=8, n_query=30, max_scale=2.5)
    whole, part = sampler.batch(5, range(4)), sampler.batch(5, range(2, 4))
    for name in ("pixels", "coords", "cells", "target"):
        assert torch.equal(getattr(whole, name)[2:], getattr(part, name))
        halves = [getattr(half, name) for half in whole.split(2)]
        assert torch.equal(torch.cat(halves), getattr(whole, name))


def test_traits_are_those_of_more_than_the_crop() -> None:
    image = noise(240)
    plain = Sampler([image], 3, crop=32, n_query=200, max_scale=2.0, degradation="web")
    told = replace(plain, has_traits=True)
    assert plain.batch(0, range(2)).traits.shape == (2, 0)
    batch, crop = told.batch(5, range(1)), told.draw(5, 0)
    assert crop.side == SIDE and all(0 <= n <= SIDE - 32 for n in crop.corner)
    hr = crop.view.transpose(2, 0, 1).astype(np.float32)
    lr = degrade(hr, (SIDE, SIDE), crop.random, PRESETS["web"])
    top, left = crop.corner
    np.testing.assert_array_equal(batch.pixels[0] * 255, lr[:, top : top + 32, left : left + 32])
    own = traits_of_tile(lr.transpose(1, 2, 0).astype(np.uint8))
    np.testing.assert_array_equal(batch.traits[0], own)
    # Queries lie in the crop, at the pixels of HR that they ask for.
    place = (batch.coords[0].numpy() + 1) / 2 * 32 + crop.corner  # in pixels of the whole LR
    pixel = place * (len(crop.view) / SIDE) - 0.5
    np.testing.assert_allclose(pixel, np.stack([crop.y, crop.x], -1), atol=1e-3)
    assert batch.coords.abs().max() <= 1
    np.testing.assert_array_equal(batch.target[0] * 255, hr[:, crop.y, crop.x].T)


def test_what_is_on_the_device_is_not_copied() -> None:
    there = Batch(*(torch.empty(2, device="meta") for _ in range(5)))
    assert there.to(torch.device("meta", 0)).pixels is there.pixels


@pytest.mark.parametrize("n_thread", [1, 3])
def test_a_feed_gives_the_steps_in_order(n_thread: int) -> None:
    sampler = Sampler([noise(20)], 3, crop=8, n_query=30, max_scale=2.5)

    def make(step: int) -> Batch:
        return sampler.batch(step, range(2))

    with Feed(make, 4, n_thread, torch.device("cpu")) as feed:
        for step in (4, 5, 6, 7):
            assert torch.equal(feed.next_batch().pixels, make(step).pixels)
        assert feed.waited > 0
    assert not any(thread.name.startswith("ginr-data") for thread in threading.enumerate())


def test_what_fails_in_a_thread_is_raised_where_the_batch_is_taken() -> None:
    def fail(step: int) -> Batch:
        raise OSError(f"step {step}")

    with Feed(fail, 2, 1, torch.device("cpu")) as feed, pytest.raises(OSError, match="step 2"):
        feed.next_batch()
