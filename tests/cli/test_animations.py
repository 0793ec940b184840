"""`ginr upscale` of animations: pytest tests/cli/test_animations.py"""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .support import Core, Run, files, picture, size

COLOURS = ("red", "lime", "red", "blue")


def clip(path: str, colours: tuple[str, ...] = COLOURS, **options: Any) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.new("RGB", (6, 4), colour) for colour in colours]
    for k, image in enumerate(rest):
        image.putpixel((k, 0), (9, 9, k))  # Pillow would join equal frames
    save = {"save_all": True, "append_images": rest, "duration": 70, "loop": 0} | options
    first.save(file, **save)
    return file


def frames(path: str) -> list[tuple[tuple[int, ...], int]]:
    with Image.open(path) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            colour = image.convert("RGBA").getpixel((image.width - 1, image.height - 1))
            found.append((colour, round(image.info["duration"])))
    return found


@pytest.mark.parametrize("source", ["a.gif", "a.png", "a.webp"])
@pytest.mark.parametrize("output", ["b.gif", "b.png", "b.apng", "b.webp"])
def test_all_frames_are_enlarged(run: Run, core: Core, source: str, output: str) -> None:
    clip(source, lossless=True)
    run("upscale", source, output, "--scale", "2", "--json")
    assert run.code == 0 and f"{source} 6x4 -> {output} 12x8, 4 frames" in run.err
    (record,) = run.records
    assert (record["frames"], record["status"], record["width"]) == (4, "done", 12)
    red, lime, blue = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)
    assert frames(output) == [(red, 70), (lime, 70), (red, 70), (blue, 70)] and size(output) == (
        12,
        8,
    )


def test_the_output_is_an_animation_of_the_same_kind(run: Run, core: Core) -> None:
    clip("a.gif")
    run("upscale", "a.gif")
    assert run.code == 0 and run.out == "a_x2.gif\n" and len(frames("a_x2.gif")) == 4


def test_equal_frames_are_enlarged_once(run: Run, core: Core) -> None:
    clip("a.webp", ("red", "lime"), lossless=True)
    once = Image.open("a.webp")
    images = []
    for number in (0, 1, 0, 1, 0):
        once.seek(number)
        images.append(once.convert("RGB"))
    images[0].save("b.webp", save_all=True, append_images=images[1:], lossless=True, duration=50)
    run("upscale", "b.webp", "c.webp")
    assert run.code == 0 and len(core.calls) == 2 and len(frames("c.webp")) == 5
    assert "b.webp: 3 frames repeated, not enlarged again" in run.err


def test_frames_are_kept_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    from ginr_cli.batch import frames as module

    monkeypatch.setattr(module, "KEPT", 100)
    made: list[int] = []

    def enlarge(samples: np.ndarray) -> np.ndarray:
        made.append(int(samples[0, 0, 0]))
        return np.repeat(samples, 2, 0)

    work = module.Enlarged(enlarge)
    for level in (1, 2, 1, 3, 1, 2):  # of 48 bytes each: two are kept
        work(np.full((2, 3, 4), level, np.uint8))
    assert made == [1, 2, 3, 2] and work.n_repeated == 2


def test_a_part_is_enlarged(run: Run, core: Core) -> None:
    clip("a.gif")
    run("upscale", "a.gif", "b.gif", "--box", "0,0,3,2", "--scale", "3")
    assert run.code == 0 and size("b.gif") == (9, 6) and len(frames("b.gif")) == 4


def test_outputs_without_frames_hold_the_first_and_say_so(run: Run, core: Core) -> None:
    clip("a.gif")
    run("upscale", "a.gif", "b.tif")
    assert run.code == 0 and "only the first of 4 frames is read" in run.err and size("b.tif")


@pytest.mark.parametrize("output", ["b.gif", "b.apng"])
def test_pictures_are_not_written_as_animations(run: Run, core: Core, output: str) -> None:
    picture("a.png")
    run("upscale", "a.png", output)
    assert run.code == 1 and files() == ["a.png"]
    suffix = Path(output).suffix
    assert (
        f"{output}: only an animation can be written as {suffix}, and a.png is not: use .png"
        in run.err
    )


def test_folders(run: Run, core: Core) -> None:
    clip("in/a.gif")
    Image.new("P", (6, 4)).save("in/still.gif")
    picture("in/b.png")
    run("upscale", "in", "-o", "out")
    assert run.code == 0 and files("out") == ["a.gif", "b.png", "still.png"]
    assert len(frames("out/a.gif")) == 4
    run("upscale", "in", "-o", "out")
    assert run.code == 0 and "3 skipped" in run.err


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_results_are_known_as_such(run: Run, core: Core, suffix: str) -> None:
    clip(f"in/a.{suffix}", lossless=True)
    for _ in range(2):
        assert run("upscale", "in", "--suffix=-large").code == 0
    assert files("in") == [f"a-large.{suffix}", f"a.{suffix}"]
    assert "in: skipped 1 output of earlier runs" in run.err
    run("upscale", "in", "--suffix=-large", "--restore", "1")
    assert run.code == 1 and "made with --restore auto, not 1" in run.err


