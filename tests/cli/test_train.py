"""`ginr train`: messages, results, stopping and resuming.

Run: pytest tests/cli/test_train.py
"""

import json
import re
import time
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from PIL import Image

from ginr.architecture.config import PRESETS, GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ginr.network.model import Ginr
from ginr.training.config import TRAINING, TrainConfig
from ginr.training.settings import read_toml, resolve
from ginr_cli.commands.train import train as options_of_train

from .support import RUN_FILES, TINY, Run, files

pytestmark = pytest.mark.usefixtures("photos")
SHIPPED_PRESETS = tuple(PRESETS)


def test_a_run_from_end_to_end(run: Run, photos: Path) -> None:
    run("train", photos, *TINY, "--steps", "2")
    assert (run.code, run.out) == (0, "run/model.safetensors\n")
    first, second, third, *_, last, waiting = run.err.splitlines()
    assert first == "reading pictures from photos"
    assert second == "3 pictures, 0.0 megapixels, 1 for validation"
    assert third == "training run for 2 steps with 1 crop of 16x16 pixels per step"
    assert waiting.endswith("% of the time spent waiting for data")
    assert last.startswith("step 2: loss ") and "/255, gain over bicubic " in last
    assert " dB at x2, " in last and last.endswith(" dB at x4")
    assert files("run") == RUN_FILES
    assert load_checkpoint("run/model.safetensors").facts["steps"] == 2
    Image.new("RGB", (9, 7)).save("small.png")
    run("upscale", "small.png", "--checkpoint", "run/model.safetensors", "--scale", "2")
    assert run.out == "small_x2.png\n"


def test_json_is_one_object(run: Run, photos: Path) -> None:
    (record,) = run("train", photos, *TINY, "--steps", "2", "--json").records
    assert record.pop("minutes") >= 0
    for name in ("gain_over_bicubic_db", "psnr_y_db"):
        assert record.pop(name).keys() == {"x2", "x3", "x3.7", "x4"}
    assert 0.5 < record.pop("lp_diversity") <= 1
    assert 3 < record.pop("lp_effective_rank") <= 4
    assert 0 <= record.pop("waiting_for_data") <= 1
    assert record == {
        "checkpoint": "run/model.safetensors",
        "finished": True,
        "steps": 2,
        "n_training": 2,
        "n_held_out": 1,
    }


def test_the_same_command_resumes_a_run_unless_it_is_complete(run: Run, photos: Path) -> None:
    run("train", photos, *TINY, "--steps", "1")
    run("train", photos, *TINY, "--steps", "3")
    assert run.code == 0 and "\nresuming run at step 1 (0.0 minutes), until 3 steps" in run.err
    before = load_checkpoint("run/model.safetensors")
    run("train", photos, *TINY, "--steps", "3")
    assert run.code == 0 and "\nrun is complete at step 3 (0.0 minutes): give more" in run.err
    assert "step 3: gain over bicubic" in run.err
    assert load_checkpoint("run/model.safetensors").facts == before.facts


def test_the_time_left_is_estimated_after_the_first_steps(run: Run, photos: Path) -> None:
    run("train", photos, *TINY, "--steps", "21")
    assert re.search(r"\n\d+ ms per step: about 1 more steps, 0:00:01 left\n", run.err)


@pytest.mark.parametrize(
    ("spread", "found"),
    [
        (0.0, r"diversity 0\.00, effective rank 1\.0 of 4\n"),
        (0.5, r"diversity 0\.[1-4]\d, effective rank \d\.\d of 4\n"),
    ],
)
def test_a_warning_of_similar_lps_is_printed_once(
    run: Run, photos: Path, tiny_config: GinrConfig, spread: float, found: str
) -> None:
    plain = replace(tiny_config, content="none")  # else a bias would hold what they have in common
    weights = Ginr(plain).state_dict()
    weights["lps"] = 1 + spread * torch.randn_like(weights["lps"])
    save_checkpoint(Path("alike.safetensors"), plain, weights, {})
    arguments = [*TINY, "--steps", "3", "--set", "network.content=none"]
    run("train", photos, *arguments, "--init", "alike.safetensors")
    assert run.code == 0
    assert (
        len(re.findall(f"warning: step 1: the LPs have become too similar: {found}", run.err)) == 1
    )


