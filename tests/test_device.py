"""Devices by name, and what is said of those that are not there.

Run: pytest tests/test_device.py
"""

import pytest
import torch

from ginr.device import choose_device
from ginr.errors import GinrError


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
