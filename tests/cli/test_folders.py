"""Folders and several inputs: structure is kept, finished pictures are skipped.

Run: pytest tests/cli/test_folders.py
"""

import sys
from pathlib import Path

import pytest

from ginr.errors import GinrError

from .support import Core, Run, files, picture, size


def test_a_folder_keeps_its_tree_and_is_not_done_twice(run: Run, core: Core) -> None:
    picture("in/a.png")
    picture("in/deep/er/b.JPG")
    picture("in/deep/c.gif", mode="P")
    picture("in/.hidden/d.png")
    picture("in/.e.png")
    Path("in/notes.txt").write_text("not a picture")
    assert run("upscale", "in", "out", "--scale", "2").code == 0
    assert files("out") == ["a.png", "deep/c.png", "deep/er/b.JPG"]
    assert sorted(run.out.splitlines()) == ["out/a.png", "out/deep/c.png", "out/deep/er/b.JPG"]
    Path("out/a.png").unlink()
    run("upscale", "in", "out", "--scale", "2")
    assert run.code == 0 and run.out == "out/a.png\n"
    assert run.err.endswith("1 done, 2 skipped\n") and len(core.calls) == 4
    assert run("upscale", "in", "out", "--scale", "2").err.endswith("3 skipped\n")


def test_an_output_of_another_size_is_not_done(run: Run, core: Core) -> None:
    picture("in/a.png")
    run("upscale", "in", "out", "--scale", "2")
    run("upscale", "in", "out", "--scale", "3")
    assert (
        run.code == 1
        and "out/a.png already exists with 12x8 pixels, not 18x12: add --overwrite" in run.err
    )
    assert run("upscale", "in", "-o", "out", "--scale", "3", "--overwrite").code == 0
    assert size("out/a.png") == (18, 12)


def test_outputs_next_to_inputs_are_not_inputs(run: Run, core: Core) -> None:
    picture("in/photo.png")
    picture("in/scan_x9000.png")  # not an output: there is no scan.png
    for scale, expected in (("2", 2), ("2", 0), ("2x3", 2)):
        before = len(core.calls)
        assert run("upscale", "in", "--scale", scale).code == 0
        assert len(core.calls) - before == expected
    assert "in: skipped 2 outputs of earlier runs" in run.err
    ends = ("", "_x2", "_x2x3")
    assert files("in") == [f"{stem}{end}.png" for stem in ("photo", "scan_x9000") for end in ends]


def test_empty_output_folders_are_removed(run: Run, core: Core) -> None:
    picture("in/deep/a.png")
    picture("in/b.png")

    def fail(made: object) -> None:
        raise GinrError("too hard: use another")

    core.fail = fail
    Path("there").mkdir()
    for folder in ("out", "new/out", "there"):
        assert run("upscale", "in", "-o", folder).code == 1
    assert sorted(path.name for path in Path().iterdir()) == ["in", "there"]
    core.fail = lambda made: None
    picture("in/deep/c.jpg")
    assert run("upscale", "in", "-o", "out", "--quality", "80").code == 1  # none for PNG
    assert files("out") == ["deep/c.jpg"]


def test_parts_next_to_inputs_are_not_inputs(run: Run, core: Core) -> None:
    picture("in/photo.png", 60, 40)
    for _ in range(2):
        run("upscale", "in", "--scale", "3", "--box", "25%,25%,50%,50%")
    assert files("in") == ["photo.png", "photo_x3_box15,10,30,20.png"]
    assert size("in/photo_x3_box15,10,30,20.png") == (90, 60)


def test_an_output_folder_inside_the_input_is_not_read(run: Run, core: Core) -> None:
    picture("in/a.png")
    for _ in range(2):
        assert run("upscale", "in", "-o", "in/large").code == 0
    assert files("in") == ["a.png", "large/a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links are others there")
def test_links(run: Run, core: Core) -> None:
    picture("in/a.png")
    Path("in/b.png").symlink_to("a.png")
    Path("in/gone.png").symlink_to("nowhere.png")
    Path("in/up").symlink_to("..")
    run("upscale", "in", "./in/a.png", "-o", "out")
    assert run.code == 1 and files("out") == ["a.png", "b.png"]
    assert "in/up: symbolic link to a folder, not followed" in run.err
    assert "ginr: in/gone.png does not exist" in run.err
    Path("kept.png").symlink_to("out/new.png")
    assert run("upscale", "in/a.png", "kept.png").code == 0
    assert Path("kept.png").is_symlink() and size("out/new.png") == (12, 8)


def test_many_inputs_into_one_folder(run: Run, core: Core) -> None:
    picture("a.png")
    picture("b.jpg")
    picture("folder/sub/c.png")
    run("upscale", "a.png", "b.jpg", "folder", "folder/sub/c.png", "-o", "out", "--format", "png")
    assert run.code == 0 and files("out") == ["a.png", "b.png", "sub/c.png"]


def test_three_outputs_next_to_their_inputs(run: Run, core: Core) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(name)
    assert run("upscale", "a.png", "b.png", "c.png").out == "a_x2.png\nb_x2.png\nc_x2.png\n"


def test_two_inputs_of_one_name_do_not_overwrite_each_other(run: Run, core: Core) -> None:
    picture("one/a.png")
    picture("two/a.png")
    run("upscale", "one/a.png", "two/a.png", "-o", "out")
    assert run.code == 1 and files("out") == ["a.png"]
    assert "two/a.png would overwrite the output of one/a.png, out/a.png" in run.err


def test_inputs_that_are_left_out_are_in_json(run: Run, core: Core) -> None:
    picture("in/a.png")
    run("upscale", "in", "--restore", "0")
    Path("in/clip.mp4").write_text("a video")
    (video, result, done) = run("upscale", "in", "--restore", "0", "--json").records
    assert video["input"] == "in/clip.mp4" and video["notes"] == [
        "video in a folder: name it to enlarge it"
    ]
    assert result["input"] == "in/a_x2.png" and result["notes"] == ["result of an earlier run"]
    assert {record["status"] for record in (video, result, done)} == {"skipped"}
    assert run.err.endswith("1 skipped\n")  # the others have lines of their own
    named = run("upscale", "in/*.png", "-o", "out/", "--restore", "0", "--json").records
    assert [(record["input"], record["status"]) for record in named] == [
        ("in/a_x2.png", "skipped"),
        ("in/a.png", "done"),
    ]
