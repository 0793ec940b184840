"""`ginr inspect-lps`: tables, JSON, a run's history, plots and refusals.

Run: pytest tests/cli/test_inspect_lps.py
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ginr_cli.reports.lp_table import sparkline

from .support import Run, files, size


@pytest.fixture
def tiny_config(tiny_config: GinrConfig) -> GinrConfig:
    return dataclasses.replace(tiny_config, bank="window")


@pytest.fixture
def same(tiny_checkpoint: Path) -> str:
    """A checkpoint whose LPs are all equal."""
    checkpoint = load_checkpoint(tiny_checkpoint)
    weights = dict(checkpoint.weights) | {"lps": torch.ones(64, 16)}
    save_checkpoint(Path("same.safetensors"), checkpoint.config, weights, {})
    return "same.safetensors"


@pytest.fixture
def a_run(tiny_checkpoint: Path) -> Path:
    """The folder of a run: a checkpoint and a log, its last line cut short."""
    folder = Path("my_run")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    lines = [
        {"kind": "training", "step": 50 * k, "minutes": k / 2, "lp_diversity": (180 + k) / 200}
        for k in range(1, 11)
    ]
    lines[-1]["lp_effective_rank"] = 12.5
    lines.insert(3, {"kind": "validation", "step": 160, "psnr_y_db": {"x2": 30.0}})
    text = "\n".join(map(json.dumps, lines))
    (folder / "metrics.jsonl").write_text(text + '\n{"kind": "training", "st')
    return folder


def test_a_table_with_a_column_per_checkpoint(run: Run, tiny_checkpoint: Path, same: str) -> None:
    (record,) = run("inspect-lps", tiny_checkpoint, "--json").records
    assert (run.code, run.err) == (0, "")
    assert (record["name"], record["n_lp"], record["width"]) == ("tiny", 64, 16)
    assert 0.5 < record["diversity"] < record["diversity_off_diagonal"]
    assert len(record["norms"]) == len(record["places"]) == 64 and "similarity" not in record
    one = run("inspect-lps", tiny_checkpoint).out
    assert f"\ndiversity               {record['diversity']:.4f}\n" in one
    assert f"\neffective rank          {record['effective_rank']:.1f} of 16\n" in one
    assert one.count("\n 4 4 4 4    ") == 4  # LPs at each token
    both = run("inspect-lps", "tiny.safetensors", same).out.splitlines()
    assert both[0].split() == ["checkpoint", "tiny.safetensors", "same.safetensors"]
    assert any(
        line.split() == ["diversity", f"{record['diversity']:.4f}", "0.0000"] for line in both
    )
    assert not any(line.endswith(" ") for line in both)
    assert "warning: same.safetensors: LPs are too similar: diversity 0.0000" in run.err
    assert "tiny.safetensors" not in run.err


def test_the_similarity_matrix_on_demand(run: Run, same: str) -> None:
    (record,) = run("inspect-lps", same, "--json", "--similarity").records
    assert np.array(record["similarity"]) == pytest.approx(np.ones((64, 64)))
    run("inspect-lps", same, "--similarity")
    assert run.code == 2 and "--similarity needs --json" in run.err


def test_min_diversity(run: Run, tiny_checkpoint: Path, same: str) -> None:
    assert run("inspect-lps", tiny_checkpoint, "--min-diversity", "0.5").code == 0
    assert run("inspect-lps", tiny_checkpoint, same, "--min-diversity", "0.5").code == 3
    assert run.err == "same.safetensors: diversity 0.0000 is below 0.5\n"
    assert run("inspect-lps", same, "--min-diversity", "2").code == 2


def test_a_run_over_time(run: Run, a_run: Path) -> None:
    (record,) = run("inspect-lps", a_run, "--json").records
    assert (run.code, len(record["history"]), record["source"]) == (0, 10, "my_run")
    assert record["history"][-1] == {
        "step": 500, "minutes": 5.0, "diversity": 0.95, "effective_rank": 12.5,
    }  # fmt: skip
    assert record["history"][0]["effective_rank"] is None
    lines = run("inspect-lps", a_run, "--plot", "run.png").out.splitlines()
    assert ["500", "5.0", "0.9500", "12.5"] in [line.split() for line in lines]
    assert lines[-2].endswith(f"{sparkline(range(10))}  0.905 to 0.95")
    assert size("run.png")[1] > size_of_one(run)


def size_of_one(run: Run) -> int:
    run("inspect-lps", "tiny.safetensors", "--plot", "one.png")
    return size("one.png")[1]


def test_a_sparkline_rises_with_its_values() -> None:
    assert sparkline([0, 1, 2, 3]) in ("▁▃▆█", "_-=#", "▁▃▅█", "_-:#")
    assert len(sparkline(range(1000))) == 48 and len(set(sparkline([2.0, 2.0]))) == 1


def test_a_picture_is_measured_and_drawn(
    run: Run, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ginr.lps.response.N_REMOVED", 4)
    monkeypatch.setattr("ginr.lps.response.N_LOOKED", 1)
    Image.effect_noise((40, 30), 60).save("photo.png")
    arguments = ["inspect-lps", tiny_checkpoint, "--image", "photo.png"]
    (record,) = run(*arguments, "--json", "--plot", "report.png").records
    assert run.code == 0 and run.err == "plot written to report.png\n"
    picture = record["picture"]
    assert (picture["picture"], picture["box"]) == ("photo.png", [0, 0, 30, 40])
    assert picture["n_encoded"] == 1200 and picture["effect"]["n_lp"] == 4
    assert "around" not in picture["effect"] and "part" not in picture
    with Image.open("report.png") as page:
        assert page.mode == "RGB" and page.width > 1000
        assert len(page.getcolors(1 << 24)) > 100
    before = Path("report.png").read_bytes()
    run(*arguments, "--plot", "report.png")
    assert run.code == 1 and run.out == "" and "report.png already exists" in run.err
    assert Path("report.png").read_bytes() == before
    assert "effect of one LP        90% within " in run(*arguments).out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["huge"], 1, "huge: no such checkpoint"),
        (["notes.txt"], 1, "notes.txt: not a safetensors file"),
        (["empty"], 1, "empty/metrics.jsonl: cannot be read: No such file or directory: name"),
        (["started"], 1, "started/metrics.jsonl: no LP diversity in it yet"),
        (["unsaved"], 1, "unsaved: no checkpoint yet: wait for the run's first save"),
        (["tiny.safetensors", "--image", "notes.txt"], 1, "notes.txt"),
        (["tiny.safetensors", "--image", "missing.png"], 1, "missing.png"),
        (["tiny.safetensors", "--plot", "page.txt"], 1, "page.txt: '.txt' is not an output format"),
        (["tiny.safetensors", "--plot", "nowhere/page.png"], 1, "folder nowhere does not exist"),
    ],
)
def test_refusals(
    run: Run, tiny_checkpoint: Path, arguments: list[str], code: int, words: str
) -> None:
    Path("notes.txt").write_text("no picture, no checkpoint")
    line = '{"step": 1, "minutes": 0, "lp_diversity": 0.9}\n'
    for name, log in (("empty", None), ("started", ""), ("unsaved", line)):
        Path(name).mkdir()
        if log is not None:
            Path(name, "metrics.jsonl").write_text(log)
    before = files()
    run("inspect-lps", *arguments)
    assert (run.code, run.out, files()) == (code, "", before)
    assert words in run.err and run.err.count("\n") == 1 and "Traceback" not in run.err
