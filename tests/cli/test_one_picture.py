"""One picture: names, sizes, formats, messages and metadata.

Run: pytest tests/cli/test_one_picture.py
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from .support import Core, Run, files, picture, size


def test_the_default_output_is_next_to_the_input(run: Run, core: Core) -> None:
    picture("photo.png")
    run("upscale", "photo.png", "--scale", "3.7")
    assert (run.code, run.out) == (0, "photo_x3.7.png\n")
    assert size("photo_x3.7.png") == (22, 15)
    assert "photo.png 6x4 -> photo_x3.7.png 22x15" in run.err
    assert "\x1b" not in run.err and "%" not in run.err  # no bar, no colour: not a terminal


def test_the_default_scale_is_announced(run: Run, core: Core) -> None:
    picture("photo.png")
    run("upscale", "photo.png")
    assert run.out == "photo_x2.png\n" and "enlarging x2" in run.err


@pytest.mark.parametrize(
    ("options", "name", "pixels"),
    [
        (["--scale", "2x3"], "a_x2x3.png", (12, 12)),
        (["--size", "60x"], "a_60x40.png", (60, 40)),
        (["--size", "60x60"], "a_60x40.png", (60, 40)),
        (["--size", "60x80!"], "a_60x80.png", (60, 80)),
        (["--scale", "150%", "--format", "webp"], "a_x1.5.webp", (9, 6)),
        (["--scale", "3", "--box", "1,1,4,2"], "a_x3_box1,1,4,2.png", (12, 6)),
        (["--size", "60x60", "--box", "50%,0%,50%,100%"], "a_45x60_box3,0,3,4.png", (45, 60)),
        (["--print", "1x1in", "--dpi", "60"], "a_60x40.png", (60, 40)),
        (["--print", "25.4x10mm"], "a_177x118.png", (177, 118)),
        (["--scale", "2", "-o", "sub/"], "sub/a.png", (12, 8)),
        (["--scale", "2", "-o", "b.tif"], "b.tif", (12, 8)),
        (["--scale", "2", "b.jpg"], "b.jpg", (12, 8)),
        (["--scale", "2", "old"], "old/a.png", (12, 8)),
    ],
)
def test_names_and_sizes(
    run: Run, core: Core, options: list[str], name: str, pixels: tuple[int, int]
) -> None:
    picture("a.png")
    Path("old").mkdir()
    run("upscale", "a.png", *options)
    assert (run.code, run.out) == (0, f"{name}\n")
    assert size(name) == pixels


def test_options_reach_the_network(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "-s", "2", "--tile", "64", "--precision", "float32")
    assert run.code == 0 and core.calls[0]["tile"] == 64
    assert core.calls[0]["precision"] == "float32"
    run("upscale", "a.png", "-s", "3")
    assert core.calls[1]["tile"] is None and core.calls[1]["precision"] == "auto"


def test_devices_have_names(run: Run, core: Core) -> None:
    picture("a.png")
    assert run("upscale", "a.png", "--device", "cuda:1", "--json").records[0]["device"] == "cuda:1"


def test_a_slow_scan_is_reported_once(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ginr.kernels.available.missing", lambda name: f"import {name} failed: why")
    picture("in/a.png")
    picture("in/b.png")
    run("upscale", "in", "out", "--device", "cuda")
    words = "small on cuda (no CUDA device), slow scan in plain torch: import mamba_ssm failed: why"
    assert run.code == 0 and run.err.count("plain torch") == run.err.count(words) == 1


def test_quality_reaches_the_file(run: Run, core: Core, sample_images: Path) -> None:
    with Image.open(sample_images / "photo_spices.png") as photo:
        photo.crop((0, 0, 60, 40)).save("a.png")
    for quality in ("30", "95"):
        assert run("upscale", "a.png", f"{quality}.jpg", "--quality", quality).code == 0
    assert run("upscale", "a.png", "-o", "95.jpg", "--overwrite").code == 0  # 95 is the default
    assert Path("30.jpg").stat().st_size < Path("95.jpg").stat().st_size / 2


def test_quality_is_refused_where_the_format_has_none(run: Run, core: Core) -> None:
    picture("in/a.png")
    picture("in/b.jpg")
    run("upscale", "in", "-o", "out", "--quality", "80")
    assert (run.code, files("out"), len(core.calls)) == (1, ["b.jpg"], 1)
    assert "out/a.png: quality 80 does not apply: PNG is lossless" in run.err


def test_json_is_one_object_per_picture(run: Run, core: Core) -> None:
    picture("a.png")
    (record,) = run("upscale", "a.png", "--scale", "2", "--json").records
    assert record.pop("seconds") >= 0 and record.pop("restoration")["strength"] == 0
    assert record == {
        "input": "a.png",
        "status": "done",
        "output": "a_x2.png",
        "input_width": 6,
        "input_height": 4,
        "width": 12,
        "height": 8,
        "frames": None,
        "box": None,
        "device": "cpu",
        "checkpoint": "small",
        "bank": None,
        "notes": [],
        "error": None,
    }


def test_json_names_the_part(run: Run, core: Core) -> None:
    picture("a.png")
    (record,) = run("upscale", "a.png", "--box", "1,0,4,2", "--json").records
    assert (record["box"], record["width"], record["height"]) == ([1, 0, 4, 2], 8, 4)
    assert core.calls[0]["box"] == (0, 2, 4, 10) and core.calls[0]["height"] == 8


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.bmp"])
def test_the_resolution_is_in_the_file(run: Run, core: Core, name: str) -> None:
    exif = Image.Exif()
    exif[0x11A], exif[0x11B], exif[0x128] = 72.0, 72.0, 2
    Image.new("RGB", (6, 4)).save("in.jpg", exif=exif, dpi=(72, 72))
    for options, dpi in ((["--dpi", "240"], 240), (["--print", "1x1cm"], 300), ([], 72)):
        assert run("upscale", "in.jpg", "-o", name, "--overwrite", *options).code == 0
        with Image.open(name) as image:
            assert image.info["dpi"] == pytest.approx((dpi, dpi), rel=0.01)
            assert image.getexif().get(0x11A, dpi) == dpi


def test_a_format_that_needs_much_memory_is_named(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    picture("a.png", 1000, 1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2e8))
    run("upscale", "a.png", "-s", "2", "b.webp")
    assert run.code == 0 and (
        "warning: b.webp needs about 0.1 GiB of the 0.2 GiB of free memory: .png and .tif"
        in run.err
    )
    assert "memory" not in run("upscale", "a.png", "-s", "2", "b.tif").err


def test_losses_of_the_output_are_reported(run: Run, core: Core) -> None:
    file = picture("a.png", mode="RGBA")
    Image.new("RGBA", (6, 4), (9, 9, 9, 128)).save(file)
    run("upscale", "a.png", "a.jpg")
    assert run.code == 0 and "a.png: JPEG has no transparency: placed on white" in run.err


def test_existing_outputs_are_kept_without_overwrite(run: Run, core: Core) -> None:
    picture("a.png")
    picture("out.png", 1, 1)
    run("upscale", "a.png", "-o", "out.png", "--scale", "2")
    assert run.code == 1 and run.out == ""
    assert "ginr: out.png already exists: add --overwrite to replace it\n" in run.err
    assert size("out.png") == (1, 1) and core.calls == []
    assert run("upscale", "a.png", "-o", "out.png", "--scale", "2", "--overwrite").code == 0
    assert size("out.png") == (12, 8)


def test_the_input_is_never_the_output(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "-o", "a.png", "--overwrite")
    assert run.code == 1 and "a.png is both input and output" in run.err
    assert size("a.png") == (6, 4)


@pytest.mark.parametrize("name", ["[red]x[b].png", "ä b.png", "-dash.png", "new\nline.png"])
def test_odd_names(run: Run, core: Core, name: str) -> None:
    picture(name)
    run("upscale", "-o", "out/", "--", name)
    assert run.code == 0 and run.out == f"out/{name}\n"
    assert "\nline" not in run.err and name.split("\n")[0] in run.err


@pytest.mark.skipif(sys.platform == "win32", reason="names are UTF-16 there")
def test_names_that_are_not_utf8(run: Run, core: Core) -> None:
    name = os.fsdecode(b"\xff.png")
    picture("a.png").rename(name)
    assert run("upscale", name, "--json").code == 0
    assert run.records[0]["output"] == os.fsdecode(b"\xff_x2.png")