def test_an_animated_gif_beside_a_picture_keeps_its_name(run: Run, core: Core) -> None:
    clip("in/logo.gif"), picture("in/logo.png")
    assert run("upscale", "in", "-o", "out").code == 0 and files("out") == ["logo.gif", "logo.png"]


def test_several_inputs_need_a_folder(run: Run, core: Core) -> None:
    clip("a.gif"), clip("b.gif")
    run("upscale", "a.gif", "b.gif", "-o", "c.gif")
    assert run.code == 2 and "c.gif is a single file, but there are several inputs" in run.err


def test_quality(run: Run, core: Core) -> None:
    clip("a.gif")
    run("upscale", "a.gif", "b.webp", "-q", "50")
    assert run.code == 0
    run("upscale", "a.gif", "b.gif", "-q", "50")
    assert run.code == 1 and "b.gif: quality 50 does not apply: only to .webp" in run.err


def test_cut_animations(run: Run, core: Core) -> None:
    data = clip("a.gif").read_bytes()
    Path("a.gif").write_bytes(data[:-8])
    run("upscale", "a.gif", "b.gif")
    assert run.code == 1 and "a.gif is incomplete (it ends in frame 4)" in run.err
    run("upscale", "a.gif", "b.gif", "--allow-truncated", "--json")
    assert run.code == 0 and run.records[0]["frames"] == 3
    assert "incomplete: only the first 3 frames" in run.records[0]["notes"]


@pytest.mark.parametrize("output", ["b.gif", "b.png", "b.webp"])
def test_interrupted_it_leaves_nothing(run: Run, core: Core, output: str) -> None:
    clip("a.gif")

    def interrupt(picture: Any) -> None:
        if len(core.calls) == 2:
            signal.raise_signal(signal.SIGINT)

    core.fail = interrupt
    run("upscale", "a.gif", output)
    assert run.code == 130 and files() == ["a.gif"] and len(core.calls) == 2


def test_other_commands_read_the_first_frame(run: Run, tiny_checkpoint: Path) -> None:
    clip("a.gif")
    run("warp", "a.gif", "b.png", "--rotate", "3", "-c", str(tiny_checkpoint))
    assert run.code == 0 and "only the first of 4 frames is read" in run.err


def test_progress_counts_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    from ginr_cli import console

    shown: list[str] = []
    with console.Meter(400) as meter:
        monkeypatch.setattr(meter, "show", lambda done, name, pace="": shown.append(pace))
        meter.begin("a.gif", 0, 100)
        meter.advance(200, 400)
    assert shown[1].endswith(" left") and " frames/s, " in shown[1]


def test_frames_of_an_earlier_run_do_not_count_as_fast_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ginr_cli import console

    now, shown = 100.0, list[str]()
    monkeypatch.setattr("time.monotonic", lambda: now)
    with console.Meter(10_000) as meter:
        monkeypatch.setattr(meter, "show", lambda done, name, pace="": shown.append(pace))
        meter.begin("a.mp4", 0, 100)
        meter.advance(8_000, 10_000)
        for now in (102.0, 104.0):
            meter.advance(8_000 + int(now - 100) * 50, 10_000)
    assert shown[-1] == "0.50 frames/s, 0:00:36 left"


def test_a_rehearsal_counts_all_frames(run: Run, core: Core) -> None:
    clip("a.gif"), clip("b.gif", COLOURS[:2])
    run("upscale", "a.gif", "b.gif", "-o", "out/", "--dry-run", "--json")
    long, short = run.records
    assert run.code == 0 and not Path("out").exists()
    assert (long["frames"], short["frames"]) == (4, 2)
    assert long["output"] == "out/a.gif" and long["memory_bytes"] == short["memory_bytes"] > 0


def test_verbose_counts_the_pixels_of_all_frames(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ginr_cli import console
    from ginr_cli.reports.pictures import Outcome, OutcomeReport

    monkeypatch.setattr(console._settings, "is_verbose", True)
    size = {"width": 1000, "height": 1000, "frames": 4, "seconds": 2.0}
    OutcomeReport(as_json=False).add(Outcome("a.gif", "done", "b.gif", **size))
    assert "2.00 MP/s" in capsys.readouterr().err
