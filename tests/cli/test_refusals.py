"""Refusals in one line: exit code 2 for wrong usage, 1 for a bad file.

Run: pytest tests/cli/test_refusals.py
"""

import os
import sys
from pathlib import Path

import pytest

from .support import Core, Run, files, picture, png


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png", "--scale", "0"], "scale '0' is not a positive number"),
        (["a.png", "--scale", "-1"], "scale '-1' is not a positive number"),
        (["a.png", "--scale", "nan"], "scale 'nan'"),
        (["a.png", "--scale", "1e9"], "scale '1e9' is too large: give 1 to 30"),
        (["a.png", "--scale", "0.5"], "scale '0.5' would shrink"),
        (["a.png", "--size", "0x"], "size '0x'"),
        (
            ["a.png", "--scale", "2", "--size", "9x"],
            "--scale and --size cannot be combined: give only one",
        ),
        (["a.png", "--print", "9x9cm", "--size", "9x"], "--size and --print cannot be combined"),
        (["a.png", "--print", "9x9cm", "--scale", "2"], "--scale and --print cannot be combined"),
        (["a.png", "--print", "9cm"], "print '9cm' is not a size on paper: write 30x20cm"),
        (["a.png", "--print", "9by9"], "print '9by9' is not a size on paper"),
        (["a.png", "--print", "0x9cm"], "print '0x9cm' is not a size on paper"),
        (["a.png", "--dpi", "0"], "--dpi"),
        (["a.png", "--dpi", "nan"], "--dpi"),
        (["a.png", "--box", "1,1,2"], "box '1,1,2' is not four numbers: write 100,50,640,480"),
        (["a.png", "--box", "1,1,2,0"], "box '1,1,2,0' is empty"),
        (["a.png", "--format", "exe"], "--format exe cannot be written: use one of"),
        (
            ["a.png", "b.png", "--format", "jpg"],
            "--format cannot be combined with the file name b.png",
        ),
        (["a.png", "out"], "out has no suffix: write out.png for a picture, out/ for a folder"),
        (
            ["a.png", "folder", "-o", "b.png"],
            "b.png is a single file, but there are several inputs",
        ),
        (["folder", "b.png"], "b.png is a single file, but there are several inputs"),
        (["a.png", "--tile", "-1"], "--tile"),
        (
            ["a.png", "-o", "new/", "--device", "cuda:7"],
            "--device: device 'cuda:7' was not found (CUDA devices: 1",
        ),
        (["a.png", "--quality", "0"], "--quality"),
        (["a.png", "--quality", "101"], "--quality"),
        (["a.png", "--tile", "x"], "ginr: Invalid value for '--tile': "),
        (["a.png", "--tiles", "9"], "ginr: No such option: --tiles"),
        (["a.png", "--scale", ""], "scale '' is not a number"),
        ([""], "empty path: write . for the current folder"),
        (["a.png", "-o", ""], "empty path: write . for the current folder"),
        ([], "ginr: Missing argument 'INPUT'"),
    ],
)
def test_wrong_usage(run: Run, core: Core, arguments: list[str], words: str) -> None:
    picture("a.png")
    picture("folder/c.png")
    run("upscale", *arguments)
    assert (run.code, run.out, core.calls) == (2, "", [])
    assert words in run.err and run.err.count("\n") == 1
    assert files() == ["a.png", "folder/c.png"]


def test_sizes_that_do_not_suit_the_picture(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "--size", "3x")
    assert run.code == 1 and "ginr: size 3x would shrink 6x4 pixels" in run.err


def test_a_box_that_does_not_suit_the_picture(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "--box", "3,0,4,2")
    assert (run.code, files()) == (1, ["a.png"])
    assert run.err == "ginr: box 3,0,4,2 reaches outside the picture's 6x4 pixels\n"


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("missing.png", None),
        ("empty.png", b""),
        ("text.png", b"this is no picture, whatever its name says"),
        ("bomb.png", png(100_000, 100_000)),
        ("cut.png", png(60, 40)),
    ],
)
def test_bad_inputs_are_one_line(run: Run, core: Core, name: str, contents: bytes | None) -> None:
    if contents is not None:
        Path(name).write_bytes(contents)
    run("upscale", name, "--scale", "2", "--json")
    (line,) = [line for line in run.err.splitlines() if line.startswith("ginr: ")]
    assert run.code == 1 and line.startswith(f"ginr: {name}")
    (record,) = run.records
    assert record["status"] == "failed" and f"ginr: {record['error']}" == line
    assert files() == ([] if contents is None else [name])


def test_control_characters_in_names_are_escaped(run: Run, core: Core) -> None:
    run("upscale", "--\x1b[31mred")
    assert run.code == 2 and "\x1b" not in run.err and "\\x1b[31mred" in run.err


@pytest.mark.skipif(sys.platform == "win32", reason="no links and pipes there")
def test_paths_that_are_not_regular_files(run: Run, core: Core) -> None:
    picture("a.png")
    Path("loop.png").symlink_to("loop.png")
    os.mkfifo("pipe.png")
    long = "x" * 300 + ".png"
    for arguments, words in (
        (["loop.png"], "loop.png cannot be opened (Too many levels of symbolic links)"),
        (["pipe.png"], "pipe.png is not a regular file"),
        (["a.png/b.png"], "a.png/b.png cannot be opened (Not a directory): check the name"),
        ([long], f"{long} cannot be opened (File name too long): check the name"),
        (["a.png", long], f"{long} is not a valid name (File name too long): change it"),
        (["a.png", "pipe.png", "--overwrite"], "pipe.png is not a regular file: choose another"),
    ):
        run("upscale", *arguments)
        assert (run.code, run.err.count("\n")) == (1, 1) and f"ginr: {words}" in run.err
    run("upscale", long, "a.png", "-o", "out")
    assert run.code == 1 and files("out") == ["a.png"]


def test_a_truncated_picture(run: Run, core: Core) -> None:
    file = picture("photo.jpg", 400, 300)
    file.write_bytes(file.read_bytes()[:-900])
    run("upscale", "photo.jpg")
    assert run.code == 1 and "ginr: photo.jpg" in run.err and files() == ["photo.jpg"]


def test_an_empty_folder(run: Run, core: Core) -> None:
    Path("folder").mkdir()
    Path("folder/notes.txt").write_text("not a picture")
    run("upscale", "folder", "-o", "out")
    assert run.code == 1 and "ginr: folder contains no pictures" in run.err
    assert not Path("out").exists()


def test_an_unknown_suffix_and_a_missing_folder(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "b.xyz")
    assert run.code == 1 and "b.xyz: '.xyz' is not" in run.err
    run("upscale", "a.png", "no/b.png")
    assert run.code == 1 and "folder no does not exist" in run.err
    assert core.calls == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder(run: Run, core: Core, here: Path) -> None:
    picture("locked/a.png")
    Path("locked").chmod(0o555)
    run("upscale", "locked/a.png")
    Path("locked").chmod(0o755)
    assert run.code == 1 and "is not writable" in run.err and core.calls == []


def test_an_unknown_checkpoint(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "--checkpoint", "huge")
    assert run.code == 1 and run.err.endswith("ginr: huge is no checkpoint: use small\n")
