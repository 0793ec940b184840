"""Devices by name, what is said of those that are not there, and what must not wait for a device.

Run: pytest tests/test_device.py
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ginr.config import PRESETS, GinrConfig
from ginr.device import choose_device, fetched, one_ahead, sent
from ginr.ensemble import Ensemble
from ginr.errors import GinrError
from ginr.model import Ginr
from ginr.tiles import levels_of


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == (torch.device("cpu"), "asked for")
    device, reason = choose_device("auto")
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu") and reason


@pytest.mark.parametrize(
    "name",
    ["", "CPU", "cpu:1", "tpu", "mps", "cuda:", "cuda:-1", "cuda:01", "cuda:999", "cuda:1\n"],
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(GinrError, match="is not known: use auto, cpu, cuda or cuda:1"):
        choose_device(name)


@pytest.mark.parametrize(
    ("name", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2), ("cuda:99", 8)]
)
def test_devices_that_are_not_there(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(GinrError, match=f"device '{name}': {count} CUDA devices found"):
        choose_device(name)


def test_the_second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1")[0] == torch.device("cuda:1")


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("low", [False, True])
def test_nothing_waits_for_the_device(tiny_config: GinrConfig, low: bool, ensemble: bool) -> None:
    # A meta tensor has a device of its own and no values: to mix devices or to read one is an error.
    model = Ginr(tiny_config)
    if ensemble:
        model = Ensemble(model)
    model, pixels = model.to("meta"), torch.rand(1, 3, 20, 28, device="meta")
    with torch.inference_mode():
        # No autocast for meta: weights in bfloat16 take the same way.
        field = (model.bfloat16() if low else model).encode(pixels.bfloat16() if low else pixels)
        made = field.render((37, 91), (2, 3, 37, 80))
        levels = levels_of(made[0], 16)
    assert made.device.type == "meta" and made.shape == (1, 3, 35, 77)
    assert levels.shape == (35, 77, 3) and levels.dtype == torch.uint16