def test_a_run_in_calls_of_limited_time_ends_at_rate_zero(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()  # a clock of its own, so that the load of the machine does not matter
    monkeypatch.setattr(time, "monotonic", lambda: 0.02 * next(ticks))
    whole = ["--minutes", "0.05", "--set", "log_steps=1", "--set", "scales=2", "--json"]
    calls = []
    while not calls or not calls[-1]["finished"]:
        assert len(calls) < 30
        (record,) = run("train", photos, *TINY, *whole, "--stop-after", "0.02").records
        assert run.code == 0 and record["minutes"] < 0.06
        calls.append(record)
    assert len(calls) >= 3
    assert sorted(record["steps"] for record in calls) == [record["steps"] for record in calls]
    lines = map(json.loads, Path("run/metrics.jsonl").read_text().splitlines())
    training = [line for line in lines if line["kind"] == "training"]
    assert [line["step"] for line in training] == list(range(1, calls[-1]["steps"] + 1))
    rates = [line["rate"] for line in training]
    assert rates[-1] < 0.02 * max(rates) and max(rates) > 0.9 * TrainConfig.rate


def test_a_call_may_end_before_its_first_step(run: Run, photos: Path) -> None:
    (record,) = run("train", photos, *TINY, "--stop-after", "1e-9", "--json").records
    assert (run.code, record["steps"], record["finished"]) == (0, 0, False)
    assert load_checkpoint("run/model.safetensors").facts["steps"] == 0


def test_a_single_picture_is_also_used_for_validation(run: Run, photos: Path) -> None:
    run("train", photos / "deep", *TINY, "--steps", "1", "--json")
    assert run.code == 0
    assert "\n1 picture, 0.0 megapixels, also used for validation\n" in run.err
    assert (run.records[0]["n_training"], run.records[0]["n_held_out"]) == (1, 1)


def test_skipped_files_are_reported(run: Run, photos: Path) -> None:
    for k in range(12):
        (photos / f"broken{k:02}.jpg").write_bytes(b"no picture")
    for name in ("e\n.png", "f.png"):
        Image.new("RGB", (50, 15)).save(photos / name)
    dark, light = (Image.new("L", (40, 40), level) for level in (9, 99))
    dark.save(photos / "moves.gif", save_all=True, append_images=[light])
    run("train", photos, *TINY, "--steps", "1")
    assert run.code == 0
    assert run.err.count("skipped: photos/broken") == 10
    assert "\nskipped: 2 more unreadable files\n" in run.err
    assert "\nskipped: photos/e\\n.png and 1 more: smaller than a crop of 16 pixels\n" in run.err
    assert "\nphotos/moves.gif: only the first frame or page is used\n" in run.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["photos", "--minutes", "0"], 2, "minutes is 0.0: give a number above 0"),
        (["photos", "--minutes", "-1"], 2, "minutes is -1.0"),
        (["photos", "--minutes", "nan"], 2, "minutes is nan"),
        (["photos", "--minutes", "abc"], 2, "--minutes"),
        (
            ["photos", "--minutes", "1", "--steps", "1"],
            2,
            "--minutes and --steps cannot be combined",
        ),
        (["photos", "--stop-after", "nan"], 2, "--stop-after is nan: give a number above 0"),
        (["photos", "--steps", "0"], 2, "steps is 0: give 1 or more"),
        (["photos", "--batch", "0"], 2, "batch is 0: give 1 or more"),
        (["photos", "--rate", "inf"], 2, "rate is inf: give a number above 0"),
        (["photos", "--preset", "huge"], 2, "preset huge is not known: use one of small"),
        (["photos", "--crop", "64"], 1, "photos: no picture has 64 pixels on its shorter side"),
        (["missing"], 1, "missing does not exist: name a folder of pictures"),
        (["photos/a.png"], 1, "photos/a.png is not a folder: name a folder of pictures"),
        (["empty"], 1, "empty: no picture to train on: add some ("),
        (["broken"], 1, "broken: no picture to train on, 1 cannot be read"),
        (["photos", "--run", "notes.txt"], 1, "notes.txt cannot be written to"),
        (["photos", "--run", "notes.txt/run"], 1, "notes.txt cannot be written to"),
        (["photos", "--init", "missing.st"], 1, "missing.st: no such checkpoint"),
        (["photos", "--batch", "8", "--set", "accumulate=3"], 2, "not a multiple of accumulate, 3"),
        ([], 2, "folders is not set: name a folder"),
        (["photos", "--set", "crop"], 2, "--set crop: give key=value"),
        (["photos", "--set", "corp=3"], 2, "corp is not a setting: did you mean crop?"),
        (["photos", "--set", "crop=many"], 2, "crop = 'many': give a whole number"),
        (["photos", "--set", "network.width=0"], 2, "network: width = 0: must be from 1"),
        (["photos", "--config", "missing.toml"], 2, "missing.toml: cannot be read"),
        (["photos", "--config", "notes.txt", "--set", "x=1"], 2, "x is not a setting"),
    ],
)
def test_refusals_before_training_starts(
    run: Run, arguments: list[str], code: int, words: str
) -> None:
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/a.png").touch()
    Path("notes.txt").touch()
    before = sorted(Path().rglob("*"))
    run("train", *TINY, *arguments)
    assert (run.code, run.out) == (code, "")
    assert words in run.err and "Traceback" not in run.err
    assert sorted(Path().rglob("*")) == before


