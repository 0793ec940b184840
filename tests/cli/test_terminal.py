"""What a terminal would obey is shown escaped, and is raw elsewhere: pytest tests/cli/test_terminal.py"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ginr.errors import GinrError

from .support import Core, Run, picture

pty = pytest.importorskip("pty", reason="no terminals there")

NAMES = {
    "escape": "\x1b]0;owned\x07\x1b[31mred",
    "direction": "photo\u202egnp.exe",
    "mark": "a\u200fb\u2066c",
    "line": "a\nginr: all is well",
    "c1": "a\x9b31mb",
    "not utf-8": os.fsdecode(b"a\xff"),
    "emoji": "a:smile:",
    "markup": "a[bold]",
}


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Exit code, and all that a terminal gets."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ginr_cli", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 1 << 16):
                shown += part
        except OSError:  # Linux says so at the end
            pass
    os.close(ours)
    return process.returncode, shown.decode("utf-8", "surrogateescape")


def plain(name: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def check(shown: str) -> None:
    """Nothing of the names that a terminal would obey is shown."""
    for name in NAMES.values():
        assert not [c for c in name if not c.isprintable() and c in shown and c not in "\n\x07\x1b"]
    assert "]0;owned\x07" not in shown and "\x1b[31m" not in shown
    assert "\nginr: all" not in shown


def test_names_are_escaped_on_a_terminal(tiny_checkpoint: Path) -> None:
    for name in NAMES.values():
        picture("a.png").rename(f"{name}.png")
    inputs = [f"{name}.png" for name in NAMES.values()]
    code, shown = on_a_terminal("upscale", *inputs, "-c", str(tiny_checkpoint))
    check(shown)
    assert code == 0
    for name in NAMES.values():  # as it begins, and as the result
        assert shown.count(f"{plain(name)}_x2.png") >= 2


@pytest.mark.parametrize("kind", ["picture", "checkpoint", "option"])
def test_errors_are_escaped_on_a_terminal(tiny_checkpoint: Path, kind: str) -> None:
    names = list(NAMES.values())
    arguments = {
        "picture": [f"{name}.png" for name in names],
        "checkpoint": ["a.png", "-c", f"{'/'.join(names)}.safetensors"],
        "option": ["a.png", f"--{''.join(names)}"],
    }
    code, shown = on_a_terminal("upscale", *arguments[kind])
    check(shown)
    assert code == (2 if kind == "option" else 1)
    assert kind == "option" or all(plain(name) in shown for name in names)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_are_raw_for_programs(run: Run, core: Core, name: str) -> None:
    picture("a.png").rename(f"{name}.png")
    (record,) = run("upscale", f"{name}.png", "--json").records
    assert (record["input"], record["output"]) == (f"{name}.png", f"{name}_x2.png")
    Path(f"{name}_x2.png").unlink()
    assert run("upscale", f"{name}.png").out.encode("utf-8", "surrogateescape") == os.fsencode(
        f"{name}_x2.png\n"
    )


def test_an_error_is_one_printable_line() -> None:
    assert str(GinrError("a\n\x1b[31m\u202eb: do this")) == "a\\n\\x1b[31m\\u202eb: do this"
