"""Several processes train as one does: pytest tests/training/test_processes.py"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from ginr.architecture.config import GinrConfig
from ginr.errors import GinrError
from ginr.training.config import TrainConfig
from ginr.training.loop import train
from ginr.training.processes import ProcessGroup
from ginr.training.settings import to_toml

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


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_two_processes_stopped_by_ctrl_c_and_resumed_have_the_losses_of_one(
    tiny_config: GinrConfig, settings: TrainConfig, tmp_path: Path
) -> None:
    pytest.importorskip("accelerate")
    together = replace(settings, steps=60, log_steps=1, batch=4, accumulate=2, scales=(2.0,))
    together = replace(together, device="cpu")
    plan = tmp_path / "plan.toml"
    plan.write_text(to_toml(tiny_config, together))
    # Without --, torchrun would take --run for its own --run-path.
    command = ["-m", "ginr_cli", "--", "train", "--config", str(plan), "--run", str(settings.run)]
    options: dict[str, Any] = {"stdout": PIPE, "stderr": PIPE, "text": True}
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    with subprocess.Popen([*torchrun, *command], start_new_session=True, **options) as launcher:
        assert launcher.stderr
        while f"training {settings.run}" not in (said := launcher.stderr.readline()):
            assert said, "it ended"
        assert "4 crops of 8x8 pixels per step in 2 processes" in said
        log = settings.run / "metrics.jsonl"
        while not (log.exists() and log.read_bytes().count(b"\n") > 2):
            time.sleep(0.01)
        os.killpg(launcher.pid, signal.SIGINT)  # to all of them, as a terminal does
        stopped = re.search(r"stopped after step (\d+)", launcher.stderr.read())
    assert stopped and 2 < int(stopped[1]) < 60
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command.remove("--")
    processes = [
        subprocess.Popen([sys.executable, *command], env=launched(rank, 2, port), **options)
        for rank in (0, 1)
    ]
    (out, err), (other_out, other_err) = (process.communicate() for process in processes)
    assert [process.returncode for process in processes] == [0, 0], err + other_err
    assert out == f"{settings.run / 'model.safetensors'}\n" and other_out == ""
    assert f"resuming {settings.run} at step {stopped[1]} " in err
    lines = map(json.loads, log.read_text().splitlines())
    losses = [line["loss"] for line in lines if line["kind"] == "training"]
    alone = Log()
    train(tiny_config, replace(together, run=tmp_path / "alone"), alone)
    assert losses == pytest.approx(list(alone), rel=1e-3)


def test_one_process_is_alone() -> None:
    team = ProcessGroup("cpu")
    assert (team.n, team.rank, team.is_main, list(team.share(3))) == (1, 0, True, [0, 1, 2])
    assert team.mean(2.5) == team.of_main(2.5) == 2.5
    assert team.any(True) and not team.any(False)


def test_without_accelerate_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(GinrError, match=r"2 processes .* pip install 'ginr\[train\]'"):
        ProcessGroup("cpu")


def test_a_batch_that_cannot_be_shared_is_refused(
    tiny_config: GinrConfig, settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = ProcessGroup("cpu")
    team.n = 3
    with pytest.raises(GinrError, match="batch is 2: not a multiple of 3 processes"):
        train(tiny_config, settings, Log(), team)
