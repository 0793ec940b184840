"""How large tiles are made for a device and its memory.

Run: pytest tests/rendering/test_tile_size.py
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ginr.architecture.config import PRESETS, GinrConfig
from ginr.errors import GinrError
from ginr.network.model import in_bfloat16
from ginr.rendering.tile_size import LARGEST, MARGIN, ON_CPU, fitting_side, smaller_side, tile_side

GIB = 2**30


def on_device(
    config: GinrConfig = PRESETS["small"], n_view: int = 1, device: str = "cuda:0"
) -> Any:
    """As much of a network as these functions look at."""
    place = torch.device(device)
    return SimpleNamespace(device=place, config=config, n_view=n_view)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Bytes a GPU is made to report."""
    memory = {"free": 0, "reserved": 0, "allocated": 0}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory["free"], 80 * GIB))
    for name in ("reserved", "allocated"):
        monkeypatch.setattr(torch.cuda, f"memory_{name}", lambda device, name=name: memory[name])
    return memory


@pytest.mark.parametrize(("name", "side"), [("small", 720), ("base", 512)])
def test_tiles_fit_a_gpu_of_8_gib(free: dict[str, int], name: str, side: int) -> None:
    free["free"] = 7 * GIB  # some of it is the system's
    assert tile_side(on_device(PRESETS[name]), None) >= side
    # Counted tensor by tensor on an encoder of 576x576 pixels, scanning in plain torch.
    seen = {"small": 4574, "base": 6520}[name] * (576**2)
    assert 512 <= fitting_side(on_device(PRESETS[name]), int(1.1 * seen)) <= 576


def test_tiles_grow_with_the_memory(free: dict[str, int]) -> None:
    window, sides = PRESETS["small"].window, []
    for gib in (0, 1, 4, 16, 64, 640):
        free["free"] = gib * GIB
        sides.append(tile_side(on_device(), None))
    assert sides == sorted(sides) and (sides[0], sides[-1]) == (window, LARGEST)
    assert all(side % window == 0 for side in sides)
    assert tile_side(on_device(), 100) == 112


def test_what_torch_keeps_for_itself_counts_as_free(free: dict[str, int]) -> None:
    free["free"] = 8 * GIB
    expected = tile_side(on_device(), None)
    free.update(free=3 * GIB, reserved=6 * GIB, allocated=1 * GIB)
    assert tile_side(on_device(), None) == expected


def test_four_views_take_four_times_the_memory(free: dict[str, int]) -> None:
    free["free"] = 8 * GIB
    one, four = (tile_side(on_device(n_view=n), None) + 2 * MARGIN for n in (1, 4))
    assert one / 2 - 16 < four <= one / 2


@pytest.mark.parametrize(
    ("backend", "name", "side"),
    [("numba", "small", 1024), ("numba", "base", 816), ("chunked", "small", 384)],
)
def test_tiles_on_the_cpu_do_not_depend_on_memory(
    monkeypatch: pytest.MonkeyPatch, backend: str, name: str, side: int
) -> None:
    monkeypatch.setattr("ginr.rendering.tile_size.default_backend", lambda device: backend)
    assert tile_side(on_device(PRESETS[name], device="cpu"), None) == side
    # Bytes per pixel by which a process grew that encoded 512x512 in compiled passes; counted by torch.
    seen = 4574 if backend == "chunked" else {"small": 577, "base": 1080}[name]
    assert (side + 2 * MARGIN) ** 2 * seen < ON_CPU


def test_a_side_that_is_asked_for_is_rounded_up(tiny_model: Any) -> None:
    assert tile_side(tiny_model, 20) == 24


def test_no_tile_below_one_window() -> None:
    assert smaller_side(512, on_device()) == 256 and smaller_side(48, on_device()) == 16
    with pytest.raises(GinrError, match=r"of 16 pixels.* on cuda:0, or use --device cpu"):
        smaller_side(16, on_device())


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True)])
def test_bfloat16_where_gpus_compute_in_it(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Any, capability: tuple[int, int], expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert in_bfloat16(on_device(), "auto") is expected
    assert not in_bfloat16(on_device(PRESETS["reconstruct"]), "auto")  # no base: it costs 0.1 dB
    assert in_bfloat16(on_device(PRESETS["reconstruct"]), "bfloat16")
    assert not in_bfloat16(on_device(), "float32") and not in_bfloat16(tiny_model, "auto")