def test_a_run_of_another_configuration(run: Run, photos: Path) -> None:
    run("train", photos, *TINY, "--steps", "1")
    run("train", photos, *TINY, "--steps", "2", "--preset", "small")
    assert run.code == 1 and "ginr: run: was trained with network." in run.err


@pytest.mark.parametrize("contents", [b"", b"no state of a run", None])
def test_a_damaged_state(run: Run, photos: Path, contents: bytes | None) -> None:
    run("train", photos, *TINY, "--steps", "1")
    state = Path("run/state.safetensors")
    state.write_bytes(state.read_bytes()[:-9] if contents is None else contents)
    run("train", photos, *TINY, "--steps", "2")
    (line,) = [line for line in run.err.splitlines() if line.startswith("ginr: ")]
    assert run.code == 1 and line.startswith("ginr: run/state.safetensors: cannot be resumed")
    assert "delete it to start again" in line


def test_help_states_the_defaults() -> None:
    told = get_type_hints(options_of_train, include_extras=True)
    defaults = {field.name: field.default for field in fields(TrainConfig)}
    for name in ("batch", "crop", "rate", "seed"):
        words = told[name].__metadata__[0].help
        numbers = {float(number) for number in re.findall(r"\d[\de.-]*(?<![.])", words)}
        presets = {TRAINING.get(preset, {}).get(name, defaults[name]) for preset in SHIPPED_PRESETS}
        assert numbers == presets, name
    assert defaults["minutes"] == 60


def test_settings_come_from_a_file_from_pairs_and_from_flags(run: Run, photos: Path) -> None:
    Path("mine.toml").write_text(
        'preset = "tiny"\nfolders = ["photos"]\nbatch = 2\ncrop = 12\nseed = 7\n'
        "[network]\nn_blocks = 1\n"
    )
    run("train", "--config", "mine.toml", "--set", "crop=10", "--set", "seed=8", "--seed", "9",
        "--run", "run", "--steps", "1", "--set", "network.width=32")  # fmt: skip
    assert run.code == 0, run.err
    config, settings = resolve([read_toml(Path("run/config.toml"))])
    assert (settings.batch, settings.crop, settings.seed) == (2, 10, 9)
    assert (config.n_blocks, config.width) == (1, 32)
    assert settings.folders == (photos.absolute(),)


def test_a_run_has_a_dated_folder_of_its_own(run: Run, photos: Path) -> None:
    arguments = [*TINY[2:], "--steps", "1"]
    run("train", photos, *arguments)
    assert run.code == 0
    assert re.fullmatch(r"runs/\d{4}-\d\d-\d\d_\d{6}/model\.safetensors\n", run.out)


def test_show_config_prints_a_file_that_config_reads(run: Run, photos: Path) -> None:
    run("train", photos, "--set", "clip=2", "--rate", "0.5", "--show-config")
    assert (run.code, run.err) == (0, "")
    assert "# Learning rate at its peak.\nrate = 0.5\n" in run.out
    Path("all.toml").write_text(run.out)
    again = run("train", "--config", "all.toml", "--show-config").out
    assert again == Path("all.toml").read_text()
    assert files() == ["all.toml", *(f"photos/{name}" for name in ("a.png", "b.png", "deep/c.png"))]


def test_a_sheet_shows_what_a_degradation_does(run: Run, sample_images: Path) -> None:
    command = ("train", sample_images, "--set", "degradation=phone", "--show-degradation")
    run(*command, "sheet.png")
    assert (run.code, run.out) == (0, "sheet.png\n"), run.err
    assert {name.partition("/")[0] for name in files()} == {"photos", "sheet.png"}
    with Image.open("sheet.png") as sheet:
        assert sheet.width == 8 * 2 * 96 and sheet.height % (2 * 96) == 0
    run(*command, "sheet.png")
    assert run.code == 1 and "sheet.png" in run.err  # kept
    Path("small").mkdir()
    Image.new("RGB", (40, 40)).save("small/a.png")
    run("train", "small", "--show-degradation", "none.png")
    assert run.code == 1 and "no picture has 96 pixels on its shorter side" in run.err
