"""Fixtures for the tests of training: runs of a few steps of milliseconds."""

from pathlib import Path

import pytest
from PIL import Image

from ginr.training.config import TrainConfig

from .support import stripes


@pytest.fixture
def settings(tmp_path: Path) -> TrainConfig:
    """Two pictures, of which the first is held out; steps of a few milliseconds."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k, period in enumerate((5, 6)):
        Image.fromarray(stripes(40, period)).save(folder / f"{k}.png")
    return TrainConfig(
        (folder,), tmp_path / "run", steps=6, batch=2, crop=8, n_query=100, warm_up=2, n_held_out=1
    )
