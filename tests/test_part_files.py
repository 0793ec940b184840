"""Outputs being written: one writer each, and none left over: pytest tests/test_part_files.py"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ginr.part_files import part_of, remove_left_over, remove_own

KILLED = """
import os, signal, sys
from pathlib import Path
from ginr.part_files import part_of

with part_of(Path(sys.argv[1]), is_folder=sys.argv[2] == "folder") as part:
    (part.path / "frame.png").touch() if part.path.is_dir() else part.file.write(b"half")
    print(part.path.name, flush=True)
    os.kill(os.getpid(), signal.SIGSTOP if sys.argv[3] == "stopped" else signal.SIGKILL)
"""


def writer(target: Path, kind: str, end: str) -> "subprocess.Popen[str]":
    """A process that has begun to write and was killed or stopped then."""
    command = [sys.executable, "-c", KILLED, str(target), kind, end]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline().startswith(".ginr-")
    if end == "killed":
        process.communicate()
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_part_gets_its_name_or_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    with part_of(target) as part:
        part.file.write(b"whole")
        assert names(tmp_path) == [part.path.name]
        part.rename()
    with pytest.raises(KeyboardInterrupt), part_of(target) as part:
        part.file.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.png"] and target.read_bytes() == b"whole"
    with part_of(tmp_path / "film", is_folder=True) as part:
        Path(part.path, "frame.png").touch()
        part.rename()
    assert names(tmp_path / "film") == ["frame.png"]


def test_an_output_has_one_writer(tmp_path: Path) -> None:
    with part_of(tmp_path / "a.png") as first:
        with pytest.raises(OSError, match=r"another process is writing it, as \.ginr-.*\.part"):
            part_of(tmp_path / "a.png").__enter__()
        with part_of(tmp_path / "b.png"):
            pass
        assert names(tmp_path) == [first.path.name]
        first.rename()
    assert names(tmp_path) == ["a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_leaves_is_removed(tmp_path: Path, kind: str) -> None:
    writer(tmp_path / "a", kind, "killed")
    (other,) = names(tmp_path)
    (tmp_path / ".ginr-notes.part").touch()
    assert remove_left_over(tmp_path) == 1 and names(tmp_path) == [".ginr-notes.part"]
    assert remove_left_over(tmp_path) == remove_left_over(tmp_path / "nothing") == 0
    writer(tmp_path / "a", kind, "killed")
    with part_of(tmp_path / "a", is_folder=kind == "folder") as part:
        assert part.path.name == other  # in its place
        assert part.path.is_file() or not names(part.path)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP there")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_stopped_process_keeps_its_part(tmp_path: Path, kind: str) -> None:
    process = writer(tmp_path / "a", kind, "stopped")
    try:
        before = names(tmp_path)
        assert len(before) == 1 and remove_left_over(tmp_path) == 0 and names(tmp_path) == before
        with pytest.raises(OSError, match="another process is writing it"):
            part_of(tmp_path / "a").__enter__()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_a_part_is_never_a_link(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.touch()
    with part_of(tmp_path / "a.png") as part:
        name = part.path.name
    os.symlink(mine, tmp_path / name)
    assert remove_left_over(tmp_path) == 0
    with pytest.raises(OSError, match="another process is writing it"):
        part_of(tmp_path / "a.png").__enter__()
    assert mine.exists()


def test_what_this_process_writes_is_removed_at_its_end(tmp_path: Path) -> None:
    with part_of(tmp_path / "a.png"), part_of(tmp_path / "film", is_folder=True) as part:
        Path(part.path, "frame.png").touch()
        remove_own()
        assert names(tmp_path) == []
