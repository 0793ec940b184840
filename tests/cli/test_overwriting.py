"""Which files are replaced: only those named with -o, and never an input.

Run: pytest tests/cli/test_overwriting.py
"""

from pathlib import Path

import pytest

from ginr.part_files import part_of

from .support import Core, Run, files, picture, size


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_two_pictures_are_two_inputs(run: Run, core: Core, options: list[str]) -> None:
    for name in ("a.jpg", "b.jpg"):
        picture(name)
    before = Path("b.jpg").read_bytes()
    run("upscale", "a.jpg", "b.jpg", *options)
    assert (run.code, run.out) == (0, "a_x2.jpg\nb_x2.jpg\n")
    assert "b.jpg exists, so it is an input too: to replace it, name it with -o\n" in run.err
    assert Path("b.jpg").read_bytes() == before


def test_files_in_a_folder_are_replaced_only_if_it_is_named(run: Run, core: Core) -> None:
    picture("one/a.png")
    picture("two/a.png", 7)
    run("upscale", "one", "two", "--overwrite")
    assert (run.code, core.calls, size("two/a.png")) == (2, [], (7, 4))
    assert "--overwrite replaces files in a folder only with -o: -o two\n" in run.err
    assert run("upscale", "one", "-o", "two", "--overwrite").code == 0
    assert size("two/a.png") == (12, 8)


def test_no_input_is_replaced_by_the_output_of_another(run: Run, core: Core) -> None:
    picture("a.png")
    picture("a_x2.png", 7)
    picture("deep/a.png", 9)
    run("upscale", "a.png", "a_x2.png", "deep/a.png", "--overwrite")
    made = ["a_x2_x2.png", "deep/a_x2.png"]
    assert run.code == 1 and files() == sorted(["a.png", "a_x2.png", "deep/a.png", *made])
    words = "a_x2.png is an input too: leave it out, or choose another output for a.png"
    assert f"ginr: {words}\n" in run.err and size("a_x2.png") == (7, 4)
    run("upscale", "a.png", "deep/a.png", "-o", "deep", "--overwrite")
    assert run.code == 1 and "deep/a.png is an input too" in run.err
    assert size("deep/a.png") == (9, 4)


def test_earlier_outputs_among_the_inputs_are_done(run: Run, core: Core) -> None:
    picture("a.png")
    picture("b.png")
    for _ in range(2):
        run("upscale", *sorted(str(path) for path in Path().glob("[ab].png")), "a.png")
    assert run.code == 0 and run.err.endswith("2 skipped\n")
    run("upscale", "a.png", "a_x2.png", "b.png")
    assert run.code == 0 and run.err.endswith("2 skipped\n")
    assert "skipped 1 output of earlier runs: name one alone to enlarge it" in run.err
    assert run("upscale", "a_x2.png").out == "a_x2_x2.png\n"


@pytest.mark.parametrize("paths", [["a.png", "a_x2.png"], ["*.png"]])
def test_one_picture_and_its_result_are_done(run: Run, core: Core, paths: list[str]) -> None:
    # What a shell makes of *.png for one picture.
    picture("a.png")
    run("upscale", "a.png")
    run("upscale", *paths)
    assert (run.code, run.err) == (
        0,
        "skipped 1 output of earlier runs: name one alone to enlarge it, or with -o to replace it\n"
        "1 skipped\n",
    )
    run("upscale", *paths, "--scale", "3")
    assert run.out == "a_x3.png\n" and len(files()) == 3


@pytest.mark.parametrize("command", [["warp", "--rotate", "90"], ["reconstruct"]])
def test_a_second_picture_is_not_replaced(run: Run, command: list[str]) -> None:
    for name in ("a.png", "b.png"):
        picture(name)
    before = Path("b.png").read_bytes()
    name, *options = command
    for more in ([], ["--overwrite"]):
        run(name, "a.png", "b.png", *options, *more)
        assert run.code == 1 and Path("b.png").read_bytes() == before
        assert "b.png already exists: to replace it, name it with -o and add --overwrite" in run.err
    run(name, "a.png", "c.png", "-o", "d.png", *options)
    assert run.code == 2 and "c.png and -o d.png: give only one output" in run.err
    assert files() == ["a.png", "b.png"]


def test_what_a_killed_run_has_left_is_removed(run: Run, core: Core) -> None:
    picture("in/a.png")
    Path("out").mkdir()
    Path("out", f".ginr-{'0' * 16}.part").touch()
    run("upscale", "in", "out")
    assert run.code == 0 and files("out") == ["a.png"]
    assert run.err.count("out: removed 1 unfinished file of a run that was killed\n") == 1


def test_an_output_that_another_run_is_writing_is_refused(run: Run, core: Core) -> None:
    picture("a.png")
    with part_of(Path("out.png").resolve()):
        run("upscale", "a.png", "out.png")
        assert run.code == 1 and "out.png cannot be written (another process is" in run.err
    assert run("upscale", "a.png", "out.png").code == 0 and files() == ["a.png", "out.png"]
