"""Devices by name, what is said of those that are not there, and what must not wait for a device.

Run: pytest tests/test_device.py
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ginr import device
from ginr.architecture.config import GinrConfig
from ginr.device import choose_device, fetched, one_ahead, sent
from ginr.errors import GinrError
from ginr.network import lattice_decoder as decoder
from ginr.network.ensemble import Ensemble
from ginr.network.field import levels_of
from ginr.network.model import Ginr


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == (torch.device("cpu"), "asked for")
    device, reason = choose_device("auto")
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu") and reason


@pytest.mark.parametrize(
    "name",
    ["", "CPU", "cpu:1", "tpu", "mps:0", "cuda:", "cuda:-1", "cuda:01", "cuda:999", "cuda:1\n"],
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(GinrError, match="is not known: use auto, cpu, cuda, cuda:1 or mps"):
        choose_device(name)


@pytest.mark.parametrize("is_built", [True, False])
def test_the_gpu_of_apple(is_built: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: is_built)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    why = "" if is_built else ", torch was built without it"
    with pytest.raises(GinrError, match=rf"'mps' was not found \(an Apple GPU{why}\): use --dev"):
        choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps") == (torch.device("mps"), "asked for")


@pytest.mark.parametrize(
    ("name", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2), ("cuda:99", 8)]
)
def test_devices_that_are_not_there(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(GinrError, match=rf"device '{name}' was not found \(CUDA devices: {count}"):
        choose_device(name)


@pytest.mark.parametrize(
    ("version", "driver", "told"),
    [
        ("cuda = None\nhip = None", True, "no CUDA device was found"),
        ("cuda = '13.0'\nhip = None", False, "no CUDA device was found"),
        ("cuda = '13.0'\nhip = None", True, ""),
        ("cuda = None\nhip = '7.1'", False, ""),
        ("cuda = ", False, ""),
    ],
)
def test_torch_is_asked_where_it_may_find_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, driver: bool, told: str
) -> None:
    def load(name: str) -> None:
        if not driver:
            raise OSError(f"{name}: cannot open shared object file")

    Path(tmp_path, "version.py").write_text(version)
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(device, "find_spec", lambda name: spec)
    monkeypatch.setattr(device.ctypes, "CDLL", load)
    monkeypatch.setattr(device, "_may_find_cuda", device._may_find_cuda.__wrapped__)
    assert device.reason_for_cpu("auto") == told
    assert device.reason_for_cpu("cpu") == "asked for" and not device.reason_for_cpu("cuda:1")


def test_the_second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1")[0] == torch.device("cuda:1")


class _OneDevice(TorchDispatchMode):
    """Raises where an operation takes tensors of two devices; meta itself overlooks indices."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        tensors = [
            v for v in tree_leaves((args, kwargs)) if isinstance(v, torch.Tensor) and v.dim()
        ]
        assert "copy" in func.name() or len({v.device for v in tensors}) < 2, func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("view", [lambda model: model, Ensemble])
def test_one_device_does_it_all(
    tiny_config: GinrConfig,
    monkeypatch: pytest.MonkeyPatch,
    view: Callable[[Ginr], Ginr],
    kind: torch.dtype,
) -> None:
    # Meta tensors have a device of their own and no values: reading one is an error.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # has none for meta
    monkeypatch.setattr(decoder, "PART", 5000)  # some rows at a time
    model = view(Ginr(tiny_config)).to("meta", kind)
    with torch.inference_mode(), _OneDevice():
        field = model.encode(torch.empty(1, 3, 20, 28, device="meta", dtype=kind))
        assert field.features.dtype == kind
        model.float()
        field = replace(field, features=field.features.float())
        made = field.render((37, 91), (2, 3, 37, 80))
        levels = levels_of(made[0], 16)
    assert made.device.type == levels.device.type == "meta" and made.shape == (1, 3, 35, 77)
    assert levels.shape == (35, 77, 3) and levels.dtype == torch.uint16


def test_a_copy_of_the_host_is_itself() -> None:
    tensor = torch.rand(3)
    assert sent(tensor, torch.device("cpu")) is tensor and torch.equal(fetched(tensor)(), tensor)


def test_a_copy_from_a_gpu_is_waited_for_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened = list[str]()
    event = SimpleNamespace(
        record=lambda stream: happened.append(f"recorded on {stream}"),
        synchronize=lambda: happened.append("waited"),
    )
    monkeypatch.setattr(torch.cuda, "Event", lambda: event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"a stream of {device}")
    tensor = SimpleNamespace(
        device=torch.device("cuda:1"), to=lambda to, non_blocking: f"{to}, {non_blocking}"
    )
    arrived = fetched(tensor)  # type: ignore[arg-type]
    assert happened == ["recorded on a stream of cuda:1"]
    assert arrived() == "cpu, True" and happened[1:] == ["waited"]  # type: ignore[comparison-overlap]


def test_one_ahead() -> None:
    happened = list[str]()

    def made() -> Iterator[int]:
        for k in range(3):
            happened.append(f"made {k}")
            yield k

    happened.extend(f"used {k}" for k in one_ahead(made()))
    assert " ".join(happened) == "made 0 made 1 used 0 made 2 used 1 used 2"
    assert list(one_ahead([])) == []
