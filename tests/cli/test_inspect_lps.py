"""`ginr inspect-lps`: the numbers, as a table and as JSON.

Run: pytest tests/cli/test_inspect_lps.py
"""

from pathlib import Path

import pytest
import torch

from ginr.checkpoint import load_checkpoint, save_checkpoint

from .support import Run


def test_inspect_lps(run: Run, tiny_checkpoint: Path) -> None:
    (record,) = run("inspect-lps", tiny_checkpoint, "--json").records
    assert run.code == 0 and run.err == ""
    assert (record["name"], record["n_lp"], record["width"]) == ("tiny", 64, 16)
    assert 0.5 < record["diversity"] < record["diversity_off_diagonal"]
    assert (
        f"diversity               {record['diversity']:.4f}\n"
        in run("inspect-lps", tiny_checkpoint).out
    )
    assert run("inspect-lps", "huge").code == 1 and "huge: no such checkpoint" in run.err


def test_inspect_lps_warns_of_equal_tokens(run: Run, tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    weights = dict(checkpoint.weights) | {"lps": torch.ones(64, 16)}
    save_checkpoint(Path("same.safetensors"), checkpoint.config, weights, {})
    run("inspect-lps", "same.safetensors", "--json")
    assert run.code == 0 and run.records[0]["diversity"] == pytest.approx(0)
    assert run.err.startswith("warning: a diversity of 0.0000 is not above 0.5")
