"""Shared by the tests of the command line: a runner, a stand-in for the network, small files."""

import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from ginr.pictures import Picture
from ginr_cli.main import main


class Run:
    """Runs the command line in this process and keeps the results."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd

    def __call__(self, *arguments: str | Path) -> "Run":
        with pytest.raises(SystemExit) as leave:
            main([str(argument) for argument in arguments])
        self.code = leave.value.code
        self.out, self.err = self.capfd.readouterr()
        return self

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


TINY = ["--run", "run", "--preset", "tiny", "--batch", "1", "--crop", "16"]
"""Options of `ginr train`, with the fixture `photos`."""
RUN_FILES = ["config.toml", "metrics.jsonl", "model.safetensors", "state.safetensors"]


def python(script: str) -> "subprocess.CompletedProcess[str]":
    """What a script prints in a process of its own."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


class Core:
    """Stands in for the network: repeats pixels; `fail` may raise when half a picture is made."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.fail: Callable[[Picture], None] = lambda picture: None

    def upscale(self, picture: Picture, model: Any, **options: Any) -> Picture:
        bands = list(self.upscale_bands(picture, model, **options))
        return Picture(np.ascontiguousarray(np.concatenate(bands)))

    def upscale_bands(
        self, picture: Picture, model: Any, **options: Any
    ) -> Iterator[npt.NDArray[Any]]:
        self.calls.append(options)
        height, width = options["height"], options["width"]
        top, left, bottom, right = options.get("box") or (0, 0, height, width)
        rows = np.arange(height)[top:bottom] * picture.height // height
        columns = np.arange(width)[left:right] * picture.width // width
        samples = picture.samples[rows][:, columns]
        yield samples[: len(rows) // 2]
        self.fail(picture)
        progress = options.get("progress", lambda done, total: None)
        progress(samples[..., 0].size, samples[..., 0].size)
        yield samples[len(rows) // 2 :]


def picture(path: str, width: int = 6, height: int = 4, mode: str = "RGB") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (width, height), "red" if mode != "L" else 99).save(file)
    return file


def size(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def pixels_of(path: str | Path) -> npt.NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def files(folder: str | Path = ".") -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
    )


def png(width: int, height: int) -> bytes:
    """A whole header and nothing else."""
    body = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
