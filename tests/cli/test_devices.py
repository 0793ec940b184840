"""Several devices for one folder: the results of one device, and failing processes.

Run: pytest tests/cli/test_devices.py
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from ginr_cli.batch import devices as workers

from .support import Core, Run, files, picture

TWO = ("--device", "cpu,cpu")


@pytest.fixture
def album() -> Path:
    """Five pictures, the first the slowest, the third with broken pixels.

    The first takes longer than two processes may be apart when they start.
    """
    for name, side in zip("abcde", (800, 8, 12, 20, 9), strict=True):
        picture(f"in/{name}.png", side, side)
    broken = bytearray(Path("in/c.png").read_bytes())
    broken[broken.index(b"IDAT") + 6] ^= 255
    Path("in/c.png").write_bytes(broken)
    return Path("in")


def messages(text: str) -> set[str]:
    """The lines without those of progress, which slow machines print."""
    return {line for line in text.splitlines() if not line.endswith(" left")}


def in_two(run: Run, checkpoint: Path, *more: str | Path) -> Run:
    return run("upscale", "in", "out", "--checkpoint", checkpoint, *TWO, *more)


def test_two_devices_give_the_results_of_one(run: Run, tiny_checkpoint: Path, album: Path) -> None:
    run("upscale", "in/b.png", "b.png", "-c", tiny_checkpoint)  # compiles kernels if needed
    one = run("upscale", "in", "one", "-c", tiny_checkpoint, "--device", "cpu", "--json").records
    code, words = run.code, run.err
    two = in_two(run, tiny_checkpoint, "--json").records
    assert run.code == code == 1 and run.err.splitlines()[-1] == "4 done, 1 failed"
    assert run.err.count("tiny on cpu (asked for)") == 2
    assert messages(run.err.replace("out/", "one/")) == messages(words)
    assert [json.dumps(row).replace("out/", "one/") for row in map(untimed, two)] == [
        json.dumps(row) for row in map(untimed, one)
    ]
    assert files("one") == files("out") == ["a.png", "b.png", "d.png", "e.png"]
    assert all(Path("one", n).read_bytes() == Path("out", n).read_bytes() for n in files("one"))


def test_jobs_are_as_many_processes_on_a_device(run: Run, tiny_checkpoint: Path) -> None:
    for name in "ab":
        picture(f"in/{name}.png", 8, 8)
    run("upscale", "in", "out", "-c", tiny_checkpoint, "--device", "cpu", "--jobs", "2")
    assert run.code == 0 and run.err.count("tiny on cpu (asked for)") == 2
    assert files("out") == ["a.png", "b.png"]
    run("upscale", "in", "out", "--jobs", "0")
    assert run.code == 2 and "--jobs" in run.err


@pytest.mark.cuda
def test_two_processes_on_one_gpu(run: Run, tiny_checkpoint: Path, album: Path) -> None:
    arguments = ("upscale", "in", "-c", tiny_checkpoint, "--json", "--device")
    one = run(*arguments, "cuda:0", "-o", "one").records
    two = run(*arguments, "cuda:0,cuda:0", "-o", "out").records
    assert run.code == 1 and {row["device"] for row in two if row["output"]} == {"cuda:0"}
    assert [row["input"] for row in two] == [row["input"] for row in one]
    assert files("out") == files("one") == ["a.png", "b.png", "d.png", "e.png"]


def untimed(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "seconds"}


def kill_all(monkeypatch: pytest.MonkeyPatch, which: Callable[[workers._Worker], bool]) -> None:
    """Kill processes of a kind as soon as they have a job."""
    assign = workers._Share._assign

    def and_kill(share: workers._Share, worker: workers._Worker) -> None:
        assign(share, worker)
        if which(worker):
            worker.process.kill()

    monkeypatch.setattr(workers._Share, "_assign", and_kill)


def test_a_process_that_dies_loses_only_its_picture(
    run: Run, tiny_checkpoint: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_all(monkeypatch, lambda worker: worker.job == 0)
    in_two(run, tiny_checkpoint)
    assert run.code == 1 and run.out == "out/b.png\nout/d.png\nout/e.png\n"
    words = "ginr: in/a.png: the process on cpu was killed by signal 9 during this picture"
    assert words in run.err and run.err.endswith("3 done, 2 failed\n")


def test_all_processes_die(
    run: Run, tiny_checkpoint: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_all(monkeypatch, lambda worker: True)
    in_two(run, tiny_checkpoint, "--json")
    assert (run.code, files("out")) == (1, []) and not Path("out").exists()
    assert [record["input"] for record in run.records] == [f"in/{n}.png" for n in "abcde"]
    assert "ginr: in/e.png: not enlarged, all processes have ended" in run.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_processes(tiny_checkpoint: Path, number: int, code: int) -> None:
    for name in "abc":
        picture(f"in/{name}.png", 400, 400)
    command = [sys.executable, "-m", "ginr_cli", "upscale", "in", "out", "--scale", "30", *TWO]
    with subprocess.Popen(
        [*command, "--checkpoint", str(tiny_checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr and process.stdout
        for _ in range(2):  # both are at work
            while (line := process.stderr.readline()) and "->" not in line:
                pass
        children = psutil.Process(process.pid).children(recursive=True)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        words, made = process.stderr.read(), process.stdout.read()
    assert process.returncode == code and "Traceback" not in words
    assert len(children) >= 2 and not psutil.wait_procs(children, timeout=10)[1]
    finished = sorted(Path("out").iterdir()) if Path("out").exists() else []
    assert made.splitlines() == [str(path) for path in finished]  # nothing else, hidden or not


@pytest.mark.parametrize("devices", ["cpu,", ",cpu", "cpu,,cpu", "cpu, cpu", "cpu,tpu", "cpu;cpu"])
def test_bad_lists_are_refused(run: Run, tiny_checkpoint: Path, devices: str) -> None:
    picture("in/a.png")
    run("upscale", "in", "out", "-c", tiny_checkpoint, "--device", devices)
    assert run.code == 2 and len(run.err.splitlines()) == 1
    assert "is not known: use auto, cpu, cuda, cuda:1 or mps" in run.err


def test_one_picture_uses_one_device(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", *TWO, "--json")
    assert (run.code, run.records[0]["device"]) == (0, "cpu"), run.err
    assert "one picture uses one device: cpu\n" in run.err


def test_a_network_that_cannot_be_loaded(run: Run) -> None:
    picture("in/a.png")
    picture("in/b.png")
    run("upscale", "in", "out", "-c", "reconstruct", "--ensemble", *TWO)
    assert run.code == 2 and "ginr: --ensemble, " in run.err and "Traceback" not in run.err
    assert not Path("out").exists()
