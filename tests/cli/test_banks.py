"""`--bank`: LPs chosen by hand, trained, listed and refused.

Run: pytest tests/cli/test_banks.py
"""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.banks import save_bank
from ginr.checkpoints.checkpoint import load_checkpoint, peek, save_checkpoint

from .support import Run, files, pixels_of


@pytest.fixture
def banked(tiny_checkpoint: Path, tiny_config: GinrConfig) -> str:
    """A checkpoint with a bank `other`, and a file `my.safetensors` with another."""
    checkpoint = load_checkpoint(tiny_checkpoint)
    banks = {"other": torch.randn(4, tiny_config.width)}
    path = Path("banked.safetensors")
    save_checkpoint(path, checkpoint.config, checkpoint.weights, {}, banks=banks)
    save_bank(Path("my.safetensors"), "my", banks["other"] + 1, peek(path), {})
    return str(path)


@pytest.fixture
def photo(sample_images: Path) -> str:
    with Image.open(sample_images / "photo_osprey.png") as image:
        image.crop((0, 0, 40, 32)).save("photo.png")
    return "photo.png"


@pytest.mark.parametrize("device", [(), ("--ensemble",), ("--precision", "bfloat16")])
def test_upscale_uses_the_bank(run: Run, banked: str, photo: str, device: tuple[str, ...]) -> None:
    made = {}
    for bank in ("main", "other", "my.safetensors"):
        args = "upscale", photo, "-o", "out.png", "-c", banked, "--bank", bank, "--overwrite"
        (record,) = run(*args, "--json", *device).records
        assert run.code == 0 and record["bank"] == bank and record["checkpoint"] == "banked"
        assert f"banked, bank {bank}, on cpu" in run.err
        made[bank] = pixels_of("out.png")
    run("upscale", photo, "-o", "plain.png", "-c", banked, *device)
    assert (made["main"] == pixels_of("plain.png")).all()
    others = [made["other"], made["my.safetensors"]]
    assert all((made["main"] != other).any() for other in others)


@pytest.mark.parametrize(
    "command",
    [
        ("warp", "photo.png", "out.png", "--scale", "2"),
        ("zoom", "photo.png", "--to", "0,0,20,16", "--seconds", "0.1", "-o", "out"),
        ("reconstruct", "photo.png", "--save-field", "out.safetensors"),
    ],
)
def test_other_commands_use_the_bank(
    run: Run, banked: str, photo: str, command: tuple[str, ...]
) -> None:
    made = []
    for bank in ("main", "other"):
        run(*command, "-c", banked, "--bank", bank)
        assert run.code == 0, run.err
        written = next(Path(name) for name in files() if name.startswith("out"))
        made.append(written.read_bytes())
        for name in files():
            if name.startswith("out"):
                Path(name).unlink()
    assert made[0] != made[1]


def test_evaluate_measures_the_bank(run: Run, banked: str, photo: str) -> None:
    Path("pictures").mkdir()
    Path(photo).rename("pictures/photo.png")
    scores = []
    for bank in ("main", "other"):
        args = "evaluate", banked, "pictures", "--scales", "2", "--bank", bank, "--json"
        (record,) = run(*args).records
        assert record["bank"] == bank
        scores.append(json.dumps(record["means"]))
    assert scores[0] != scores[1]


@pytest.mark.parametrize(
    ("bank", "words"),
    [
        ("no", "banked has no bank no: use main, other, or a file of ginr train --bank"),
        ("gone.safetensors", "gone.safetensors: cannot be read"),
        ("nan.safetensors", "nan.safetensors: tensor lps holds NaN or infinity"),
    ],
)
@pytest.mark.parametrize("command", ["upscale", "evaluate", "inspect-lps", "warp", "reconstruct"])
def test_a_bad_bank_is_one_line_before_any_picture(
    run: Run, banked: str, bank: str, words: str, command: str
) -> None:
    nan = torch.full((4, 16), torch.nan)
    save_bank(Path("nan.safetensors"), "nan", nan, peek(banked), {})
    Path("broken.png").write_text("no picture")
    before = files()
    if command == "evaluate":
        run(command, banked, ".", "--bank", bank)
    elif command == "inspect-lps":
        run(command, banked, "--image", "broken.png", "--bank", bank)
    else:
        run(command, "broken.png", "out.png", "-c", banked, "--scale", "2", "--bank", bank)
    assert run.code == 2 and run.err.startswith("ginr: --bank: ") and words in run.err
    assert run.err.count("\n") == 1 and files() == before


