"""The command, from its start to Ctrl+C: pytest tests/view/test_command.py"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

from ginr_cli.main import main


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(["view", "--no-browser", *arguments])
    words = capfd.readouterr().err
    assert words.count("\n") == 1
    return int(end.value.code or 0), words


def test_what_cannot_be_shown_is_refused_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    code, words = refused(capfd, str(tmp_path / "a.txt"))
    assert code == 1 and "a.txt is not a supported picture" in words
    code, words = refused(capfd, str(tmp_path))
    assert code == 1 and "is a folder: name a file in it" in words
    code, words = refused(capfd, "--checkpoint", "smal")
    assert code == 1 and "smal" in words
    code, words = refused(capfd, "--port", "70000")
    assert code == 2 and "from 0 to 65535" in words


def test_a_port_in_use_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        code, words = refused(capfd, "--port", port)
    assert code == 2 and f"port {port} of 127.0.0.1 cannot be served" in words
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, words = refused(capfd)
    assert code == 2 and 'pip install "ginr[view]"' in words


@pytest.mark.parametrize("host", [None, "127.0.0.1"])
def test_ctrl_c_ends_it_at_once(tmp_path: Path, host: str | None) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.png")
    command = [sys.executable, "-m", "ginr_cli", "view", str(tmp_path / "a.png"), "--no-browser"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "GINR_CONFIG": ""}
    process = subprocess.Popen(
        command + (["--host", host] if host else []), env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    form = r"http://127\.0\.0\.1:\d+/" + (r"\?token=[\w-]{32}" if host else "")
    assert re.fullmatch(form, address)
    assert httpx.get(address, follow_redirects=True).status_code == 200
    assert httpx.get(address.partition("?")[0]).status_code == (403 if host else 200)
    assert list(tmp_path.glob("ginr-view-*"))
    with httpx.Client(timeout=60) as client:
        client.get(address)
        events = address.partition("?")[0] + "events?session=" + "s" * 32
        with client.stream("GET", events) as stream:
            assert stream.status_code == 200
            process.send_signal(signal.SIGINT)
            begun = time.monotonic()
            out, words = process.communicate(timeout=10)
            assert time.monotonic() - begun < 5
    assert (process.returncode, out, words) == (130, "", "Ctrl+C to stop\n")
    assert not list(tmp_path.glob("ginr-view-*"))
