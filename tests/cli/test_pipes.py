"""Pictures through standard input and output: pytest tests/cli/test_pipes.py"""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from ginr_cli.main import main

from .clips import clip, contents
from .support import Core, Run, files, picture


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files of a pipe are meanwhile."""
    place = tmp_path.parent / f"{tmp_path.name}-temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    stream = SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", stream)


@pytest.fixture
def sent(
    core: Core, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., tuple[bytes, bytes]]:
    """Runs `ginr upscale`; returns the bytes on standard output and on standard error."""

    def run(*arguments: str) -> tuple[bytes, bytes]:
        with pytest.raises(SystemExit) as end:
            main(["upscale", *arguments])
        assert end.value.code == 0
        return capfdbinary.readouterr()

    return run


@pytest.mark.parametrize("paths", [["-"], ["-", "-"], ["-", "-o", "-"]])
@pytest.mark.parametrize(
    ("options", "format"), [([], "JPEG"), (["--format", "webp"], "WEBP"), (["-q", "80"], "JPEG")]
)
def test_stdout_holds_the_picture_and_nothing_else(
    sent: Callable[..., tuple[bytes, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    temporary: Path,
    paths: list[str],
    options: list[str],
    format: str,
) -> None:
    pipe(monkeypatch, picture("a.jpg").read_bytes())
    out, err = sent(*paths, *options)
    with Image.open(io.BytesIO(out)) as image:
        assert (image.format, image.size) == (format, (12, 8))
    assert b"standard input 6x4 -> standard output 12x8\n" in err
    assert str(temporary).encode() not in err and not list(temporary.iterdir())


@pytest.mark.parametrize(("mode", "suffix"), [("RGB", "png"), ("P", "gif"), ("RGB", "tif")])
def test_the_input_is_known_by_its_contents(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch, temporary: Path, mode: str, suffix: str
) -> None:
    pipe(monkeypatch, picture(f"a.{suffix}", mode=mode).read_bytes())
    run("upscale", "-", "out/")
    written = f"out/stdin.{suffix.replace('gif', 'png')}"
    assert (run.code, run.out) == (0, f"{written}\n")


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animations_keep_their_kind(
    sent: Callable[..., tuple[bytes, bytes]], monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    red, blue = (Image.new("RGB", (6, 4), colour) for colour in ("red", "blue"))
    red.save(f"a.{suffix}", save_all=True, append_images=[blue])
    pipe(monkeypatch, Path(f"a.{suffix}").read_bytes())
    with Image.open(io.BytesIO(sent("-", "-")[0])) as image:
        assert (image.format, image.size) == (suffix.upper(), (12, 8))
        assert getattr(image, "n_frames", 1) == 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_videos_keep_their_kind(
    sent: Callable[..., tuple[bytes, bytes]], monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    pytest.importorskip("av", reason="videos need PyAV: pip install 'ginr[video]'")
    pipe(monkeypatch, clip(f"a.{suffix}").read_bytes())
    Path(f"b.{suffix}").write_bytes(sent("-", "-")[0])
    before, after = contents(f"a.{suffix}"), contents(f"b.{suffix}")
    assert after["size"] == (128, 96) and after["packets"] == before["packets"]


def test_interrupted_videos_in_a_pipe_leave_nothing(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    pytest.importorskip("av", reason="videos need PyAV: pip install 'ginr[video]'")
    monkeypatch.setattr("ginr.videos.encoder.SEGMENT_FRAMES", 3)
    pipe(monkeypatch, clip("a.mp4").read_bytes())
    core.fail = lambda picture: signal.raise_signal(signal.SIGINT) if len(core.calls) > 7 else None
    run("upscale", "-", "-")
    assert run.code == 130 and not list(temporary.iterdir()) and "continues" not in run.err


def test_a_rehearsal_names_the_streams(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    pipe(monkeypatch, picture("a.png").read_bytes())
    run("upscale", "-", "-", "--dry-run")
    assert run.code == 0 and run.out.startswith("standard input 6x4 -> standard output 12x8, up to")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-", "-", "-o", "out.png"], 2, "- is given twice as input: standard input holds one"),
        (["a.png", "-", "b.png", "-"], 2, "- is given twice as input"),
        (["a.png", "b.png", "-o", "-"], 2, "- writes one picture, but there are several inputs"),
        (["folder", "-"], 2, "- writes one picture"),
        (["a.png", "-", "--json"], 2, "--json cannot be combined with - as output"),
        (["-", "x.png", "--strict"], 1, "standard input is empty (0 bytes): pipe a picture"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(
    run: Run,
    core: Core,
    monkeypatch: pytest.MonkeyPatch,
    temporary: Path,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    for name in ("a.png", "b.png", "folder/c.png"):
        picture(name)
    pipe(monkeypatch, b"")
    run("upscale", *arguments)
    assert (run.code, run.out) == (code, "") and words in run.err
    assert run.err.count("\n") == 1 and not list(temporary.iterdir())
    assert files() == ["a.png", "b.png", "folder/c.png"]


def test_what_is_no_picture_fails_by_its_public_name(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    pipe(monkeypatch, b"junk")
    run("upscale", "-", "-")
    assert (run.code, run.out) == (1, "") and not list(temporary.iterdir())
    assert "ginr: standard input is not a supported picture" in run.err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_no_picture(tmp_path: Path) -> None:
    import pty

    picture("a.png")
    master, slave = pty.openpty()
    result = subprocess.run(
        [sys.executable, "-m", "ginr_cli", "upscale", "a.png", "-"],
        stdin=slave, stdout=slave, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(slave)
    os.close(master)
    assert result.returncode == 2
    assert "- writes a picture to standard output: redirect it" in result.stderr
