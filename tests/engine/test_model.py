"""The network without torch equals that of torch: pytest tests/engine/test_model.py"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ginr.architecture.config import PRESETS, GinrConfig
from ginr.architecture.weights import shapes
from ginr.checkpoints.checkpoint import (
    load_checkpoint,
    load_cpu_network,
    needs_torch,
    peek,
    save_checkpoint,
)
from ginr.engine.buffers import Buffers
from ginr.engine.model import CpuGinr, why_not
from ginr.errors import CheckpointError, GinrError
from ginr.network.model import Ginr
from ginr.pictures import Picture
from ginr.rendering.upscale import upscale

TINY = GinrConfig(
    patch=2, window=8, n_lp=64, width=16, n_blocks=3, scan_every=1, head_dim=8, n_state=4,
    hidden=16, n_frequency=4,
)  # fmt: skip
CONFIGS = {
    "tiny": TINY,
    "no content": replace(TINY, content="none"),
    "content at the start": replace(TINY, content="start"),
    "no base": replace(TINY, base="none"),
    "few scans": replace(TINY, scan_every=2),
    "odd numbers": replace(TINY, n_state=3, n_tap=3, hidden=20, head_dim=4, n_frequency=5),
    "heads of one channel": replace(TINY, head_dim=1),
    "patches of one pixel": replace(TINY, patch=1, window=4, group=1, placement="equidistant", n_lp=16),
    "four LPs per pixel": replace(TINY, patch=1, window=4),
    "raster": replace(TINY, order="raster", patch=1, window=4, group=1, n_lp=16),
    "grain": replace(TINY, n_grain=3),
    "four LPs per pixel, with grain": replace(TINY, patch=1, window=4, n_grain=2),
    "wider inside": replace(TINY, expand=2.0, width=32),
}  # fmt: skip

Make = Callable[[GinrConfig], Ginr]


def cpu_network(model: Ginr) -> CpuGinr:
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    return CpuGinr(model.config, weights)


def noise(
    height: int, width: int, channels: int = 3, kind: type[np.unsignedinteger[Any]] = np.uint8
) -> Picture:
    peak = np.iinfo(kind).max
    return Picture(
        np.random.default_rng(0).integers(0, peak, (height, width, channels), kind, True)
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_it_wants_what_the_network_has(name: str) -> None:
    model = Ginr(CONFIGS[name])
    assert shapes(model.config) == {k: tuple(v.shape) for k, v in model.state_dict().items()}


@pytest.mark.parametrize("size", [(16, 24), (13, 21), (1, 1), (3, 40)], ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_features_and_renders_are_those_of_torch(
    make_model: Make, name: str, size: tuple[int, int]
) -> None:
    model = make_model(CONFIGS[name])
    layers = [
        np.random.rand(3, *size).astype(np.float32),
        np.random.rand(1, *size).astype(np.float32),
    ]
    place = {"origin": (8, 16), "size": (size[0] + 9, size[1] + 20)}
    theirs = model.encode_planes(layers, **place)  # type: ignore[arg-type]
    ours = cpu_network(model).encode_planes(layers, **place)  # type: ignore[arg-type]
    largest = float(theirs.features.abs().max())
    np.testing.assert_allclose(ours.features, theirs.features.numpy(), atol=3e-5 * largest)
    assert (ours.base is None) == (theirs.base is None)
    if theirs.base is not None:
        np.testing.assert_array_equal(ours.base, theirs.base.numpy())
    out = 3 * place["size"][0], int(1.7 * place["size"][1])
    box = (24, 30, 24 + 3 * size[0], 30 + size[1])
    expected = theirs.begin_render(out, box)()
    assert expected.std() > 0.05
    np.testing.assert_allclose(
        ours.begin_render(out, box)(), expected, atol=1e-4 * np.abs(expected).max()
    )


@pytest.mark.parametrize("cell", [(1.0, 1.0), (0.5, 0.27), (0.05, 1.0), (1.0, 0.25)])
def test_footprints_are_those_of_torch(make_model: Make, cell: tuple[float, float]) -> None:
    model = make_model(CONFIGS["odd numbers"])
    with torch.no_grad():
        expected = model.decoder.gain(torch.tensor(cell))  # type: ignore[union-attr]
    field = cpu_network(model).encode_planes(
        [np.zeros((3, 2, 2), np.float32)], origin=(0, 0), size=(2, 2)
    )
    np.testing.assert_allclose(field.decoder.gain(cell), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pictures_are_those_of_torch(
    make_model: Make, channels: int, kind: type[np.unsignedinteger[Any]]
) -> None:
    model, picture = make_model(TINY), noise(37, 50, channels, kind)
    asked: dict[str, Any] = {"height": 90, "width": 131, "tile": 16}
    expected = upscale(picture, model, **asked).samples.astype(int)
    given = upscale(picture, cpu_network(model), **asked).samples
    assert np.abs(given - expected).max() <= (1 if kind is np.uint8 else 8)


def test_finished_samples_are_the_rounded_render(make_model: Make) -> None:
    layer = noise(12, 10).pixels(0, 0, 12, 10)
    field = cpu_network(make_model(TINY)).encode_planes([layer], origin=(0, 0), size=(12, 10))
    planes = field.begin_render((30, 31), (0, 0, 30, 31))()[0]
    for depth, kind in ((8, np.uint8), (16, np.uint16)):
        rounded = np.floor(
            planes.clip(0, 1).transpose(1, 2, 0) * np.float32(2**depth - 1) + np.float32(0.5)
        )
        samples = np.full((30, 31, 4), 7, kind)
        assert field.begin_render((30, 31), (0, 0, 30, 31), samples)() is samples
        np.testing.assert_array_equal(samples[..., :3], rounded)
        assert (samples[..., 3] == 7).all()


def test_memory_is_used_again_when_nothing_holds_it() -> None:
    buffers = Buffers()
    first = buffers.borrow(2, 3, 4)
    second = buffers.borrow(2, 3, 4)
    assert first.shape == (2, 3, 4) and not np.shares_memory(first, second)
    view, address = first[0, 1:], first.ctypes.data
    del first
    third = buffers.borrow(24)  # the view still refers to the first
    assert not np.shares_memory(third, view) and not np.shares_memory(third, second)
    del view
    smaller = buffers.borrow(5, 2)
    assert smaller.ctypes.data == address
    del smaller
    larger = buffers.borrow(100)
    assert larger.size == 100
    assert buffers.n_byte == 4 * (100 + 24 + 24)  # the array that was too small is freed


def test_a_field_keeps_what_the_next_picture_does_not_touch(make_model: Make) -> None:
    network = cpu_network(make_model(TINY))
    layers = [noise(24, 32).pixels(0, 0, 24, 32), noise(24, 32).pixels(0, 0, 24, 32)[:, ::-1]]
    place = {"origin": (0, 0), "size": (24, 32)}
    alone = [network.encode_planes([layer], **place).features.copy() for layer in layers]  # type: ignore[arg-type]
    fields = [network.encode_planes([layer], **place) for layer in layers]  # type: ignore[arg-type]
    both = network.encode_planes(layers, **place)  # type: ignore[arg-type]
    for k in range(2):
        np.testing.assert_array_equal(fields[k].features, alone[k])
        np.testing.assert_array_equal(both.features[k], alone[k][0])


def test_memory_that_runs_out_halves_the_tiles(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, said, features = cpu_network(make_model(TINY)), list[str](), CpuGinr._features
    expected = upscale(noise(50, 60), network, height=100, width=120, tile=16).samples
    failures = iter([MemoryError(), MemoryError()])

    def limited(self: CpuGinr, planes: Any, origin: tuple[int, int]) -> Any:
        if error := next(failures, None):
            raise error
        return features(self, planes, origin)

    monkeypatch.setattr(CpuGinr, "_features", limited)
    out = upscale(noise(50, 60), network, height=100, width=120, tile=64, notice=said.append)
    assert said == [
        "out of memory: continuing with tiles of 32 pixels",
        "out of memory: continuing with tiles of 16 pixels",
    ]
    np.testing.assert_array_equal(out.samples, expected)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (PRESETS["reconstruct"], "only a lattice decoder"),
        (replace(TINY, n_lp=16, group=1), "at least one LP per pixel"),
        (replace(TINY, kernel=5), "its kernel is 5, not 3"),
        (PRESETS["plain"], "raw values"),
    ],
)
def test_what_it_cannot_run_it_says(tmp_path: Path, config: GinrConfig, words: str) -> None:
    path, model = tmp_path / "other.safetensors", Ginr(config)
    save_checkpoint(path, config, model.state_dict(), {})
    assert words in why_not(config) and words in needs_torch(peek(path))
    with pytest.raises(CheckpointError, match=f"other.safetensors: needs torch: .*{words}"):
        load_cpu_network(path)
    with pytest.raises(ValueError, match=words):
        cpu_network(model)


def test_numbers_that_numpy_does_not_know(make_model: Make, tmp_path: Path) -> None:
    path, model = tmp_path / "half.safetensors", make_model(TINY)
    save_checkpoint(path, TINY, model.state_dict(), {}, dtype=torch.bfloat16)
    assert needs_torch(peek(path)) == "NumPy has no type BF16"


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_checkpoint_of_other_numbers(
    make_model: Make, tmp_path: Path, dtype: torch.dtype
) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, TINY, make_model(TINY).state_dict(), {}, dtype=dtype)
    asked: dict[str, Any] = {"height": 40, "width": 50}
    given = upscale(noise(20, 25), load_cpu_network(path), **asked).samples.astype(int)
    expected = upscale(noise(20, 25), load_checkpoint(path).build(), **asked).samples
    assert np.abs(given - expected).max() <= 1


WITHOUT_TORCH = """
import sys
import numpy as np
from pathlib import Path
from ginr.checkpoints.checkpoint import load_cpu_network
from ginr.pictures import Picture
from ginr.rendering.upscale import upscale

