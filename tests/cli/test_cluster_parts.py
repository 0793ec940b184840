"""`ginr upscale --cluster`: one film or giant picture by several workers, as by one machine.

Run: pytest tests/cli/test_cluster_parts.py
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ginr.pictures import Picture, read_picture, write_picture

from .support import Run


def test_a_giant_picture_is_that_of_one_machine(
    cluster: Any, run: Run, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ginr.pictures import tiff
    from ginr.rendering import upscale
    from ginr_cli.cluster import parts

    random = np.random.default_rng(0)
    write_picture(Picture(random.integers(0, 255, (150, 130, 3), np.uint8)), Path("a.tif"))
    monkeypatch.setattr(tiff, "CLASSIC_BYTES", 1000)
    monkeypatch.setattr(upscale, "BAND", 60_000)
    arguments = ("upscale", "a.tif", "-c", tiny_checkpoint, "--scale", "3.3", "--tile", "48")
    run(*arguments, "-o", "one.tif")
    monkeypatch.setattr(parts, "GIANT_PX", 1000)
    run(*arguments, "-o", "many.tif", "--cluster", "auto")
    assert run.code == 0, run.err
    one, many = (read_picture(Path(name)).samples.astype(int) for name in ("one.tif", "many.tif"))
    assert one.shape == (495, 429, 3) and abs(one - many).max() <= 1
    assert Path("many.tif").read_bytes()[2] == 43  # a BigTIFF
    assert Path("one.tif").stat().st_size == Path("many.tif").stat().st_size


def test_a_film_is_that_of_one_machine(cluster: Any, run: Run, tiny_checkpoint: Path) -> None:
    pytest.importorskip("av")
    from .clips import clip

    clip("a.mp4", list(range(0, 20_800, 40)), still=True)  # 520 frames: three segments
    arguments = ("upscale", "a.mp4", "-c", tiny_checkpoint, "--scale", "2")
    run(*arguments, "-o", "one.mp4")
    run(*arguments, "-o", "many.mp4", "--cluster", "auto")
    assert run.code == 0, run.err
    assert Path("one.mp4").read_bytes() == Path("many.mp4").read_bytes()
