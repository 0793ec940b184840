"""Saves survive kill -9 and a full disk: pytest tests/training/test_saves.py"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ginr.architecture.config import PLAIN, GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.errors import GinrError
from ginr.training.config import TrainConfig
from ginr.training.loop import train
from ginr.training.progress import Progress
from ginr.training.settings import to_toml

from .support import Log

KILLED = """
import os, signal, sys
from pathlib import Path
import safetensors.torch
from ginr.training.settings import read_toml, resolve
from ginr.training.loop import Watcher, train

class Quiet(Watcher):
    pass

deadly, written, save = int(sys.argv[2]), [], safetensors.torch.save_file

def save_or_die(tensors, path, metadata):
    save(tensors, path, metadata)
    written.append(path)
    if len(written) == deadly:
        whole = Path(path).read_bytes()
        Path(path).write_bytes(whole[: len(whole) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

safetensors.torch.save_file = save_or_die
train(*resolve([read_toml(Path(sys.argv[1]))]), Quiet())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("deadly", [3, 4])
def test_killed_in_the_middle_of_a_save_it_goes_on_from_the_one_before(
    tiny_config: GinrConfig, settings: TrainConfig, tmp_path: Path, deadly: int
) -> None:
    # A save after every step: state and checkpoint in turn, so 3 and 4 are those of the second.
    plan = tmp_path / "plan.toml"
    plan.write_text(
        to_toml(tiny_config, settings).replace("save_minutes = 3.0", "save_minutes = 1e-9")
    )
    command = [sys.executable, "-c", KILLED, str(plan), str(deadly)]
    # Equal bits need the same number of threads, by which torch chooses its convolutions.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    assert len(list(settings.run.glob(".*.part"))) == 2  # the save, and the lock of the folder
    checkpoint = settings.run / "model.safetensors"
    assert load_checkpoint(checkpoint).facts["steps"] == 1
    rest, straight = Log(), Log()
    train(tiny_config, settings, rest)
    elsewhere = TrainConfig(**{**vars(settings), "run": tmp_path / "straight"})
    whole = load_checkpoint(train(tiny_config, elsewhere, straight))
    assert list(rest) == straight[deadly - 2 :]
    assert not list(settings.run.glob(".*.part"))
    for name, weight in load_checkpoint(checkpoint).weights.items():
        assert torch.equal(weight, whole.weights[name]), name


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_full_disk_leaves_the_save_before(tiny_config: GinrConfig, settings: TrainConfig) -> None:
    import resource

    train(tiny_config, settings, Log(2))
    before = {path.name: path.read_bytes() for path in settings.run.glob("*.safetensors")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(GinrError, match=r"state\.safetensors: cannot be written: "):
            train(tiny_config, settings, Log(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in settings.run.glob("*.safetensors")} == before
    assert not list(settings.run.glob(".*.part"))
    rest = Log()
    train(tiny_config, settings, rest)
    assert len(rest) == 4


def test_one_training_at_a_time_in_a_run_folder(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    class Second(Log):
        def stepped(self, progress: Progress) -> None:
            super().stepped(progress)
            with pytest.raises(GinrError, match="another training uses it: wait for its end"):
                train(tiny_config, settings, Log())

    first = Second(2)
    train(tiny_config, settings, first)
    assert len(first) == 2
    train(tiny_config, settings, Log())
    assert not list(settings.run.glob(".*.part"))


def test_a_run_that_lacks_later_settings_is_resumed(
    tiny_config: GinrConfig, settings: TrainConfig
) -> None:
    path = train(tiny_config, replace(settings, steps=1), Log())
    state = settings.run / "state.safetensors"
    with safe_open(state, framework="pt") as file:
        facts = json.loads(file.metadata()["ginr.state"])
    for name in (*(f"network.{name}" for name in PLAIN), "teacher", "smooth_weight"):
        del facts["settings"][name]
    save_file(load_file(state), state, {"ginr.state": json.dumps(facts)})
    train(tiny_config, replace(settings, steps=2), Log())
    assert load_checkpoint(path).facts["steps"] == 2
