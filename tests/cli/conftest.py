"""Fixtures for the tests of the command line: each runs in its own empty folder."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ginr.architecture.config import PRESETS, GinrConfig
from ginr.errors import CheckpointError, GinrError

from .support import Core, Run


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    return Run(capfd)


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    def load(name: str) -> Any:
        if name not in ("small", "photo", "crisp"):
            raise CheckpointError(f"{name} is no checkpoint: use small")
        network = SimpleNamespace(
            name=name,
            sha256=name * 8,
            config=SimpleNamespace(
                n_trait=int(name in ("photo", "crisp")), mixer="mamba2", values="normalised"
            ),
        )
        network.build = lambda device: network
        network.adapted = lambda traits: network
        return network

    def place(name: str) -> tuple[torch.device, str]:
        if name == "cuda:7":
            raise GinrError("device 'cuda:7' was not found (CUDA devices: 1): use --device cpu")
        return torch.device("cpu" if name == "auto" else name), "no CUDA device"

    def reason(name: str) -> str:
        return "" if name.startswith("cuda") else place(name)[1]

    core = Core()
    parts: dict[str, dict[str, Any]] = {
        "checkpoints.checkpoint": {
            "peek": load,
            "load_checkpoint": load,
            "load_cpu_network": lambda name, bank, blend: load(name),
            "needs_torch": lambda header: "",
        },
        "device": {"choose_device": place, "reason_for_cpu": reason},
        "rendering.upscale": {"upscale": core.upscale, "upscale_bands": core.upscale_bands},
    }
    for name, contents in parts.items():
        # Modules, not attributes: other modules keep the real functions that they have imported.
        module = ModuleType(f"ginr.{name}")
        module.__dict__.update(vars(import_module(module.__name__)) | contents)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return core


@pytest.fixture
def photos(monkeypatch: pytest.MonkeyPatch, tiny_config: GinrConfig, here: Path) -> Path:
    """Three pictures of noise in photos/, and a preset `tiny`."""
    monkeypatch.setitem(PRESETS, "tiny", tiny_config)
    folder = Path("photos")
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "b.png", "deep/c.png"):
        noise = np.random.default_rng(len(name)).integers(256, size=(40, 48, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GINR_DEBUG", raising=False)
    monkeypatch.setenv("GINR_CONFIG", "")  # not that of whoever runs the tests
    return tmp_path
