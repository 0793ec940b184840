"""`ginr upscale` of videos: pytest tests/cli/test_videos.py"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ginr_cli.batch.kinds import probe

from .clips import clip, contents
from .support import Core, Run, files, picture

pytest.importorskip("av", reason="videos need PyAV: pip install 'ginr[video]'")

UNEVEN = [0, 20, 90, 130, 140, 300, 310, 400]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize("times", [None, UNEVEN])
def test_times_tags_and_sound_stay(
    run: Run, core: Core, name: str, times: list[int] | None
) -> None:
    clip(name, times)
    run("upscale", name, f"b{name[1:]}", "--json")
    before, after = contents(name), contents(f"b{name[1:]}")
    assert run.code == 0 and run.records[0]["frames"] == len(before["times"])
    assert after["size"] == (128, 96) and len(core.calls) == len(before["times"])
    for same in ("times", "tags", "ratio", "title", "others", "packets", "codec"):
        assert after[same] == before[same], same
    assert before["tags"] == [1, 1, 1, 1] and before["packets"]
    shifts = []
    for small, large in zip(before["rgb"], after["rgb"], strict=True):
        shifts.append(small.mean((0, 1)) - large.mean((0, 1)))
        assert np.abs(small - large[::2, ::2]).mean() < 6
    # Encoding changes single frames a little; a wrong conversion of colours shifts all of them.
    assert np.abs(shifts).max() < 1
    assert np.abs(np.mean(shifts, 0)).max() < 0.5


def test_the_rotation_of_a_phone_stays(run: Run, core: Core) -> None:
    clip("a.mp4", rotation=90)
    run("upscale", "a.mp4")
    assert run.out == "a_x2.mp4\n" and contents("a_x2.mp4")["rotation"] == 90


def test_ten_bits_stay(run: Run, core: Core) -> None:
    clip("a.mp4", codec="libx265", pixels="yuv420p10le")
    run("upscale", "a.mp4", "b.mp4")
    assert run.code == 0 and contents("b.mp4")["codec"] == ("hevc", "yuv420p10le")


def test_equal_frames_are_enlarged_once(run: Run, core: Core) -> None:
    clip("a.mkv", still=True, codec="ffv1", crf="0")
    run("upscale", "a.mkv", "b.mkv")
    assert run.code == 0 and len(core.calls) == 1 and len(contents("b.mkv")["times"]) == 12
    assert "a.mkv: 11 frames repeated, not enlarged again" in run.err


@pytest.mark.parametrize(
    ("options", "output", "codec"),
    [
        ([], "b.webm", ("vp9", "yuv420p")),
        (["--codec", "vp9"], "b.mkv", ("vp9", "yuv420p")),
        (["--codec", "av1"], "b.mp4", ("libdav1d", "yuv420p")),
        (["--codec", "ffv1"], "b.mkv", ("ffv1", "yuv420p")),
        (["--codec", "h265", "-q", "50"], "b.mp4", ("hevc", "yuv420p")),
        (["--encoder-option", "preset=ultrafast", "--encoder-option", "crf=40"], "b.mp4", ("h264", "yuv420p")),
    ],
)  # fmt: skip
def test_codecs(
    run: Run, core: Core, options: list[str], output: str, codec: tuple[str, str]
) -> None:
    clip("a.mp4", audio=None)
    run("upscale", "a.mp4", output, *options)
    assert run.code == 0, run.err
    assert contents(output)["codec"] == codec


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="the system has no such call")
def test_av1_takes_no_real_time_priority_and_prints_nothing(run: Run, core: Core) -> None:
    clip("a.mp4", audio=None)
    before, seen = os.sched_getscheduler(0), set[int]()

    def look(picture: Any) -> None:
        for task in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):  # a thread that has just ended
                seen.add(os.sched_getscheduler(int(task)))

    core.fail = look
    run("upscale", "a.mp4", "b.mp4", "--codec", "av1")
    assert run.code == 0 and seen == {before} and "Svt" not in run.err


def test_quality_decides_about_the_size(run: Run, core: Core) -> None:
    clip("a.mp4", audio=None)
    for quality in ("20", "90"):
        run("upscale", "a.mp4", f"q{quality}.mp4", "-q", quality)
    assert 2 * Path("q20.mp4").stat().st_size < Path("q90.mp4").stat().st_size


def test_subtitles(run: Run, core: Core) -> None:
    Path("a.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nHello\n\n")
    clip("a.mkv", subtitles="a.srt")
    run("upscale", "a.mkv", "b.mkv")
    after = contents("b.mkv")
    assert run.code == 0 and ("subtitle", "srt") in after["others"]
    assert after["packets"] == contents("a.mkv")["packets"]
    run("upscale", "a.mkv", "b.mp4")
    assert run.code == 0 and contents("b.mp4")["others"] == [("audio", "aac")]
    assert "subtitles (subrip) left out: .mkv holds more kinds" in run.err


def test_odd_sides_are_cut_and_said(run: Run, core: Core) -> None:
    clip("a.mp4", audio=None)
    run("upscale", "a.mp4", "b.mp4", "--size", "97x")
    assert run.code == 0 and contents("b.mp4")["size"] == (96, 72)
    assert "b.mp4: videos need even sides: 97x73 is cut to 96x72" in run.err
    assert "a.mp4 64x48 -> b.mp4 96x72" in run.err


def test_finished_videos_with_cut_sides_are_known(run: Run, core: Core) -> None:
    clip("a.mp4", audio=None)
    for _ in range(2):
        assert run("upscale", "a.mp4", "a.mp4", "-o", "out/", "--scale", "1.1").code == 0
    assert "1 skipped" in run.err and contents("out/a.mp4")["size"] == (70, 52)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.mp4", "b.avi"], "b.avi: '.avi' is not a video: use one of .m4v"),
        (["a.mp4", "b.png"], "b.png: '.png' is not a video"),
        (["p.png", "b.mp4"], "b.mp4: only a video can be written as .mp4, and p.png is not: use .png"),
        (["a.mp4", "b.mp4", "--codec", "nope"], "b.mp4: nope is not a video encoder of this PyAV"),
        (["a.mp4", "b.mp4", "--codec", "aac"], "b.mp4: aac is not a video encoder"),
        (["a.mp4", "b.webm", "--codec", "h264"], "b.webm: .webm cannot hold h264: use .mkv"),
        (["a.mp4", "b.mkv", "--codec", "ffv1", "-q", "50"], "quality 50 does not apply to ffv1"),
        (["a.mp4", "-o", "a.mp4"], "a.mp4 is both input and output"),
        (["a.mp4", "c.webm"], "c.webm cannot hold aac audio: use .mkv"),
        (["missing.mp4", "b.mp4"], "missing.mp4 does not exist"),
        (["text.mp4", "b.mp4"], "text.mp4 is not a video, or is damaged or incomplete"),
        (["sound.mp4", "b.mp4"], "sound.mp4 contains no video"),
        (["locked.mp4", "b.mp4"], "locked.mp4 is protected (DRM)"),
        (["a.mp4", "b.mp4", "--encoder-option", "preset=nope"], "the encoder libx264 failed"),
        (["a.mp4", "b.mp4", "--encoder-option", "nope=1"], "failed (it has no option nope)"),
    ],
)  # fmt: skip
def test_what_cannot_be_done(run: Run, core: Core, arguments: list[str], words: str) -> None:
    import av

    data, _ = clip("a.mp4").read_bytes(), picture("p.png")
    Path("locked.mp4").write_bytes(data.replace(b"avc1\0\0\0\0\0\0\0\1", b"encv\0\0\0\0\0\0\0\1"))
    Path("text.mp4").write_text("no video\n" * 99)
    with av.open("a.mp4") as source, av.open("sound.mp4", "w") as out:
        copy = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    before = files()
    run("upscale", *arguments, "--json")
    (record,) = run.records
    assert (run.code, record["status"]) == (1, "failed") and words in record["error"]
    assert files() == before and core.calls == []


def test_options_of_videos_are_not_for_pictures(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "b.png", "--codec", "h264")
    assert run.code == 2 and "--codec and --encoder-option are for videos" in run.err
    run("upscale", "a.png", "b.png", "--encoder-option", "crf")
    assert run.code == 2 and "--encoder-option 'crf': write KEY=VALUE" in run.err


def test_a_broken_tail_is_said_and_the_rest_kept(run: Run, core: Core) -> None:
    data = clip("a.mkv", codec="ffv1", audio=None, crf="0").read_bytes()
    Path("a.mkv").write_bytes(data[: len(data) * 2 // 3])
    run("upscale", "a.mkv", "b.mkv", "--json")
    times = contents("b.mkv")["times"]
    assert run.code == 0 and 4 < len(times) < 12 and run.records[0]["frames"] == len(times)
    assert f"its {len(times)} frames are kept" in run.records[0]["notes"][0]
    run("upscale", "a.mkv", "c.mkv", "--strict")
    assert run.code == 1 and "ends early, at 0." in run.err and not Path("c.mkv").exists()


def test_a_size_that_changes_is_refused(run: Run, core: Core) -> None:
    parts = [clip(f"{n}.ts", audio=None, size=size) for n, size in ((1, (48, 64)), (2, (96, 80)))]
    Path("a.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    run("upscale", "a.ts", "b.mp4")
    assert run.code == 1 and not Path("b.mp4").exists()
    assert (
        "a.ts changes its size from 64x48 to 80x96 at " in run.err
        and "cut it there first" in run.err
    )


def test_interrupted_it_leaves_no_output(run: Run, core: Core) -> None:
    clip("a.mp4")

    stop_in(core, 3)
    run("upscale", "a.mp4", "b.mp4")
    assert run.code == 130 and len(core.calls) == 3
    assert files() == ["a.mp4", "b.mp4.ginr-work/000000.npz", "b.mp4.ginr-work/made.json"]


def test_folders_keep_finished_videos(run: Run, core: Core) -> None:
    clip("a.mp4", audio=None), picture("p.png")
    run("upscale", "a.mp4", "p.png", "-o", "out/")
    assert run.code == 0 and files("out") == ["a.mp4", "p.png"]
    run("upscale", "a.mp4", "p.png", "-o", "out/")
    assert run.code == 0 and "2 skipped" in run.err


def test_videos_in_folders_are_left_out_and_said(run: Run, core: Core) -> None:
    picture("in/p.png"), clip("in/a.mp4", audio=None)
    run("upscale", "in", "-o", "out")
    assert run.code == 0 and files("out") == ["p.png"]
    assert "in: 1 video left out: name each to enlarge it" in run.err


def test_pyav_may_be_missing(run: Run, core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    clip("a.mp4", audio=None)
    monkeypatch.setitem(sys.modules, "av", None)
    run("upscale", "a.mp4", "b.mp4")
    assert run.code == 1 and 'videos need PyAV: pip install "ginr[video]"' in run.err


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ginr.videos.encoder.SEGMENT_FRAMES", 3)


def stop_in(core: Core, n_calls: int) -> None:
    """Press Ctrl+C in the middle of a call."""

    def interrupt(picture: Any) -> None:
        if len(core.calls) == n_calls:
            time.sleep(0.5)  # the encoder is a few frames behind
            signal.raise_signal(signal.SIGINT)

    core.calls.clear()
    core.fail = interrupt


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize(
    ("name", "times", "options"),
    [
        ("b.mp4", None, []),
        ("b.mp4", UNEVEN, []),
        ("b.mkv", UNEVEN, ["--codec", "ffv1"]),
        ("b.mkv", None, ["--codec", "av1"]),
        ("b.mov", UNEVEN, ["--codec", "h265"]),
        ("b.mkv", None, ["--codec", "vp9"]),
    ],
)
def test_a_second_run_goes_on_where_the_first_one_was_interrupted(
    run: Run, core: Core, name: str, times: list[int] | None, options: list[str]
) -> None:
    Path("a.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nHello\n\n")
    clip("a.mkv", times, subtitles="a.srt")
    run("upscale", "a.mkv", f"whole_{name}", *options)
    n_frames = len(core.calls)
    stop_in(core, 8)
    run("upscale", "a.mkv", name, *options)
    assert run.code == 130 and not Path(name).exists()
    assert (
        f"{name}.ginr-work keeps the finished frames: the same command continues from there"
        in run.err
    )
    stop_in(core, 99)
    run("upscale", "a.mkv", name, *options, "--json")
    n_kept = n_frames - len(core.calls)
    assert run.code == 0 and run.records[0]["frames"] == n_frames
    assert n_kept >= 5  # the others may have been on their way to the encoder
    assert f"a.mkv: continues after {n_kept} frames of an earlier run" in run.err
    assert not Path(f"{name}.ginr-work").exists()
    whole, resumed = contents(f"whole_{name}"), contents(name)
    for one, other in zip(whole.pop("rgb"), resumed.pop("rgb"), strict=True):
        assert np.abs(one - other).mean() < (0.01 if "ffv1" in options else 3)
    assert whole == resumed


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (["--restore", "0", "--scale", "3"], "size"),
        (["--restore", "0", "--encoder-option", "crf=30"], "encoder options"),
        (["--restore", "0.5"], "checkpoint, restore, detail, network, restored"),
        (["--restore", "0"], "input"),
        (["--restore", "0"], ""),
    ],
)
def test_segments_of_another_run_are_not_taken_over(
    run: Run, core: Core, options: list[str], changed: str
) -> None:
    clip("a.mp4")
    stop_in(core, 8)
    run("upscale", "a.mp4", "b.mp4", "--restore", "0")
    stop_in(core, 99)
    if changed == "input":
        clip("a.mp4", still=True)
    elif not changed:  # a segment that is damaged, and all that follow
        path = Path("b.mp4.ginr-work/000000.npz")
        path.write_bytes(path.read_bytes()[:-400])
    run("upscale", "a.mp4", "b.mp4", *options)
    assert run.code == 0 and (changed == "input" or len(core.calls) == 12)
    said = f"b.mp4.ginr-work was made with another {changed}: started again" in run.err
    assert said or not changed
    assert "continues after" not in run.err and files() == ["a.mp4", "b.mp4"]


CHILD = """
import os, signal, time
import ginr.videos.encoder
from ginr.engine.model import CpuGinr
from ginr_cli.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)
ginr.videos.encoder.SEGMENT_FRAMES = {n_frame}
encode, calls = CpuGinr.encode_planes, []

