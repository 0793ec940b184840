"""Before and after, as a page and as a sheet: pytest tests/cli/test_compare.py"""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ginr_cli.comparing.page import MAX_PIXELS

from .support import Core, Run, files, picture, png


class Page(HTMLParser):
    """The pictures of a page, what they are called, and whatever it would fetch."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.images: list[tuple[str, bytes]] = []
        self.fetched: list[str] = []
        self.text = Path(path).read_text()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attributes}
        if tag == "img":
            kind, data = values["src"].split(";base64,")
            assert kind in ("data:image/png", "data:image/jpeg")
            self.images.append((values["alt"], base64.b64decode(data)))
        elif "src" in values or "href" in values:
            self.fetched.append(tag)


def noise(path: str, size: tuple[int, int], mode: str = "RGB") -> Path:
    Path(path).parent.mkdir(exist_ok=True)
    Image.effect_noise(size, 80).convert(mode).save(path)
    return Path(path)


def test_the_page_holds_both_files_and_fetches_nothing(run: Run) -> None:
    before, after = noise("a.jpg", (40, 30)), noise("b.png", (80, 60))
    assert run("compare", before, after).out == "b_compare.html\n"
    page = Page("b_compare.html")
    assert page.images == [("b.png", after.read_bytes()), ("a.jpg", before.read_bytes())]
    assert page.fetched == [] and "http" not in page.text.replace("http-equiv", "")
    for part in ('type="range"', "ArrowLeft", "default-src 'none'"):
        assert part in page.text
    assert "a.jpg (40x30)" in page.text and "@" not in re.sub('base64,[^"]*', "", page.text)


@pytest.mark.skipif(shutil.which("node") is None, reason="node reads the script")
def test_the_script_of_the_page_is_sound(run: Run) -> None:
    run("compare", noise("a.png", (4, 3)), noise("b.png", (8, 6)), "-o", "page.htm")
    script = Page("page.htm").text.split("<script>")[1].split("</script>")[0]
    Path("script.js").write_text(script)
    subprocess.run(["node", "--check", "script.js"], check=True)


def test_names_cannot_change_the_page(run: Run) -> None:
    run("compare", noise('"><b>@width@.png', (4, 3)), noise("b.png", (8, 6)))
    page = Page("b_compare.html")
    assert page.images[1][0] == '"><b>@width@.png' and "<b>" not in page.text


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.bmp"])
def test_kinds_that_browsers_may_not_show_are_converted(run: Run, name: str) -> None:
    run("compare", noise(name, (4, 3)), noise("b.png", (8, 6)))
    assert Page("b_compare.html").images[1][1].startswith(b"\x89PNG")


def test_the_sheet_shows_where_they_differ_most(run: Run) -> None:
    before = np.full((200, 300, 3), 90, np.uint8)
    after = before.repeat(2, 0).repeat(2, 1)
    after[100:110, 500:510] = 250
    after[300:305, 40:45] = 200
    Image.fromarray(before).save("a.png")
    Image.fromarray(after).save("b.png")
    (record,) = run("compare", "a.png", "b.png", "-o", "sheet.png", "--json").records
    assert record["output"] == "sheet.png" and len(record["details"]) == 2
    for (x, y, width, height), at in zip(record["details"], ((500, 100), (40, 300)), strict=True):
        assert x <= at[0] and at[0] + 5 <= x + width and y <= at[1] and at[1] + 5 <= y + height
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 1000 and sheet.height > 600


def test_pictures_that_differ_in_colour_alone_are_not_equal(run: Run) -> None:
    Image.new("RGB", (48, 36), (128, 128, 128)).save("a.png")
    Image.new("RGB", (48, 36), (200, 103, 68)).save("b.png")  # as light
    run("compare", "a.png", "b.png", "-o", "sheet.png")
    assert run.code == 0 and "equal" not in run.err


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (17, 400)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "I;16"])
def test_sheets_of_all_kinds_and_sizes(run: Run, size: tuple[int, int], mode: str) -> None:
    noise("a.png", size, mode)
    noise("b.png", (2 * size[0], 2 * size[1]), mode)
    assert run("compare", "a.png", "b.png", "-o", "sheet.jpg").code == 0
    assert run("compare", "b.png", "b.png", "-o", "same.png").code == 0
    assert "the pictures are equal" in run.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["b.png", "a.png"], 1, "b.png 80x60 and a.png 40x30: the second is smaller: name the"),
        (["a.png", "tall.png"], 1, "a.png 40x30 and tall.png 80x90 differ in shape: compare"),
        (["a.png", "huge.png"], 1, f"20000x20000 is over {MAX_PIXELS // 10**6} megapixels"),
        (["a.png", "none.png"], 1, "none.png does not exist: check the name"),
        (["a.png", "b.png", "-o", "x.txt"], 2, "-o x.txt: is neither .html nor one of .avif"),
        (["a.png", "b.png", "-o", "no/x.html"], 1, "no/x.html: folder no does not exist"),
        (["a.png", "b.png", "-o", "b.png", "--overwrite"], 1, "b.png is both input and output"),
        (["a.png", "b.png", "-o", "tall.png"], 1, "tall.png already exists: add --overwrite"),
    ],
)
def test_refusals_are_one_line(run: Run, arguments: list[str], code: int, words: str) -> None:
    for name, size in (("a.png", (40, 30)), ("b.png", (80, 60)), ("tall.png", (80, 90))):
        noise(name, size)
    Path("huge.png").write_bytes(png(20_000, 20_000) + bytes(3_000_000))
    before = {name: Path(name).read_bytes() for name in files()}
    run("compare", *arguments)
    assert (run.code, run.out) == (code, "") and words in run.err and run.err.count("\n") == 1
    assert {name: Path(name).read_bytes() for name in files()} == before


def test_upscale_writes_a_page_beside_each_output(run: Run, core: Core) -> None:
    picture("in/a.png")
    picture("in/b.jpg", 60, 40)
    assert run("upscale", "in", "--preview", "--restore", "off").code == 0
    assert [name for name in files("in") if "compare" in name] == [
        "a_x2_compare.html",
        "b_x2_compare.html",
    ]
    page = Page("in/a_x2_compare.html")
    assert [name for name, _ in page.images] == ["a_x2.png", "a.png"]
    assert page.images[0][1] == Path("in/a_x2.png").read_bytes()
    assert "in/a_x2_compare.html: before and after" in run.err
    assert run("upscale", "in", "--preview", "--restore", "off").err.endswith("2 skipped\n")


def test_a_preview_of_a_part_shows_that_part(run: Run, core: Core) -> None:
    picture("a.png", 60, 40)
    run("upscale", "a.png", "b.png", "--preview", "--box", "10,10,20,10")
    assert "a.png (20x10)" in Page("b_compare.html").text


def test_a_preview_is_refused_before_the_work(run: Run, core: Core) -> None:
    picture("a.png")
    Path("b_compare.html").write_text("mine")
    run("upscale", "a.png", "b.png", "--preview")
    assert run.code == 1 and "b_compare.html already exists: add --overwrite" in run.err
    assert Path("b_compare.html").read_text() == "mine" and not core.calls
    assert run("upscale", "a.png", "-", "--preview").code == 2


@pytest.mark.parametrize("output", ["page.html", "sheet.png"])
def test_frames_that_are_not_shown_are_said(run: Run, core: Core, output: str) -> None:
    noise("a.png", (8, 6))
    red, blue = (Image.new("RGB", (16, 12), colour) for colour in ("red", "blue"))
    red.save("b.gif", save_all=True, append_images=[blue])
    run("compare", "a.png", "b.gif", "-o", output)
    assert run.code == 0 and "b.gif: only the first of 2 frames is read" in run.err
