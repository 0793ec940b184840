"""Names of outputs, and which outputs count as done: pytest tests/cli/test_names.py"""

from pathlib import Path

import pytest

from ginr.pictures import probe_picture
from ginr.pictures.provenance import provenance

from .support import Core, Run, files, picture, size


def test_inputs_that_differ_in_their_suffix_get_different_outputs(run: Run, core: Core) -> None:
    for name in ("in/logo.png", "in/logo.gif", "in/LOGO.GIF", "in/other.gif"):
        picture(name, mode="P" if name[-1] in "fF" else "RGB")
    for _ in range(2):
        assert run("upscale", "in", "-o", "out").code == 0
    assert files("out") == ["LOGO.GIF.png", "logo.gif.png", "logo.png", "other.png"]
    for _ in range(2):
        assert run("upscale", "in").code == 0
    assert files("in") == [
        "LOGO.GIF", "LOGO.GIF_x2.png", "logo.gif", "logo.gif_x2.png", "logo.png", "logo_x2.png",
        "other.gif", "other_x2.png",
    ]  # fmt: skip
    assert "in: skipped 4 outputs of earlier runs" in run.err


def test_a_format_for_all_keeps_inputs_apart(run: Run, core: Core) -> None:
    picture("in/a.png")
    picture("in/a.jpg")
    assert run("upscale", "in", "-o", "out", "--format", "webp").code == 0
    assert files("out") == ["a.jpg.webp", "a.png.webp"]


def test_the_output_of_another_picture_is_not_done(run: Run, core: Core) -> None:
    picture("in/logo.gif", mode="P")
    run("upscale", "in", "-o", "out")
    picture("in/logo.png")
    run("upscale", "in", "-o", "out")
    assert run.code == 1 and "out/logo.png already exists and is the enlargement of" in run.err
    assert "another picture, logo.gif: choose another output folder" in run.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--restore", "off"],
            "made with checkpoint small smallsma and photo photopho and crisp crispcri, not small",
        ),
        (["--restore", "0.5"], "made with --restore auto, not 0.5"),
        (["--ensemble"], "made with --ensemble off, not on"),
    ],
)
def test_an_output_made_otherwise_is_not_done(
    run: Run, core: Core, options: list[str], words: str
) -> None:
    picture("in/a.png")
    run("upscale", "in", "-o", "out")
    before = Path("out/a.png").read_bytes()
    run("upscale", "in", "-o", "out", *options)
    assert run.code == 1 and f"out/a.png already exists, {words}" in run.err
    assert "or replace it with -o and --overwrite" in run.err and "skipped" not in run.err
    assert Path("out/a.png").read_bytes() == before


def test_an_output_that_says_nothing_is_done(run: Run, core: Core) -> None:
    picture("in/a.bmp")
    for _ in range(2):
        assert run("upscale", "in", "-o", "out", "--restore", "off").code == 0
    assert run.err.endswith("1 skipped\n")
    assert run("upscale", "in", "-o", "out").err.endswith("1 skipped\n")


def test_results_inside_the_folder_are_not_enlarged_again(run: Run, core: Core) -> None:
    picture("in/a.png")
    picture("in/deep/b.jpg")
    run("upscale", "in/a.png", "in/deep/b.jpg", "-o", "in/large")
    Path("in/large/b.jpg").rename("in/c.jpg")
    for _ in range(2):
        assert run("upscale", "in", "-o", "out").code == 0
        assert "in: skipped 2 outputs of earlier runs" in run.err
    assert files("out") == ["a.png", "deep/b.jpg"]


@pytest.mark.parametrize("quoted", [True, False])
def test_results_are_not_enlarged_with_their_pictures(run: Run, core: Core, quoted: bool) -> None:
    picture("a.png"), picture("b.jpg")
    for _ in range(2):
        paths = ["*.*"] if quoted else sorted(map(str, Path().glob("*.*")))
        assert run("upscale", *paths).code == 0
    assert files() == ["a.png", "a_x2.png", "b.jpg", "b_x2.jpg"]
    assert "skipped 2 outputs of earlier runs: name one alone" in run.err
    assert run("upscale", "*_x2.png").out == "a_x2_x2.png\n"


def test_a_folder_of_results_alone_is_enlarged(run: Run, core: Core) -> None:
    picture("in/a.png")
    run("upscale", "in", "-o", "out")
    assert run("upscale", "out", "-o", "larger").code == 0
    assert size("larger/a.png") == (24, 16)


def test_an_output_says_how_it_was_made(run: Run, core: Core) -> None:
    picture("b.png")
    run("upscale", "b.png", "--box", "1,0,4,2")
    facts = provenance(probe_picture(Path("b_x2_box1,0,4,2.png")).xmp)
    assert facts["source"] == "b.png" and facts["box"] == "1,0,4,2"
    assert (facts["network"], facts["restore"], facts["ensemble"]) == ("small", "auto", "off")
