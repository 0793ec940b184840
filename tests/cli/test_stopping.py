"""`ginr train` and signals: the run is saved, not measured, and the same command resumes it.

Run: pytest tests/cli/test_stopping.py
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ginr.measuring.held_out
import ginr.training.loop
from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint

from .support import RUN_FILES, TINY, Run, files

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals are others there"),
    pytest.mark.usefixtures("photos"),
]

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
SAVING = [*TINY, "--set", "save_minutes=1e-9"]
"""A save after every step."""


CHILD = """
import sys, time
import ginr.training.loop
from ginr.architecture.config import PRESETS, GinrConfig
from ginr_cli.main import process
PRESETS["tiny"] = GinrConfig.from_json(sys.argv.pop(1))
{changes}
process()
"""


@contextmanager
def training(
    config: GinrConfig, arguments: list[str], changes: str = ""
) -> Iterator["subprocess.Popen[str]"]:
    """`ginr train photos` in a process of its own, with changes of the code."""
    script = CHILD.format(changes=changes)
    command = [sys.executable, "-c", script, config.to_json(), "train", "photos", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process


def wait_for(words: str, process: "subprocess.Popen[str]") -> None:
    """Read messages until one holds these words."""
    said = ""
    while words not in said:
        assert process.stderr
        said = process.stderr.readline()
        assert said, "it ended"


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_saves_the_run_and_the_same_command_resumes_it(
    run: Run, photos: Path, tiny_config: GinrConfig, number: int, code: int
) -> None:
    with training(tiny_config, [*SAVING, "--minutes", "9"]) as process:
        wait_for("step 1: ", process)
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out) == (code, "run/model.safetensors\n")
    assert "stopping: saving the run (again to quit at once)\n" in err and "Traceback" not in err
    assert "repeat with --run run to resume" in err
    steps = load_checkpoint("run/model.safetensors").facts["steps"]
    assert 1 <= steps < 100_000
    run("train", photos, *TINY, "--steps", str(steps + 1), "--json")
    assert run.code == 0 and run.records[0]["steps"] == steps + 1


@pytest.mark.parametrize("place", ["validation", "step"])
def test_a_stopped_run_is_not_measured(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    # Held-out pictures may take minutes.
    measured = []

    def measure(*arguments: object) -> list[float]:
        measured.append(arguments)
        os.kill(os.getpid(), signal.SIGINT)
        return [30.0, 20.0]

    def step(*arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return ordinary(*arguments)

    class_of_runs = ginr.training.loop._Run
    ordinary = class_of_runs.step
    with monkeypatch.context() as patched:
        if place == "step":
            patched.setattr(class_of_runs, "step", step)
        patched.setattr(ginr.measuring.held_out, "_psnr_of", measure)
        run("train", photos, *SAVING, "--steps", "9", "--json")
    assert len(measured) == (place == "validation")
    assert run.code == 130 and run.err.count("not validated\n") == 1
    (record,) = run.records
    assert record["steps"] == 1 and record["gain_over_bicubic_db"] == {}
    facts = load_checkpoint("run").facts
    assert facts["steps"] == 1 and facts["held_out_gain_over_bicubic_db"] == {}
    run("train", photos, *TINY, "--steps", "2", "--json")
    assert run.code == 0 and run.records[0]["gain_over_bicubic_db"]


def test_a_planned_stop_is_measured(run: Run, photos: Path) -> None:
    run("train", photos, *TINY, "--stop-after", "1e-9", "--json")
    assert "stopping: saving and validating the run (again to quit at once)\n" in run.err
    assert run.code == 0 and run.records[0]["psnr_y_db"]


STUCK = """
def step(*arguments):
    print("in a step", file=sys.stderr, flush=True)
    time.sleep(600)
ginr.training.loop._Run.step = step
"""


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_does_not_wait_for_the_first_step(
    run: Run, photos: Path, tiny_config: GinrConfig, number: int, code: int
) -> None:
    # It compiles kernels for up to a minute, and nothing can be lost.
    run("train", photos, *TINY, "--steps", "1")
    saved = Path("run/state.safetensors").read_bytes()
    with training(tiny_config, [*TINY, "--steps", "9"], STUCK) as process:
        wait_for("in a step", process)
        start = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out) == (code, "") and time.monotonic() - start < 10
    assert err == ("interrupted\n" if code == 130 else "terminated\n")
    assert files("run") == RUN_FILES
    assert Path("run/state.safetensors").read_bytes() == saved


STUCK_LATER = """
ordinary = ginr.training.loop._Run.step
def step(run, batch, progress):
    ordinary(run, batch, progress)
    if progress.step == 2:
        print("in a step", file=sys.stderr, flush=True)
        time.sleep(600)
ginr.training.loop._Run.step = step
"""


def test_a_second_signal_does_not_wait_for_a_step(tiny_config: GinrConfig) -> None:
    with training(tiny_config, [*SAVING, "--steps", "9"], STUCK_LATER) as process:
        wait_for("in a step", process)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        process.communicate()
    assert process.returncode == 143 and time.monotonic() - start < 5
    assert load_checkpoint("run").facts["steps"] == 2
    lines = map(json.loads, Path("run/metrics.jsonl").read_text().splitlines())
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [1, 2]
