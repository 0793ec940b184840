"""A real network: the file is the library's, and a terminal gets a bar.

Run: pytest tests/cli/test_real_network.py
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ginr.pictures import read_picture
from ginr.rendering.upscale import upscale
from ginr_cli.load_network import NetworkChoice, load_upscaler

from .support import Run, picture


@pytest.mark.parametrize(
    ("mode", "name"), [("RGB", "a.png"), ("RGBA", "a.tif"), ("L", "a.jpg"), ("I;16", "a.png")]
)
def test_the_file_is_what_the_library_makes(
    run: Run, tiny_checkpoint: Path, sample_images: Path, mode: str, name: str
) -> None:
    with Image.open(sample_images / "photo_spices.png") as photo:
        crop = photo.crop((0, 0, 21, 13))
    if mode == "RGBA":
        crop.putalpha(crop.convert("L"))
    elif mode == "L":
        crop = crop.convert("L")
    elif mode == "I;16":
        crop = Image.fromarray(np.asarray(crop.convert("L"), np.uint16) * 257)
    crop.save(name)
    run("upscale", name, "out.png", "--scale", "2.5x3", "--checkpoint", tiny_checkpoint)
    assert (run.code, run.out) == (0, "out.png\n")
    assert "tiny on " in run.err
    picture = read_picture(Path(name))
    model = load_upscaler(NetworkChoice(str(tiny_checkpoint), "auto")).model
    expected = upscale(picture, model, height=39, width=53)
    result = read_picture(Path("out.png")).samples
    assert result.dtype == picture.samples.dtype
    np.testing.assert_array_equal(result, expected.samples)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar_and_the_pipe_gets_the_names(tiny_checkpoint: Path) -> None:
    import pty

    for name in ("in/a.png", "in/b\x1b[31m.png"):
        picture(name)
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "ginr_cli", "upscale", "in", "out", "-c", str(tiny_checkpoint)]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=slave, env=environment, text=True
    )
    os.close(slave)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert (result.returncode, result.stdout) == (0, "out/a.png\nout/b\x1b[31m.png\n")
    assert "100%" in shown and "MP/s" in shown and "2 done" in shown
    assert "\x1b[3" not in shown  # NO_COLOR, and the name is spelled out
