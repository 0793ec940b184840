"""The console script, what is loaded when, and closed streams.

Run: pytest tests/cli/test_start.py
"""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ginr_cli.main import process

from .support import Run, picture, python, size


def test_the_console_script_resolves() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="ginr")
    assert script.load() is process


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["upscale", "--help"], 0),
        (["upscale", "missing.png", "--scale", "2"], 1),
        (["upscale", "missing.png", "--scale", "0"], 2),
        (["upscale", "missing.png", "--device", "tpu"], 2),
        (["upscale", "--size"], 2),
    ],
)
def test_help_and_refusals_do_not_load_torch(arguments: list[str], code: int) -> None:
    script = (
        "import sys\nfrom ginr_cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as leave: assert leave.code == {code}, leave\n"
        "needless = {'torch', 'numba', 'ray', 'fsspec'} & set(sys.modules)\n"
        "assert not needless, needless"
    )
    assert (result := python(script)).returncode == 0, result.stderr


def test_the_commands_load_without_array_libraries() -> None:
    script = (
        "import sys\nimport ginr_cli.app\n"
        "needless = {'torch', 'numpy', 'PIL', 'pyvips', 'ray', 'fsspec'} & set(sys.modules)\n"
        "assert not needless, needless"
    )
    assert (result := python(script)).returncode == 0, result.stderr


def test_ctrl_c_is_quiet_while_the_commands_load() -> None:
    script = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'ginr_cli.app': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from ginr_cli.main import main\n"
        "main(['--help'])"
    )
    result = python(script)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


LOST = """
import signal, sys, time
import ginr_cli.app
from ginr_cli.main import process

class Dropping:
    def __init__(self, drop):
        self.drop = drop

    def __del__(self):
        self.drop()

def run(arguments):
    {drop}
    time.sleep(10)
    return 0

ginr_cli.app.run = run
process()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_python_would_drop_ends_the_program(name: str) -> None:
    script = LOST.format(drop=f"Dropping(lambda: signal.raise_signal(signal.{name}))")
    result = python(script)
    code = 130 if name == "SIGINT" else 143
    assert (result.returncode, result.stdout, result.stderr) == (code, "", "")


def test_only_needed_modules_are_loaded_and_exempt_from_garbage_collection(
    tiny_checkpoint: Path,
) -> None:
    picture("a.png")
    script = (
        "import gc, sys\nfrom ginr_cli.main import main\n"
        "try: main(['upscale', 'a.png', '-c', 'tiny.safetensors'])\n"
        "except SystemExit as leave: assert not leave.code, leave\n"
        "needless = {'torch', 'ginr.training.loop'}\n"
        "assert not needless & set(sys.modules), needless & set(sys.modules)\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 20_000"
    )
    assert (result := python(script)).returncode == 0, result.stderr


@pytest.mark.parametrize(("command", "code"), [("--version", 0), ("upscale", 2)])
def test_exit_handlers_and_threads_still_run(command: str, code: int) -> None:
    # Only Python itself and the modules are not destroyed.
    script = (
        "import atexit, sys, threading\nfrom ginr_cli.main import process\n"
        "atexit.register(print, 'registered', end='')\n"
        "def end():\n    threading.main_thread().join()\n    print('joined')\n"
        "threading.Thread(target=end).start()\n"
        f"sys.argv = ['ginr', '{command}']\nprocess()"
    )
    result = python(script)
    assert result.returncode == code
    assert result.stdout.endswith("joined\nregistered")


def test_main_leaves_the_exit_code_to_its_caller() -> None:
    script = (
        "import sys\nfrom ginr_cli.main import main\nsys.argv = ['ginr', '--version']\n"
        "try: main()\nexcept SystemExit: sys.exit(7)"
    )
    assert python(script).returncode == 7


def test_version_is_the_installed_one(run: Run) -> None:
    assert run("--version").code == 0
    assert run.out == f"ginr {importlib.metadata.version('ginr')}\n"


def test_a_closed_pipe_is_not_a_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "ginr_cli", "--version"]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trouble(tiny_checkpoint: Path, closed: str) -> None:
    picture("a.png")
    line = f"'{sys.executable}' -m ginr_cli upscale a.png -c tiny.safetensors {closed}"
    result = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert result.returncode == 0 and "Traceback" not in result.stderr
    assert size("a_x2.png") == (12, 8)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stderr_is_ignored_and_a_full_stdout_is_not(tiny_checkpoint: Path) -> None:
    picture("a.png")
    command = [sys.executable, "-m", "ginr_cli", "upscale", "a.png", "-c", "tiny.safetensors"]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([*command, "b.png"], stderr=full, stdout=subprocess.PIPE, text=True)
        assert (result.returncode, result.stdout) == (0, "b.png\n")
        result = subprocess.run([*command, "c.png"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert result.stderr.endswith("ginr: standard output: No space left on device\n")
    assert size("b.png") == size("c.png") == (12, 8)


def test_a_checkpoint_is_refused_before_torch_is_loaded(tiny_checkpoint: Path) -> None:
    tiny_checkpoint.write_bytes(tiny_checkpoint.read_bytes()[:-1])
    picture("a.png")
    script = (
        "import sys\nfrom ginr_cli.main import main\n"
        "try: main(['upscale', 'a.png', '-o', 'new/', '-c', 'tiny.safetensors'])\n"
        "except SystemExit as leave: assert leave.code == 1, leave\n"
        "assert 'torch' not in sys.modules"
    )
    result = python(script)
    assert result.returncode == 0 and "cut short" in result.stderr, result.stderr
    assert not Path("new").exists()
