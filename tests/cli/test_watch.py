"""`ginr upscale --watch`: pytest tests/cli/test_watch.py"""

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .support import Core, Run, files, picture, size

pytest.importorskip("watchfiles", reason="--watch needs watchfiles: pip install 'ginr[watch]'")


def meanwhile(*steps: Callable[[], object]) -> threading.Thread:
    """Takes the steps one after another, a second apart, then presses Ctrl+C."""

    def run() -> None:
        for step in steps:
            time.sleep(1.5)
            step()
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def until(*paths: str) -> None:
    """Waits for files."""
    for _ in range(200):
        if all(Path(path).exists() for path in paths):
            return
        time.sleep(0.1)


def test_pictures_are_enlarged_as_they_arrive(run: Run, core: Core) -> None:
    picture("in/first.png")
    meanwhile(
        lambda: picture("in/sub/second.jpg"), lambda: until("out/first.png", "out/sub/second.jpg")
    )
    run("upscale", "in", "-o", "out/", "--watch", "--restore", "0")
    assert run.code == 130 and run.out == "out/first.png\nout/sub/second.jpg\n"
    assert size("out/sub/second.jpg") == (12, 8)
    assert "watching in: Ctrl+C to stop" in run.err and run.err.endswith("interrupted\n2 done\n")
    assert run.err.count("small on cpu") == 1  # the network stays loaded


def test_results_and_hidden_files_are_not_enlarged(run: Run, core: Core) -> None:
    picture("in/a.png")
    meanwhile(
        lambda: until("in/a_x2.png"),
        lambda: picture("in/.b.png"),
        lambda: Path("in/clip.mp4").write_bytes(b"a video"),
        lambda: time.sleep(2),
    )
    run("upscale", "in", "--watch", "--restore", "0", "--suffix", "_x2")
    assert run.code == 130 and len(core.calls) == 1
    assert files("in") == [".b.png", "a.png", "a_x2.png", "clip.mp4"]
    assert "in/clip.mp4: video in a folder: name it to enlarge it" in run.err


def test_a_file_is_read_when_it_is_complete(run: Run, core: Core) -> None:
    whole = picture("whole.png", 300, 300).read_bytes()
    part = Path("in/a.png")
    part.parent.mkdir()

    def write() -> None:
        with part.open("wb") as file:
            for at in range(0, len(whole), len(whole) // 8):
                file.write(whole[at : at + len(whole) // 8])
                file.flush()
                time.sleep(0.2)

    meanwhile(write, lambda: until("out/a.png"))
    run("upscale", "in", "-o", "out/", "--watch", "--restore", "0")
    assert run.code == 130 and "failed" not in run.err and size("out/a.png") == (600, 600)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png"], "--watch: a.png is not a folder"),
        (
            ["in", "--dry-run"],
            "--watch cannot be combined with --dry-run, or several jobs or devices",
        ),
    ],
)
def test_refusals(run: Run, core: Core, arguments: list[str], words: str) -> None:
    picture("a.png"), picture("in/a.png")
    run("upscale", *arguments, "--watch")
    assert run.code == 2 and words in run.err and files() == ["a.png", "in/a.png"]


def test_the_library_may_be_missing(run: Run, core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("in/a.png")
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    run("upscale", "in", "--watch")
    assert run.code == 2 and '--watch needs watchfiles: pip install "ginr[watch]"' in run.err
