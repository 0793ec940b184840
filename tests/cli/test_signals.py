"""Signals: computing ends at once, a file is finished, and no partial file stays.

Run: pytest tests/cli/test_signals.py
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ginr_cli.signals import (
    StopRequest,
    cleaned_up_by,
    deferred,
    end_if_asked,
    exit_code,
    listening,
)

from .support import Core, Run, files, picture, size

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@contextmanager
def ignored(number: int) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.fixture
def heard() -> Iterator[None]:
    with listening():
        yield


CODES = [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]


@pytest.mark.parametrize(("name", "code"), CODES)
def test_a_signal_waits_for_a_safe_place(name: str, code: int) -> None:
    before = signal.getsignal(getattr(signal, name))
    with listening(), cleaned_up_by(lambda: None):
        send(getattr(signal, name))
        with pytest.raises(KeyboardInterrupt if code == 130 else SystemExit) as leave:
            end_if_asked()
        assert exit_code() == code and (code == 130 or leave.value.args == (code,))
        end_if_asked()  # once: what cleans up has safe places too
    assert exit_code() == 0 and signal.getsignal(getattr(signal, name)) is before


def test_what_is_ignored_stays_ignored() -> None:
    with ignored(signal.SIGHUP), ignored(signal.SIGINT), listening():
        send(signal.SIGHUP)
        send(signal.SIGINT)
        assert not StopRequest().is_made
        end_if_asked()


@pytest.mark.usefixtures("heard")
def test_a_deferred_signal_waits_for_the_end_of_the_outermost_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        with deferred():
            send(signal.SIGINT)
            end_if_asked()
            done.append(True)
        end_if_asked()
        done.append(True)
    assert len(done) == 2


@pytest.mark.usefixtures("heard")
def test_a_stop_request_does_not_end_the_block() -> None:
    request = StopRequest()
    with request.listening():
        assert not request.is_made
        send(signal.SIGTERM)
        end_if_asked()
        assert request.is_made
        with pytest.raises(SystemExit):
            request.end_if_made()
    end_if_asked()  # answered
    assert exit_code() == 143


AT_ONCE = """
import hashlib, os, sys, time
from pathlib import Path
from ginr.part_files import part_of
from ginr_cli.main import process
from ginr_cli.signals import cleaned_up_by, deferred, end_if_asked
import ginr_cli.app

def forever():
    # One call of C, in which no handler of Python runs.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

def fill(pipe):
    os.set_blocking(pipe, False)
    try:
        while True:
            os.write(pipe, b".")
    except BlockingIOError:
        os.set_blocking(pipe, True)

def run(arguments):
    with part_of(Path("a.png")), cleaned_up_by(lambda: Path("cleaned").touch()):
        with deferred():
            print("ready", flush=True)
            {work}

ginr_cli.app.run = run
process()
"""


def ended(work: str, *numbers: int) -> tuple[int, float, str]:
    """Exit code, seconds and messages of a process that receives signals, half a second apart."""
    command = [sys.executable, "-c", AT_ONCE.format(work=work)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        for n, number in enumerate(numbers):
            time.sleep(0.5 * bool(n))
            process.send_signal(number)
        start = time.monotonic()
        words = process.stderr.read()
    return process.returncode, time.monotonic() - start, words


@pytest.mark.parametrize("work", ["time.sleep(60)", "forever()"])
def test_a_second_signal_does_not_wait(work: str) -> None:
    code, seconds, words = ended(work, signal.SIGTERM, signal.SIGINT)
    assert code == 143 and seconds < 5 and words == "terminated\n"
    assert files() == ["cleaned"]


def test_a_second_signal_does_not_wait_for_someone_to_read_its_message() -> None:
    script = AT_ONCE.format(work="fill(2); Path('full').touch(); forever()")
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            while not Path("full").exists():
                assert process.poll() is None
                time.sleep(0.05)
            for _ in range(2):
                process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
            assert process.wait(10) == 143 and files() == ["cleaned", "full"]
        finally:
            process.kill()


@pytest.mark.parametrize(("name", "code"), CODES)
def test_a_signal_that_nobody_asks_for_ends_the_program_soon(name: str, code: int) -> None:
    result = ended("pass\n        forever()", getattr(signal, name))
    assert result[0] == code and result[1] < 10 and files() == ["cleaned"]
    assert result[2] == ("interrupted\n" if code == 130 else "terminated\n")


def test_a_signal_may_come_while_modules_are_loaded() -> None:
    half = "sys.modules['ginr.part_files'] = sys.modules['multiprocessing'] = type(sys)('half')"
    code, seconds, words = ended(f"pass\n        {half}; forever()", signal.SIGTERM)
    assert code == 143 and seconds < 10 and words == "terminated\n"


def test_two_signals_at_the_same_time_are_one() -> None:
    # As of `timeout`, and of launchers.
    work = "time.sleep(1); Path('finished').touch()"
    script = f"import os, signal; [os.kill({{}}, signal.SIGTERM) for _ in range(2)]; {work}"
    code, _, words = ended(script.format("os.getpid()"))
    assert (code, words, files()) == (143, "", ["cleaned", "finished"])


def test_a_file_is_written_to_its_end_and_reported(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ginr.pictures

    write = ginr.pictures.write_bands

    def interrupted(bands: Iterator[Any], *arguments: Any, **options: Any) -> None:
        def to_the_end() -> Iterator[Any]:
            yield from bands
            send(signal.SIGINT)

        write(to_the_end(), *arguments, **options)

    picture("in/a.png")
    picture("in/b.png")
    monkeypatch.setattr(ginr.pictures, "write_bands", interrupted)
    run("upscale", "in", "out")
    assert (run.code, run.out, files("out")) == (130, "out/a.png\n", ["a.png"])
    assert "interrupted\n1 done\n" in run.err


@pytest.mark.parametrize(("name", "code"), CODES)
def test_a_signal_ends_a_real_run(tiny_checkpoint: Path, name: str, code: int) -> None:
    picture("in/a.png", 120, 120)
    command = [sys.executable, "-m", "ginr_cli", "upscale", "in", "out", "--scale", "30"]
    with subprocess.Popen(
        [*command, "--checkpoint", str(tiny_checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        while (line := process.stderr.readline()) and "->" not in line:
            pass
        process.send_signal(getattr(signal, name))
        words = process.stderr.read()
    assert process.returncode == code and "Traceback" not in words
    for made in files("out"):  # the signal may have come too late for the only picture
        assert made == "a.png" and size("out/a.png") == (3600, 3600)


@pytest.mark.slow
def test_presses_at_random_times_leave_nothing_behind() -> None:
    script = Path(__file__).parents[1] / "press_signals.py"
    command = [sys.executable, str(script), "10", "0"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("10 presses, 0 faults")
