"""Unexpected errors, Ctrl+C, and bad pictures among good ones.

Run: pytest tests/cli/test_trouble.py
"""

from pathlib import Path

import pytest

from ginr.errors import GinrError
from ginr.pictures import Picture
from ginr_cli.main import main

from .support import Core, Run, files, picture


def test_an_unexpected_error_names_its_type(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(picture: Picture) -> None:
        raise RuntimeError("odd\nthing")

    picture("a.png")
    core.fail = fail
    run("upscale", "a.png")
    assert run.code == 1 and files() == ["a.png"]
    words = "ginr: RuntimeError: odd thing (set GINR_DEBUG=1 for the traceback)\n"
    assert run.err.endswith(words)
    monkeypatch.setenv("GINR_DEBUG", "1")
    with pytest.raises(RuntimeError, match="odd"):
        main(["upscale", "a.png"])


def test_ctrl_c_leaves_130_and_no_half_file(run: Run, core: Core) -> None:
    def fail(picture: Picture) -> None:
        if picture.width == 7:
            raise KeyboardInterrupt

    picture("in/a.png")
    picture("in/b.png", 7)
    core.fail = fail
    run("upscale", "in", "out")
    assert run.code == 130 and "interrupted" in run.err and "1 done" in run.err
    assert files("out") == ["a.png"]


def test_one_bad_picture_does_not_stop_the_others(run: Run, core: Core) -> None:
    def fail(picture: Picture) -> None:
        if picture.width == 7:
            raise GinrError("too hard: use another")

    picture("in/a.png")
    Path("in/b.png").write_bytes(b"broken")
    picture("in/c.png", 7)
    picture("in/d.png")
    core.fail = fail
    run("upscale", "in", "-o", "out", "--json")
    assert run.code == 1 and files("out") == ["a.png", "d.png"]
    status = {record["input"]: record["status"] for record in run.records}
    assert status == {
        "in/a.png": "done",
        "in/b.png": "failed",
        "in/c.png": "failed",
        "in/d.png": "done",
    }
    assert run.err.endswith("2 done, 2 failed\n")