picture = Picture(np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8))
network = load_cpu_network(Path("tiny.safetensors"))
expected = upscale(picture, network, height=200, width=300).samples
"""

PRESSED = (
    WITHOUT_TORCH
    + """
import signal

class Pressed(Exception):
    pass

def press(number, frame):
    raise Pressed

signal.signal(signal.SIGALRM, press)
for k in range(100):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002 + 0.00033 * k)
        while True:
            upscale(picture, network, height=200, width=300)
    except Pressed:
        pass
assert np.array_equal(upscale(picture, network, height=200, width=300).samples, expected)
assert "torch" not in sys.modules
print("answered")
"""
)


def run(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGALRM there")
def test_a_signal_is_answered_wherever_it_comes(tiny_checkpoint: Path) -> None:
    done = run(PRESSED, tiny_checkpoint.parent, OMP_NUM_THREADS="2")
    assert (done.stdout, done.stderr, done.returncode) == ("answered\n", "", 0)


def test_any_number_of_threads_makes_the_same_picture(tiny_checkpoint: Path) -> None:
    script = WITHOUT_TORCH + "sys.stdout.write(str(hash(expected.tobytes())))"
    environment = {"PYTHONHASHSEED": "0"}
    made = [run(script, tiny_checkpoint.parent, OMP_NUM_THREADS=n, **environment) for n in "124"]
    assert all(done.returncode == 0 for done in made), made[0].stderr
    assert len({done.stdout for done in made}) == 1


def test_a_size_below_one_is_refused(make_model: Make) -> None:
    with pytest.raises(GinrError, match="0x18"):
        upscale(noise(9, 9), cpu_network(make_model(TINY)), height=18, width=0)