def test_a_bank_of_another_network_is_refused(run: Run, banked: str, photo: str) -> None:
    run("upscale", photo, "out.png", "--bank", "my.safetensors")
    assert run.code == 2 and "a bank of another network, banked, than ginr-small" in run.err
    assert "name that one with --checkpoint" in run.err


def test_a_bank_restores_nothing_unless_it_is_said(run: Run, banked: str, photo: str) -> None:
    Image.open(photo).convert("RGB").save("low.jpg", quality=30)
    (record,) = run("upscale", "low.jpg", "1.png", "--bank", "main", "--json").records
    assert record["checkpoint"] == "ginr-small" and record["restoration"] is None
    args = "upscale", "low.jpg", "-o", "2.png", "-c", "photo", "--overwrite", "--json", "--bank"
    (record,) = run(*args, "main").records
    assert record["restoration"]["strength"] == 0
    for restore in ("auto", "0.5"):
        (record,) = run(*args, "main", "--restore", restore).records
        assert record["restoration"]["strength"] > 0.4 and record["bank"] == "main"
        run("upscale", "low.jpg", "3.png", "--bank", "main", "--restore", restore)
        assert run.code == 2 and "--bank is for one: name it with --checkpoint" in run.err


def test_a_saved_field_takes_no_bank(run: Run, banked: str, photo: str) -> None:
    run("reconstruct", photo, "-c", banked, "--save-field", "field.safetensors")
    run("reconstruct", "field.safetensors", "out.png", "-c", banked, "--bank", "other")
    assert run.code == 2 and "already a saved field: leave out" in run.err


def test_inspect_lps_lists_and_compares_banks(run: Run, banked: str) -> None:
    (record,) = run("inspect-lps", banked, "--json").records
    main, other = record["banks"]
    assert (main["name"], other["name"]) == ("main", "other")
    assert main["diversity"] == record["diversity"]
    assert main["cosine"]["main"] == pytest.approx(1) and main["distance"]["main"] == 0
    assert main["cosine"]["other"] == other["cosine"]["main"] < 0.9
    assert other["distance"]["main"] > 0
    lines = run("inspect-lps", banked, "--bank", "my.safetensors").out.splitlines()
    table = lines[next(k for k, line in enumerate(lines) if ": banks, with" in line) + 1 :]
    assert table[0].split() == [
        "bank",
        "norm",
        "diversity",
        "effective",
        "rank",
        "to",
        "main",
        "to",
        "other",
    ]
    assert [row.split()[0] for row in table[1:]] == ["main", "other", "my.safetensors"]
    (record,) = run("inspect-lps", banked, "--bank", "other", "--json").records
    assert record["diversity"] == other["diversity"] and len(record["banks"]) == 2


def test_one_bank_is_not_listed(run: Run, tiny_checkpoint: Path) -> None:
    assert ": banks, with" not in run("inspect-lps", tiny_checkpoint).out


def test_train_writes_a_bank_that_upscale_takes(run: Run, banked: str, photo: str) -> None:
    Path("photos").mkdir()
    for k in range(2):
        Image.effect_noise((64, 64), 60).convert("RGB").save(f"photos/{k}.png")
    args = (
        "train", "photos", "--run", "bank", "--bank", "mine", "--init", banked,
        "--steps", "3", "--batch", "2", "--crop", "8",
    )  # fmt: skip
    assert run(*args).code == 0, run.err
    assert run.out == f"{Path('bank', 'mine.safetensors')}\n"
    assert Path("bank/mine.safetensors").stat().st_size < 8000
    run("upscale", photo, "out.png", "-c", banked, "--bank", "bank/mine.safetensors")
    assert run.code == 0, run.err
    run("train", "--config", "bank/config.toml", "--steps", "4")  # as a run writes it
    assert run.code == 0, run.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bank", "mine"], "bank: name the network that it is for as init"),
        (["--bank", "main", "--init", "small"], "bank main: not a name"),
        (["--bank", "a/b", "--init", "small"], "bank a/b: not a name"),
        (["--bank", "a", "--init", "small", "--preset", "base"], "preset: a bank is for"),
        (["--bank", "a", "--init", "small", "--set", "network.width=64"], "network.width: a bank"),
        (["--bank", "a", "--init", "no"], "no: no such checkpoint"),
    ],
)
def test_a_bank_that_cannot_be_trained_is_refused(
    run: Run, arguments: list[str], words: str
) -> None:
    run("train", "photos", *arguments)
    assert run.code == 2 and words in run.err and run.err.count("\n") == 1
    assert files() == []
