"""Patterns, lists, names of outputs, rehearsals and how much is printed.

Run: pytest tests/cli/test_everyday.py
"""

from pathlib import Path

import pytest

from ginr_cli.console import Meter

from .support import Core, Run, files, picture, size


def test_quoted_patterns_are_expanded(run: Run, core: Core) -> None:
    for name in ("in/b.png", "in/a.png", "in/deep/c.png", "in/d.jpg"):
        picture(name)
    assert run("upscale", "in/*.png", "out/").out == "out/a.png\nout/b.png\n"
    assert run("upscale", "in/**/*.png", "-o", "all").code == 0
    assert files("all") == ["a.png", "b.png", "c.png"]
    assert run("upscale", "in/*.jpg", "in/a*").out == "in/d_x2.jpg\nin/a_x2.png\n"


def test_a_file_of_that_very_name_is_no_pattern(run: Run, core: Core) -> None:
    for name in ("[a].png", "a.png", "@b.png"):
        picture(name)
    assert run("upscale", "[a].png").out == "[a]_x2.png\n"
    assert run("upscale", "@b.png", "[a].png", "-o", "out").out == "out/@b.png\nout/[a].png\n"


def test_the_second_path_is_an_output_unless_it_is_a_pattern(run: Run, core: Core) -> None:
    for name in ("a.png", "b.jpg"):
        picture(name)
    assert run("upscale", "a.png", "large [new].png").out == "large [new].png\n"
    assert run("upscale", "a.png", "[b].jpg").out == "a_x2.png\nb_x2.jpg\n"
    run("upscale", "a.png", "*.tif")
    assert run.code == 2 and "*.tif: no file matches" in run.err
    run("upscale", "missing [1].png")
    assert run.code == 1 and "missing [1].png does not exist: check the name" in run.err


def test_lists_name_pictures_and_folders(run: Run, core: Core) -> None:
    for name in ("a b.png", "in/c.png"):
        picture(name)
    Path("list.txt").write_bytes(b"\xef\xbb\xbfa b.png\r\n\r\n  in\r\n")
    assert run("upscale", "@list.txt", "-o", "out").code == 0
    assert files("out") == ["a b.png", "c.png"]
    assert run("upscale", "@list.txt").out == "a b_x2.png\nin/c_x2.png\n"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("*.png", "*.png: no file matches: check the pattern"),
        ("@none.txt", "@none.txt: the list cannot be read: No such file or directory"),
        ("@empty.txt", "@empty.txt: the list is empty: write one path per line"),
    ],
)
def test_patterns_and_lists_without_pictures(run: Run, argument: str, words: str) -> None:
    Path("empty.txt").write_text("\n")
    run("upscale", argument, "out/")
    assert (run.code, run.out, run.err) == (2, "", f"ginr: {words}\n")


@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("large/{name}_{width}x{height}.webp", ["a_12x8.webp", "deep_12x8.webp"]),
        ("large/{folder}/{name}-{label}", ["a-x2.png", "deep/deep-x2.jpg"]),
        ("large/{name}.v1", ["a.v1.png", "deep.v1.jpg"]),
        ("large/{{{name}}}{width:05d}.png", ["{a}00012.png", "{deep}00012.png"]),
    ],
)
def test_templates_name_the_outputs(
    run: Run, core: Core, template: str, written: list[str]
) -> None:
    picture("in/a.png")
    picture("in/deep/deep.jpg")
    for _ in range(2):
        assert run("upscale", "in", "-o", template).code == 0
    assert files("large") == written and run.err.endswith("2 skipped\n")
    assert files("in") == ["a.png", "deep/deep.jpg"]


@pytest.mark.parametrize("template", ["{nam}.png", "{name", "{}.png", "{name}/", "{name:d}.png"])
def test_a_wrong_template_is_one_line(run: Run, core: Core, template: str) -> None:
    picture("a.png")
    run("upscale", "a.png", "-o", template)
    assert (run.code, files()) == (2, ["a.png"]) and run.err.count("\n") == 1


