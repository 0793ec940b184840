"""`ginr warp`: canvases, names, refusals and one real run: pytest tests/cli/test_warp.py"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ginr.pictures import Picture, read_picture

from .support import Core, Run, files, picture, size

PAGE = "1,1 5,0 6,4 0,3"


@pytest.fixture
def asked(core: Core, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Calls of a stand-in for the library, whose pictures are half transparent."""
    asked: list[dict[str, Any]] = []

    def warp(picture: Picture, model: Any, mapping: Any, **options: Any) -> Picture:
        asked.append({"mapping": mapping, **options})
        return Picture(np.full((options["height"], options["width"], 4), 128, np.uint8))

    module = ModuleType("ginr.rendering.warp")
    module.__dict__["warp"] = warp
    monkeypatch.setitem(sys.modules, "ginr.rendering.warp", module)
    return asked


@pytest.mark.parametrize(
    ("options", "canvas"),
    [
        (["--rotate", "90"], (4, 6)),
        (["--rotate", "-45"], (8, 8)),
        (["--rotate", "45", "--keep-size", "--scale", "2"], (12, 8)),
        (["--shift", "0.5,-1"], (6, 4)),
        (["--rotate", "90", "--size", "40x"], (40, 60)),
        (["--scale", "2x3"], (12, 12)),
        (["--perspective", PAGE], (6, 4)),
        (["--perspective", PAGE, "--size", "3x2!"], (3, 2)),
        (["--map", "map.npy"], (7, 5)),
    ],
)
def test_canvases(
    run: Run, asked: list[dict[str, Any]], options: list[str], canvas: tuple[int, int]
) -> None:
    picture("a.png")
    np.save("map.npy", np.zeros((5, 7, 2), np.float32))
    run("warp", "a.png", *options)
    assert (run.code, run.out) == (0, "a_warped.png\n")
    assert size("a_warped.png") == canvas == (asked[0]["width"], asked[0]["height"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "nothing to do: give --rotate, --shift, --perspective or --map"),
        (["--rotate", "nan"], "nan is out of range: give a number from -1000000 to 1000000"),
        (["--rotate", "x"], "--rotate"),
        (["--shift", "1"], "--shift '1': expected 2 numbers, as in 0.5,-2"),
        (["--shift", "1,inf"], "--shift '1,inf': expected 2 numbers"),
        (["--perspective", "1,2,3"], "--perspective '1,2,3': expected 8 numbers"),
        (["--perspective", PAGE, "--rotate", "3"], "--map cannot be combined with"),
        (["--map", "m.npy", "--scale", "2"], "--map cannot be combined with"),
        (["--map", "m.npy", "--keep-size"], "--map cannot be combined with"),
        (
            ["--rotate", "3", "--scale", "2", "--size", "9x"],
            "--scale and --size cannot be combined",
        ),
        (["--rotate", "3", "--scale", "0"], "scale '0' is not a positive number"),
        (["--rotate", "3", "--device", "cuda:7"], "--device: device 'cuda:7'"),
    ],
)
def test_wrong_usage(run: Run, asked: list[dict[str, Any]], options: list[str], words: str) -> None:
    picture("a.png")
    run("warp", "a.png", *options)
    assert (run.code, run.out, asked) == (2, "", [])
    assert words in run.err and run.err.count("\n") == 1 and files() == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.png", "--rotate", "3"], "missing.png does not exist"),
        (["a.png", "a.png", "--rotate", "3", "--overwrite"], "a.png is both input and output"),
        (["a.png", "b.xyz", "--rotate", "3"], "b.xyz: '.xyz' is not an output format"),
        (["a.png", "no/b.png", "--rotate", "3"], "folder no does not exist"),
        (["a.png", "--map", "missing.npy"], "missing.npy cannot be read"),
        (["a.png", "--map", "a.png"], "a.png is not an array of numbers"),
        (["a.png", "--perspective", "1,1 1,1 6,4 0,3"], "not form a convex quadrilateral"),
        (["a.png", "--perspective", PAGE, "--size", "9999x"], "above the limit of x30"),
    ],
)
def test_what_cannot_be_done(
    run: Run, asked: list[dict[str, Any]], arguments: list[str], words: str
) -> None:
    picture("a.png")
    run("warp", *arguments, "--json")
    (record,) = run.records
    assert (run.code, record["status"], asked) == (1, "failed", [])
    assert words in record["error"] and run.err == f"ginr: {record['error']}\n"
    assert files() == ["a.png"]


def test_an_output_that_exists(run: Run, asked: list[dict[str, Any]]) -> None:
    for name in ("a.png", "a_warped.png"):
        picture(name)
    run("warp", "a.png", "--rotate", "3")
    assert run.code == 1 and "a_warped.png already exists" in run.err and not asked
    assert run("warp", "a.png", "--rotate", "3", "--overwrite").code == 0


def test_a_format_without_alpha_is_reported(run: Run, asked: list[dict[str, Any]]) -> None:
    picture("a.jpg")
    run("warp", "a.jpg", "--rotate", "3", "--json")
    (record,) = run.records
    assert record["notes"] == ["JPEG has no transparency: placed on white"]
    assert (record["output"], record["checkpoint"]) == ("a_warped.jpg", "small")
    assert read_picture(Path("a_warped.jpg")).samples.mean() > 185


def test_a_real_network(run: Run, tiny_checkpoint: Path) -> None:
    picture("a.png", 20, 16)
    run("warp", "a.png", "b.png", "--rotate", "20", "--scale", "2", "-c", "tiny.safetensors")
    assert (run.code, run.out) == (0, "b.png\n") and "20x16 -> b.png 50x44" in run.err
    assert read_picture(Path("b.png")).samples[0, 0, 3] == 0
