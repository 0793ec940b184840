"""Defaults from the environment and from a file: pytest tests/cli/test_defaults.py"""

from pathlib import Path

import pytest
from typer.main import get_command

from ginr_cli import console
from ginr_cli.app import app
from ginr_cli.defaults import KINDS

from .support import Core, Run, files, picture


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GINR_CONFIG", "my.toml")
    return Path("my.toml")


def test_every_setting_is_an_option_of_upscale() -> None:
    params = {param.name: param for param in get_command(app).commands["upscale"].params}
    for name in KINDS:
        assert f"--{name.replace('_', '-')}" in params[name].opts


def test_a_file_sets_defaults(run: Run, core: Core, config: Path) -> None:
    picture("a.png")
    config.write_text('tile = 64\nprecision = "float32"\nsuffix = "-big"\nquiet = true\n')
    run("upscale", "a.png")
    assert (run.code, run.out, run.err) == (0, "a-big.png\n", "")
    assert (core.calls[0]["tile"], core.calls[0]["precision"]) == (64, "float32")
    run("upscale", "a.png", "--tile", "32", "--suffix", "_hd")
    assert core.calls[1]["tile"] == 32 and run.out == "a_hd.png\n"


def test_the_environment_goes_before_the_file(
    run: Run, core: Core, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("a.png")
    config.write_text("tile = 64\nallow-large = true\nrestore = 0.5\n")
    monkeypatch.setenv("GINR_TILE", "16")
    monkeypatch.setenv("GINR_QUIET", "yes")
    monkeypatch.setenv("GINR_DEVICE", "")  # as good as unset
    (record,) = run("upscale", "a.png", "--json").records
    assert core.calls[0]["tile"] == 16 and run.err == ""
    assert record["restoration"]["strength"] == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tyle = 3", "my.toml: tyle is not a setting: use checkpoint, device"),
        ("scale = 3", "my.toml: scale is not a setting"),
        ("tile = true", "my.toml: tile = True: must be a whole number"),
        ("quiet = 1", "my.toml: quiet = 1: must be true or false"),
        ("tile =", "my.toml is not valid TOML (Invalid value (at end of document)): correct it"),
        ("\udcff", "my.toml is not valid TOML ('utf-8' codec can't decode byte 0xff"),
        (None, "my.toml: the settings cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_file_is_one_line(
    run: Run, core: Core, config: Path, text: str | None, words: str
) -> None:
    if text is not None:
        config.write_text(text, errors="surrogateescape")
    picture("a.png")
    run("upscale", "a.png")
    assert (run.code, run.out) == (2, "") and run.err.startswith(f"ginr: {words}")
    assert run.err.count("\n") == 1 and "a_x2.png" not in files()
    assert run("--help").code == run("models").code == 0  # these need no defaults


def test_a_wrong_variable_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINR_ENSEMBLE", "maybe")
    run("upscale", "a.png")
    assert (run.code, run.err) == (2, "ginr: GINR_ENSEMBLE=maybe: must be 1 or 0\n")
    monkeypatch.setenv("GINR_ENSEMBLE", "0")
    monkeypatch.setenv("GINR_TILE", "many")
    run("upscale", "a.png")
    assert (run.code, run.err) == (2, "ginr: GINR_TILE=many: must be a whole number\n")


def test_a_variable_that_is_nearly_a_setting_is_named(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("a.png")
    others = "CHECK_KERNELS", "FUZZ", "PERCEPTUAL", "HOME", "TILE", "DEBUG", "CONFIG"
    for name in others:
        monkeypatch.setenv(f"GINR_{name}", "")
    monkeypatch.setenv("GINR_DEVCE", "cpu")
    monkeypatch.setenv("GINR_SUFIX", "-big")
    run("upscale", "a.png", "--scale", "2")
    assert run.code == 0 and run.err.startswith(
        "GINR_DEVCE is not a setting and is ignored: did you mean GINR_DEVICE?\n"
        "GINR_SUFIX is not a setting and is ignored: did you mean GINR_SUFFIX?\n"
    )
    assert run.err.count("GINR_") == 4
    assert run("upscale", "a.png", "--scale", "3", "--quiet").err == ""
    assert run("models").err == ""


@pytest.mark.parametrize("command", [["warp", "--rotate", "9"], ["zoom", "--to", "0%,0%,50%,50%"]])
def test_every_command_with_defaults_names_it(
    run: Run, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GINR_DEVCE", "cpu")
    console.configure()  # another test may have been quiet
    picture("a.png")
    assert run(*command, "a.png", "-o", "b.gif", "--checkpoint", "none.safetensors").code == 1
    assert run.err.startswith(
        "GINR_DEVCE is not a setting and is ignored: did you mean GINR_DEVICE?\n"
    )


def test_doctor_shows_them(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('device = "cpu"')
    monkeypatch.setenv("GINR_TILE", "16")
    (record,) = run("doctor", "--json").records
    assert record["settings"] == {
        "file": "my.toml",
        "device": "cpu (my.toml)",
        "tile": "16 (GINR_TILE)",
    }
    config.write_text("junk")
    (record,) = run("doctor", "--json").records
    assert run.code == 0 and "not valid TOML" in record["settings"]["broken"]
