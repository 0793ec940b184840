"""Signals: computing ends at once, a file is finished, and no partial file stays.

Run: pytest tests/cli/test_signals.py
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ginr_cli.signals import StopRequest, deferred, unwinding

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


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_terminating_signals_clean_up(name: str, code: int) -> None:
    number, cleaned = getattr(signal, name), []
    with pytest.raises(SystemExit) as leave, unwinding():
        try:
            send(number)
        finally:
            cleaned.append(True)
    assert leave.value.code == code and cleaned
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_is_ignored_stays_ignored() -> None:
    with ignored(signal.SIGHUP), ignored(signal.SIGINT):
        request = StopRequest()
        with unwinding(), deferred(), request.listening():
            send(signal.SIGHUP)
            send(signal.SIGINT)
        assert not request.is_made


def test_a_deferred_signal_waits_for_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        send(signal.SIGINT)
        done.append(True)
    assert done
    with pytest.raises(SystemExit), unwinding(), deferred():
        send(signal.SIGTERM)
        done.append(True)
    assert len(done) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_does_not_wait() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        send(signal.SIGINT)
        done.append(1)
        send(signal.SIGINT)
        done.append(2)
    assert done == [1]


def test_a_stop_request_is_made_once() -> None:
    request = StopRequest()
    with pytest.raises(KeyboardInterrupt), request.listening():
        assert not request.is_made
        send(signal.SIGINT)
        assert request.is_made
        send(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_real_run(tiny_checkpoint: Path, number: int, code: int) -> None:
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
        process.send_signal(number)
        words = process.stderr.read()
    assert process.returncode == code and "Traceback" not in words
    for name in files("out"):  # the signal may have come too late for the only picture
        assert name == "a.png" and size("out/a.png") == (3600, 3600)