def test_a_template_without_a_name_is_one_output(run: Run, core: Core) -> None:
    picture("in/a.png")
    picture("in/b.png")
    run("upscale", "in", "-o", "out/{width}.png")
    assert run.code == 1 and files("out") == ["12.png"]
    assert "in/b.png would overwrite the output of in/a.png" in run.err


def test_the_end_of_a_name_can_be_chosen(run: Run, core: Core) -> None:
    picture("in/a.png")
    for _ in range(2):
        assert run("upscale", "in", "--suffix", "-large").code == 0
    assert files("in") == ["a-large.png", "a.png"]
    assert run("upscale", "in/a.png", "--suffix", "_hd", "-o", "out/").out == "out/a_hd.png\n"
    assert run("upscale", "in/a.png", "--suffix", "").code == 1
    assert "in/a.png is both input and output" in run.err
    run("upscale", "in/a.png", "--suffix", "../b")
    assert run.code == 2 and "--suffix ../b: give the end of a name" in run.err


def test_a_rehearsal_writes_nothing(run: Run, core: Core) -> None:
    picture("in/a.png")
    picture("in/deep/b.jpg", 3, 3)
    Path("in/c.png").write_bytes(b"junk")
    run("upscale", "in", "out", "--scale", "3", "--dry-run")
    assert run.code == 1 and files() == ["in/a.png", "in/c.png", "in/deep/b.jpg"]
    assert not Path("out").exists()
    first, second = run.out.splitlines()
    assert first.startswith("in/a.png 6x4 -> out/a.png 18x12, up to 0.2 GiB of memory, about 0.0 s")
    assert second.startswith("in/deep/b.jpg 3x3 -> out/deep/b.jpg 9x9, ")
    assert (
        run.err.endswith("2 planned, 1 failed\n") and "nothing was written: 2 pictures" in run.err
    )


def test_a_rehearsal_goes_on_after_a_picture_that_cannot_be_read(run: Run, core: Core) -> None:
    picture("in/a.png", 90, 60)
    picture("in/b.png")
    whole = Path("in/a.png").read_bytes()
    Path("in/a.png").write_bytes(whole[: len(whole) // 2])
    run("upscale", "in", "out", "--dry-run")
    assert (run.code, run.out.count("\n")) == (1, 1) and "in/b.png 6x4 -> out/b.png" in run.out
    assert "in/a.png is incomplete" in run.err and run.err.endswith("1 planned, 1 failed\n")


def test_a_rehearsal_as_json(run: Run, core: Core) -> None:
    picture("a.png")
    (record,) = run("upscale", "a.png", "-", "--dry-run", "--json").records
    assert (record["status"], record["width"]) == ("planned", 12)
    assert record["seconds"] >= 0 and record["memory_bytes"] > 2**20


def test_quiet_leaves_names_and_errors(run: Run, core: Core) -> None:
    picture("in/a.png")
    Path("in/b.png").write_bytes(b"junk")
    run("upscale", "in", "--quiet")
    assert (run.code, run.out) == (1, "in/a_x2.png\n")
    assert run.err.startswith("ginr: in/b.png") and run.err.count("\n") == 1
    assert "1 done" in run("upscale", "in", "--scale", "3").err  # and lasts for one run
    assert run("upscale", "in", "--quiet", "--verbose").code == 2


def test_verbose_says_how_long_a_picture_took(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "--verbose")
    assert "a_x2.png: 0." in run.err and " s with small on cpu, " in run.err


def test_progress_is_lines_where_stderr_is_no_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with Meter(1_000_000) as meter:
        meter.begin("a.png", 0)
        now = 107.0
        meter.advance(0, 1_000_000)  # no speed is known yet
        for now in (102.0, 105.0, 106.0, 110.5):
            meter.advance(int((now - 100) * 50_000), 1_000_000)
    assert capfd.readouterr().err == (
        "a.png: 25%, 0.05 MP/s, 0:00:15 left\na.png: 52%, 0.05 MP/s, 0:00:10 left\n"
    )


def test_a_model_is_a_checkpoint(run: Run, core: Core) -> None:
    picture("a.png")
    assert run("upscale", "a.png", "--model", "small", "--json").records[0]["checkpoint"] == "small"
    assert size("a_x2.png") == (12, 8)