def counted(*arguments, **options):
    calls.append(1)
    if len(calls) == 8:
        for number in {signals}:
            time.sleep(0.5)
            os.kill(os.getpid(), number)
        time.sleep(60)
    return encode(*arguments, **options)

CpuGinr.encode_planes = counted
main(["upscale", "a.mp4", "b.mp4", "--restore", "off"])
"""


def ended_by(signals: list[signal.Signals], n_frame: int) -> subprocess.CompletedProcess[str]:
    """A run in another process that is sent signals at its eighth frame, half a second apart."""
    code = CHILD.format(signals=[int(number) for number in signals], n_frame=n_frame)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.usefixtures("short_segments")
def test_a_killed_run_leaves_its_segments(run: Run) -> None:
    clip("a.mp4")
    run("upscale", "a.mp4", "whole.mp4", "--restore", "off")
    assert ended_by([signal.SIGKILL], n_frame=3).returncode == -signal.SIGKILL
    run("upscale", "a.mp4", "b.mp4", "--restore", "off")
    assert run.code == 0 and "continues after" in run.err
    assert files() == ["a.mp4", "b.mp4", "whole.mp4"]
    assert Path("b.mp4").read_bytes() == Path("whole.mp4").read_bytes()


def test_a_run_that_a_second_signal_ends_keeps_its_frames(run: Run) -> None:
    clip("a.mp4")
    ended = ended_by([signal.SIGINT, signal.SIGINT], n_frame=250)
    assert ended.returncode == 130 and ended.stderr.endswith(
        "b.mp4.ginr-work keeps the finished frames: the same command continues from there\ninterrupted\n"
    )
    run("upscale", "a.mp4", "b.mp4", "--restore", "off")
    assert run.code == 0 and "continues after" in run.err
    assert len(contents("b.mp4")["times"]) == 12


def test_videos_say_how_they_were_made(run: Run, core: Core) -> None:
    for name in ("a.mp4", "b.mkv", "c.mov"):
        clip(name, audio=None)
        run("upscale", name, "-o", "out/")
        header = probe(Path("out") / name)
        assert header.made["checkpoint"] == "small smallsma and photo photopho and crisp crispcri"
        assert header.made["source"] == name and header.made["network"] == "photo"
        assert contents(f"out/{name}")["title"] == "a clip"
    run("upscale", "out/a.mp4", "again.mp4")
    assert probe(Path("again.mp4")).made["source"] == "a.mp4"


def test_results_among_videos_are_not_enlarged_again(run: Run, core: Core) -> None:
    clip("a.mp4", audio=None)
    run("upscale", "a.mp4", "a.mp4")  # as with pictures: an input, given twice
    assert run.code == 0 and run.out == "a_x2.mp4\n"
    run("upscale", "*.mp4")
    assert "skipped 1 output of earlier runs" in run.err and files() == ["a.mp4", "a_x2.mp4"]


def test_videos_made_otherwise_do_not_count_as_done(run: Run, core: Core) -> None:
    clip("a.mp4", audio=None), picture("p.png")
    run("upscale", "a.mp4", "p.png", "-o", "out/", "--restore", "0")
    run("upscale", "a.mp4", "p.png", "-o", "out/", "--restore", "1")
    assert run.code == 1 and "out/a.mp4 already exists, made with" in run.err


def test_the_header_of_a_video_is_read_once(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ginr.videos

    clip("a.mp4"), clip("b.mp4")
    asked = []
    once = ginr.videos.open_video
    monkeypatch.setattr("ginr.videos.open_video", lambda path: asked.append(path) or once(path))
    run("upscale", "a.mp4", "c.mp4")
    assert run.code == 0 and asked == [Path("a.mp4")]
