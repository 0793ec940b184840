"""Several processes train as one does: pytest tests/training/test_team.py"""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ginr.config import GinrConfig
from ginr.errors import GinrError
from ginr.settings import to_toml
from ginr.team import Team
from ginr.train import train
from ginr.train_config import TrainConfig

from .support import Log


def launched(rank: int, n: int, port: int) -> dict[str, str]:
    """What a launcher sets for one of n processes on this machine."""
    return {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(n),
        "LOCAL_WORLD_SIZE": str(n),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }


def test_two_processes_have_the_losses_of_one(
    tiny_config: GinrConfig, settings: TrainConfig, tmp_path: Path
) -> None:
    pytest.importorskip("accelerate")
    together = replace(settings, log_steps=1, batch=4, accumulate=2, device="cpu")
    plan = tmp_path / "plan.toml"
    plan.write_text(to_toml(tiny_config, together))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ginr_cli", "train", "--config", str(plan)]
    processes = [
        subprocess.Popen(
            command,
            env=launched(rank, 2, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    (out, err), (other_out, other_err) = (process.communicate() for process in processes)
    assert [process.returncode for process in processes] == [0, 0], err + other_err
    assert out == f"{settings.run / 'model.safetensors'}\n" and other_out == ""
    assert "4 crops of 8x8 pixels per step in 2 processes" in err
    lines = map(json.loads, (settings.run / "metrics.jsonl").read_text().splitlines())
    losses = [line["loss"] for line in lines if line["kind"] == "training"]
    alone = Log()
    train(tiny_config, replace(together, run=tmp_path / "alone"), alone)
    assert losses == pytest.approx(list(alone), rel=1e-4)


def test_one_process_is_alone() -> None:
    team = Team("cpu")
    assert (team.n, team.rank, team.is_main, list(team.share(3))) == (1, 0, True, [0, 1, 2])
    assert team.mean(2.5) == team.of_main(2.5) == 2.5
    assert team.any(True) and not team.any(False)


def test_without_accelerate_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(GinrError, match=r"2 processes .* pip install 'ginr\[train\]'"):
        Team("cpu")


def test_a_batch_that_cannot_be_shared_is_refused(
    tiny_config: GinrConfig, settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = Team("cpu")
    team.n = 3
    with pytest.raises(GinrError, match="batch is 2: not a multiple of 3 processes"):
        train(tiny_config, settings, Log(), team)
