"""`ginr zoom`: sizes, refusals, interruption and a real video: pytest tests/cli/test_zoom.py"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ginr.pictures import Picture, read_picture
from ginr.pictures.samples import Samples

from .support import Run, files, picture, size


@pytest.fixture
def shot(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Calls of a stand-in for the renderer, whose frames are grey."""
    import ginr.rendering.zoom

    asked: list[dict[str, Any]] = []

    def render(picture: Picture, model: Any, shots: Any, **options: Any) -> Iterator[Samples]:
        asked.append({"shots": shots, **options})
        for k in range(len(shots)):
            yield np.full((options["height"], options["width"], 3), 9 * k, np.uint8)

    monkeypatch.setattr(ginr.rendering.zoom, "render_shots", render)
    return asked


ZOOM = ["--seconds", "1", "--fps", "4", "-c", "tiny.safetensors"]


@pytest.mark.parametrize(
    ("options", "frame"),
    [
        (["--to", "10,10,40,30", "--size", "64x36"], (64, 36)),
        (["--to", "10,10,2,1"], (60, 30)),
        (["--to", "0,0,81,41"], (1280, 648)),
        (["--to", "25%,25%,50%,50%", "--from", "0,0,50,50", "--size", "31x17"], (31, 17)),
    ],
)
def test_sizes(
    run: Run, shot: list[dict[str, Any]], options: list[str], frame: tuple[int, int]
) -> None:
    picture("a.png", 120, 90)
    run("zoom", "a.png", "-o", "film", *options, *ZOOM)
    assert (run.code, run.out) == (0, "film\n"), run.err
    assert files("film") == [f"frame_0000{k}.png" for k in (1, 2, 3, 4)]
    assert size("film/frame_00001.png") == frame and len(shot[0]["shots"]) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "1,2,3"], "--to: box '1,2,3' is not four numbers"),
        (["--to", "1,2,0,4"], "--to: box '1,2,0,4' is empty"),
        (["--to", "1,2,3,4", "--from", "x"], "--from: box 'x' is not four numbers"),
        (["--to", "1,2,3,4", "--size", "9x"], "--size '9x': a video needs both sides"),
        (["--to", "1,2,3,4", "--size", "axb"], "--size: size 'axb'"),
        (["--to", "1,2,3,4", "--seconds", "0"], "--seconds 0 at 4 frames per second"),
        (["--to", "1,2,3,4", "--seconds", "nan"], "--seconds nan"),
        (["--to", "1,2,3,4", "--fps", "0"], "--fps 0: must be from 0.01 to 240"),
        (["--to", "1,2,3,4", "--fps", "4e-4", "--seconds", "9e4"], "--fps 0.0004: must be from"),
        (["--to", "1,2,3,4", "--fps", "1e9"], "--fps 1e+09"),
        (
            ["--to", "1,2,3,4", "-o", "-"],
            "only ginr upscale writes to standard output: name a file",
        ),
        ([], "Missing option '--to'"),
    ],
)
def test_wrong_usage(run: Run, shot: list[dict[str, Any]], options: list[str], words: str) -> None:
    picture("a.png", 120, 90)
    run("zoom", "a.png", "-o", "film", *ZOOM, *options)
    assert (run.code, run.out, shot) == (2, "", [])
    assert words in run.err and run.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.png", "-o", "film"], "missing.png does not exist"),
        (["a.png", "-o", "a.png"], "a.png is both input and output"),
        (["a.png", "-o", "film.avi"], "film.avi: '.avi' is not a video format"),
        (["a.png", "-o", "no/film.gif"], "folder no does not exist"),
        (["a.png", "-o", "film.mp4", "--size", "31x17"], "videos need even sides, not 31x17"),
        (["a.png", "-o", "film", "--to", "100,80,40,30"], "reaches outside the picture"),
        (
            ["a.png", "-o", "film.gif", "--fps", "100"],
            "film.gif: 100 frames per second are too many",
        ),
        (["a.png", "-o", "film", "--size", "4000x3000"], "would be enlarged x33.33"),
    ],
)
def test_what_cannot_be_done(
    run: Run, shot: list[dict[str, Any]], arguments: list[str], words: str
) -> None:
    picture("a.png", 120, 90)
    run("zoom", "--to", "10,10,40,30", *ZOOM, *arguments, "--json")
    (record,) = run.records
    assert (run.code, record["status"], shot) == (1, "failed", [])
    assert words in record["error"] and files() == ["a.png", "tiny.safetensors"]


def test_missing_pyav_is_reported_before_the_work(
    run: Run, shot: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    picture("a.png", 120, 90)
    run("zoom", "a.png", "--to", "10,10,40,30", "-o", "film.mp4", *ZOOM)
    assert run.code == 1 and not shot and run.err.count("\n") == 1
    assert 'ginr: videos need PyAV: pip install "ginr[video]"' in run.err


@pytest.mark.parametrize("name", ["film", "film.gif", "film.webp", "film.mp4"])
def test_interrupted_it_leaves_nothing(
    run: Run, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import ginr.rendering.zoom

    if name.endswith("mp4"):
        pytest.importorskip("av", reason="videos need PyAV")

    def render(*_: Any, **options: Any) -> Iterator[Samples]:
        yield np.zeros((options["height"], options["width"], 3), np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(ginr.rendering.zoom, "render_shots", render)
    picture("a.png", 120, 90)
    run("zoom", "a.png", "--to", "10,10,40,30", "-o", name, *ZOOM)
    assert run.code == 130 and run.err.endswith("interrupted\n")
    assert files() == ["a.png", "tiny.safetensors"]
    assert not Path("film").exists()


def test_a_real_film(run: Run, tiny_checkpoint: Path) -> None:
    picture("a.png", 32, 24)
    run("zoom", "a.png", "--to", "8,8,16,12", "--size", "32x24", "-o", "film", *ZOOM)
    assert run.code == 0 and "a.png 32x24 -> film 32x24, 4 frames, x1 to x2" in run.err
    first, last = (read_picture(Path(f"film/frame_0000{k}.png")) for k in (1, 4))
    assert first.samples.shape == last.samples.shape == (24, 32, 3)


def test_the_output_has_a_name_by_default_or_follows_the_input(
    run: Run, tiny_checkpoint: Path
) -> None:
    picture("a.png", 32, 24)
    where = ("--to", "8,8,16,12", "--size", "32x24", *ZOOM)
    run("zoom", "a.png", *where)
    assert run.code == 0 and run.out == "a_zoom.webp\n"
    run("zoom", "a.png", "b.gif", *where)
    assert run.code == 0 and run.out == "b.gif\n"
    run("zoom", "a.png", "b.gif", *where)
    assert run.code == 1 and "b.gif already exists: to replace it, name it with -o" in run.err
    run("zoom", "a.png", "-o", "b.gif", "--overwrite", *where)
    assert run.code == 0
    assert files() == ["a.png", "a_zoom.webp", "b.gif", "tiny.safetensors"]
