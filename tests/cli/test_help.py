"""Help, completion and the list of checkpoints: pytest tests/cli/test_help.py"""

import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from ginr.checkpoints.checkpoint import shipped_checkpoints
from ginr_cli.app import app
from ginr_cli.commands.models import ROLES
from ginr_cli.help import EXAMPLES
from ginr_cli.options import complete_checkpoint

from .support import Run

COMMANDS = get_command(app).commands


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_holds_no_noise(run: Run, monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run(*([name] if name else []), "--help")
    assert run.code == 0
    for noise in ("<", "x>=", "<=x"):
        assert noise not in run.out


def test_help_keeps_brackets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert 'Videos need PyAV: pip install "ginr[video]".' in run("zoom", "--help").out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_examples_that_it_understands(run: Run, name: str) -> None:
    assert "Examples:" in run(name, "--help").out
    for line in EXAMPLES[name]:
        assert line in run.out
        command, *rest = shlex.split(line.partition("ginr ")[2].partition(" >")[0])
        COMMANDS[command].make_context(command, rest)  # raises for an unknown option


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tile", "-3"], "-3 is out of range: give a number at least 0"),
        (["--quality", "300"], "300 is out of range: give a number from 1 to 100"),
        (["--dpi", "0"], "0 is out of range: give a number from 1 to 65535"),
    ],
)
def test_numbers_out_of_range_are_one_line(run: Run, options: list[str], words: str) -> None:
    run("upscale", "a.png", *options)
    assert run.code == 2 and words in run.err and run.err.count("\n") == 1


def test_checkpoints_are_completed() -> None:
    for name in ("my_run/model.safetensors", "my_other/x.txt", "my.safetensors", "my.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    assert complete_checkpoint("s") == ["small"]
    assert complete_checkpoint("my") == ["my.safetensors", "my_other/", "my_run"]
    assert complete_checkpoint("[") == []


def test_models_are_listed_with_purpose_score_and_cost(run: Run) -> None:
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/model.safetensors").write_bytes(shipped_checkpoints()["small"].read_bytes())
    Path("runs/broken").mkdir()
    Path("runs/broken/model.safetensors").write_bytes(b"junk")
    lines = run("models").out.splitlines()
    assert run.code == 0 and lines[0].startswith("small        undamaged pictures; the default, +3")
    assert lines[-2].startswith("runs/broken") and "safetensors" in lines[-2]
    assert lines[-1].startswith("runs/mine    +3.38 dB over bicubic at x2, 0.27 million parameters")
    records = run("models", "--json").records
    assert [record["name"] for record in records][:2] == ["small", "base"]
    assert records[0]["psnr_y"]["Set5"]["x4"] == 31.56 and records[0]["relative_time"] == 1
    assert records[-2]["error"] and records[-1]["error"] is None


def test_every_shipped_checkpoint_has_a_purpose() -> None:
    assert set(shipped_checkpoints()) == set(ROLES)
