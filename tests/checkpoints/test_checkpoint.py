"""Checkpoints: what goes in comes out, and whatever is wrong with a file is said in one line.

Run: pytest tests/checkpoints/test_checkpoint.py
"""

import dataclasses
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.architecture.weights import shapes
from ginr.checkpoints import checkpoint
from ginr.checkpoints.checkpoint import (
    find_checkpoint,
    load_checkpoint,
    load_cpu_network,
    peek,
    save_checkpoint,
    shipped_checkpoints,
)
from ginr.checkpoints.tensors_file import write_tensors
from ginr.errors import CheckpointError
from ginr.network.model import Ginr

OTHER_VALUES: dict[str, Any] = {
    "bank": "window",
    "lps_scale": True,
    "n_trait": 3,
    "patch": 1,
    "window": 32,
    "n_lp": 64,
    "placement": "equidistant",
    "group": 2,
    "placement_seed": 5,
    "lp_init": "xavier",
    "content": "start",
    "order": "morton",
    "width": 48,
    "n_blocks": 7,
    "scan_every": 2,
    "expand": 1.5,
    "head_dim": 8,
    "n_state": 8,
    "mixer": "transformer",
    "positions": "rope",
    "values": "raw",
    "n_grain": 4,
    "n_tap": 2,
    "hidden": 96,
    "kernel": 5,
    "decoder": "attention",
    "n_frequency": 8,
    "base": "none",
    "max_scale": 3.5,
}


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def rewritten(
    path: Path, change: dict[str, str | None], tensors: dict[str, Tensor] | None = None
) -> Path:
    """The checkpoint again with some of its metadata (None: without it) and tensors replaced."""
    facts = {k: v for k, v in (metadata(path) | change).items() if v is not None}
    safetensors.torch.save_file(tensors or safetensors.torch.load_file(path), path, facts)
    return path


def refusal(action: Callable[..., Any], path: Path) -> str:
    """The one line that refuses a file, which names it."""
    with pytest.raises(CheckpointError) as caught:
        action(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def refused_by_all(path: Path) -> str:
    """A file whose header is already wrong: `peek` and `load_checkpoint` say the same."""
    text = refusal(peek, path)
    assert refusal(load_checkpoint, path) == text
    return text


def test_other_values_cover_every_field() -> None:
    default = GinrConfig()
    assert OTHER_VALUES.keys() == {field.name for field in dataclasses.fields(GinrConfig)}
    assert all(getattr(default, name) != value for name, value in OTHER_VALUES.items())


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_every_field_of_the_configuration_comes_back(tmp_path: Path, name: str) -> None:
    # Its decoder takes LPs that are placed in any way.
    change = {name: OTHER_VALUES[name]} | ({"mixer": "transformer"} if name == "positions" else {})
    config = dataclasses.replace(GinrConfig(decoder="attention"), **change)
    path = tmp_path / "one.safetensors"
    save_checkpoint(path, config, {k: torch.zeros(s) for k, s in shapes(config).items()}, {})
    assert peek(path).config == config
    assert load_checkpoint(path).config == config
    assert GinrConfig.from_json(config.to_json()) == config


def test_a_file_from_before_raw_values_has_normalised_ones(tiny_config: GinrConfig) -> None:
    config = dataclasses.replace(tiny_config, mixer="mamba")
    fields = json.loads(config.to_json())
    assert fields.pop("values") == "normalised"
    assert GinrConfig.from_json(json.dumps(fields)) == config


def test_weights_and_facts_come_back(tiny_checkpoint: Path, tiny_model: Ginr) -> None:
    loaded = load_checkpoint(tiny_checkpoint)
    assert loaded.name == "tiny"
    assert loaded.facts["steps"] == 12
    assert loaded.facts["held_out_gain_over_bicubic_db"] == {"x2": 0.1}
    assert loaded.weights.keys() == tiny_model.state_dict().keys()
    for name, weight in tiny_model.state_dict().items():
        assert torch.equal(loaded.weights[name], weight)


def test_a_built_network_answers_like_the_saved_one(
    tiny_checkpoint: Path, tiny_model: Ginr
) -> None:
    built = load_checkpoint(str(tiny_checkpoint)).build()
    assert not built.training
    assert not any(p.requires_grad or p.is_meta for p in built.parameters())
    pixels = torch.rand(1, 3, 9, 11)
    with torch.no_grad():
        expected = tiny_model.encode(pixels).render((30, 30))
        assert torch.equal(built.encode(pixels).render((30, 30)), expected)


def test_building_leaves_the_random_numbers_alone(tiny_checkpoint: Path) -> None:
    before = torch.get_rng_state()
    load_checkpoint(tiny_checkpoint).build()
    assert torch.equal(torch.get_rng_state(), before)


def test_building_does_not_load_the_compiler(tiny_checkpoint: Path) -> None:
    # It takes a second, which every command would wait for.
    script = (
        "import sys; from ginr.checkpoints.checkpoint import load_checkpoint; "
        "load_checkpoint(sys.argv[1]).build(); assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(tiny_checkpoint)], check=True)


def test_two_networks_of_one_checkpoint_share_nothing(tiny_checkpoint: Path) -> None:
    loaded = load_checkpoint(tiny_checkpoint)
    one, two = loaded.build(), loaded.build()
    with torch.no_grad():
        one.lps.add_(1)
    assert not torch.equal(one.lps, two.lps)
    assert torch.equal(two.lps, load_checkpoint(tiny_checkpoint).weights["lps"])


def test_peek_reads_the_header_without_torch(tiny_checkpoint: Path, tiny_model: Ginr) -> None:
    script = (
        "import sys; from ginr.checkpoints.checkpoint import peek; header = peek(sys.argv[1]); "
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules; "
        "sys.stdout.write(f'{header.name} {header.n_parameter} {header.dtypes}')"
    )
    command = [sys.executable, "-c", script, str(tiny_checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n_parameter = sum(p.numel() for p in tiny_model.parameters())
    assert done.stdout == f"tiny {n_parameter} ('F32',)"


@pytest.mark.parametrize(
    ("dtype", "name", "tolerance"),
    [(torch.float16, "F16", 1e-3), (torch.bfloat16, "BF16", 8e-3)],
)
def test_half_size_storage(
    tiny_model: Ginr, tmp_path: Path, dtype: torch.dtype, name: str, tolerance: float
) -> None:
    path, whole = tmp_path / "half.safetensors", tmp_path / "whole.safetensors"
    save_checkpoint(path, tiny_model.config, tiny_model.state_dict(), {}, dtype=dtype)
    save_checkpoint(whole, tiny_model.config, tiny_model.state_dict(), {})
    assert peek(path).dtypes == (name,)
    assert peek(path).n_parameter == peek(whole).n_parameter
    assert path.stat().st_size < 0.6 * whole.stat().st_size
    loaded = load_checkpoint(path)
    assert all(weight.dtype == torch.float32 for weight in loaded.weights.values())
    for key, weight in tiny_model.state_dict().items():
        torch.testing.assert_close(loaded.weights[key], weight, rtol=tolerance, atol=1e-7)
    pixels = torch.rand(1, 3, 9, 11)
    with torch.no_grad():
        expected = tiny_model.encode(pixels).render((30, 30))
        rounded = loaded.build().encode(pixels).render((30, 30))
    assert (rounded - expected).abs().max() < 30 * tolerance * expected.abs().max()


def edited(path: Path, edit: Callable[[dict[str, Tensor]], object]) -> Path:
    tensors = safetensors.torch.load_file(path)
    edit(tensors)
    return rewritten(path, {}, tensors)


def build(path: Path) -> Ginr:
    return load_checkpoint(path).build()


Build = Callable[[Path], object]
WAYS = pytest.mark.parametrize("build", [build, load_cpu_network])


@WAYS
def test_a_missing_tensor_is_named(tiny_checkpoint: Path, build: Build) -> None:
    path = edited(tiny_checkpoint, lambda tensors: tensors.pop("stem.bias"))
    assert "missing tensors stem.bias" in refusal(build, path)


@WAYS
def test_an_unknown_tensor_is_named(tiny_checkpoint: Path, build: Build) -> None:
    path = edited(tiny_checkpoint, lambda tensors: tensors.update(extra=torch.zeros(2)))
    assert "unknown tensors extra" in refusal(build, path)


@WAYS
def test_many_wrong_tensors_are_cut_short(tiny_checkpoint: Path, build: Build) -> None:
    path = edited(tiny_checkpoint, lambda tensors: [tensors.pop(k) for k in list(tensors)[1:]])
    assert len(refusal(build, path)) < 400


@WAYS
def test_a_misshapen_tensor_is_named(tiny_checkpoint: Path, build: Build) -> None:
    path = edited(tiny_checkpoint, lambda tensors: tensors.update(lps=torch.zeros(4, 15)))
    assert "tensor lps is (4, 15), but the configuration needs (4, 16)" in refusal(build, path)


@WAYS
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_tensor_that_is_not_finite_is_named(
    tiny_checkpoint: Path, value: float, build: Build
) -> None:
    path = edited(tiny_checkpoint, lambda tensors: tensors["stem.bias"][3:4].fill_(value))
    assert "tensor stem.bias holds NaN or infinity" in refusal(build, path)


def test_a_configuration_that_cannot_be_built(tiny_checkpoint: Path) -> None:
    config = dataclasses.replace(peek(tiny_checkpoint).config, placement="middle")
    path = rewritten(tiny_checkpoint, {"ginr.config": config.to_json()})
    assert "placed middle" in refusal(build, path)


def cuts(path: Path) -> dict[str, int]:
    size = path.stat().st_size
    (header,) = struct.unpack("<Q", path.read_bytes()[:8])
    return {
        "empty": 0,
        "five bytes": 5,
        "length only": 8,
        "half of the header": 8 + header // 2,
        "header only": 8 + header,
        "half of the data": (8 + header + size) // 2,
        "all but one byte": size - 1,
    }


@pytest.mark.parametrize("cut", range(7))
def test_a_truncated_file_is_refused(tiny_checkpoint: Path, cut: int) -> None:
    length = list(cuts(tiny_checkpoint).values())[cut]
    tiny_checkpoint.write_bytes(tiny_checkpoint.read_bytes()[:length])
    assert "cut short" in refused_by_all(tiny_checkpoint)


@pytest.mark.parametrize("tail", [b"\0", b"more" * 1000])
def test_trailing_bytes_are_refused(tiny_checkpoint: Path, tail: bytes) -> None:
    tiny_checkpoint.write_bytes(tiny_checkpoint.read_bytes() + tail)
    assert "damaged" in refused_by_all(tiny_checkpoint)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"weights": [1.0, 2.0]}),
        b"not weights at all, a line of text\n" * 20,
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff" * 200,
        struct.pack("<Q", 1 << 60) + b"{" + bytes(100),
        bytes(100),
    ],
    ids=["pickle", "text", "png", "ones", "endless header", "zeros"],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    assert "not a safetensors file" in refused_by_all(path)


def test_a_pickled_network_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    torch.save({"weight": torch.zeros(4)}, path)
    assert "never pickles" in refused_by_all(path)


@pytest.mark.parametrize(
    "header",
    [b"{not json}", b'{"a":' * 100_000, b'{"a": 1}', b"{}", b'{"\xff": 1}'],
    ids=["no JSON", "deep", "no tensor", "empty", "no UTF-8"],
)
def test_a_broken_header_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    refused_by_all(path)


@pytest.mark.parametrize("entry", [1, [], {}, {"dtype": "F32", "shape": 3, "data_offsets": [0, 4]}])
def test_a_broken_entry_is_refused(tiny_checkpoint: Path, entry: Any) -> None:
    content = json.dumps({"__metadata__": metadata(tiny_checkpoint), "w": entry}).encode()
    tiny_checkpoint.write_bytes(struct.pack("<Q", len(content)) + content + bytes(4))
    assert "damaged header" in refused_by_all(tiny_checkpoint)


def test_overlapping_tensors_are_refused(tiny_checkpoint: Path) -> None:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = {"__metadata__": metadata(tiny_checkpoint), "a": entry, "b": entry}
    content = json.dumps(header).encode()
    tiny_checkpoint.write_bytes(struct.pack("<Q", len(content)) + content + bytes(4))
    assert "damaged header" in refused_by_all(tiny_checkpoint)


def test_a_foreign_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(4)}, path)
    assert "not a checkpoint of ginr" in refused_by_all(path)
    safetensors.torch.save_file({"weight": torch.zeros(4)}, path, {"format": "pt"})
    assert "not a checkpoint of ginr" in refused_by_all(path)


@pytest.mark.parametrize("version", ["0", "4", "1.0", ""])
def test_another_version_is_refused(tiny_checkpoint: Path, version: str) -> None:
    path = rewritten(tiny_checkpoint, {"ginr.format": version})
    assert f"checkpoint format {version}, this ginr reads 1, 2, 3:" in refused_by_all(path)


def test_a_configuration_that_format_1_had_not_is_refused(tiny_checkpoint: Path) -> None:
    path = rewritten(tiny_checkpoint, {"ginr.format": "1"})
    assert "damaged header" in refused_by_all(path)


def test_a_mixer_that_format_2_had_not_is_refused(tiny_checkpoint: Path) -> None:
    config = json.loads(metadata(tiny_checkpoint)["ginr.config"]) | {"mixer": "mamba"}
    path = rewritten(tiny_checkpoint, {"ginr.config": json.dumps(config)})
    assert "damaged header" in refused_by_all(path)


@pytest.mark.parametrize("key", ["ginr.config", "ginr.facts"])
@pytest.mark.parametrize("value", [None, "no JSON", "3", "[]", "null"])
def test_incomplete_metadata_is_refused(tiny_checkpoint: Path, key: str, value: str | None) -> None:
    refused_by_all(rewritten(tiny_checkpoint, {key: value}))


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"width": "48"},
        {"width": 48.0},
        {"width": True},
        {"width": 0},
        {"width": -16},
        {"width": None},
        {"window": 12},
        {"patch": 3},
        {"n_lp": 65},
        {"n_lp": 0},
        {"head_dim": 7},
        {"kernel": 2},
        {"placement": "everywhere"},
        {"placement": ["middle"]},
        {"content": "some"},
        {"order": 1},
        {"expand": 0.0},
        {"expand": -1.0},
        {"expand": float("nan")},
        {"expand": float("inf")},
        {"expand": 1e300},
        {"max_scale": 0.5},
        {"max_scale": 0},
        {"max_scale": -4.0},
        {"max_scale": float("nan")},
        {"max_scale": float("inf")},
        {"window": 1 << 20},
        {"n_blocks": 10**9},
        {"width": 10**12, "head_dim": 10**12},
    ],
    ids=str,
)
def test_a_configuration_out_of_range_is_refused(
    tiny_checkpoint: Path, change: dict[str, Any]
) -> None:
    values = json.loads(metadata(tiny_checkpoint)["ginr.config"]) | change
    text = refused_by_all(rewritten(tiny_checkpoint, {"ginr.config": json.dumps(values)}))
    assert any(word in text for word in (*change, "inner width"))


def test_a_missing_field_is_named(tiny_checkpoint: Path) -> None:
    values = json.loads(metadata(tiny_checkpoint)["ginr.config"])
    del values["n_state"]
    path = rewritten(tiny_checkpoint, {"ginr.config": json.dumps(values)})
    assert "n_state" in refused_by_all(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder without model.safetensors" in refused_by_all(tmp_path)


def test_a_run_folder_stands_for_its_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "my_run").mkdir()
    copy = tmp_path / "my_run" / "model.safetensors"
    copy.write_bytes(tiny_checkpoint.read_bytes())
    assert peek(tmp_path / "my_run").path == copy
    assert peek(copy).name == peek(tmp_path / "my_run").name == "my_run"


@pytest.mark.parametrize(
    "name", ["nothing.safetensors", "medium", "a" * 300, "small.safetensors/x"]
)
def test_what_does_not_exist_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if "/" in name:
        path.parent.write_bytes(b"a file, not a folder")
    refused_by_all(path)
    assert "use a .safetensors file, or one of" in refusal(find_checkpoint, Path("no-such-name"))


def test_shipped_checkpoints_go_by_name(
    monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "package" / "weights"
    folder.mkdir(parents=True)
    shipped = tiny_checkpoint.rename(folder / "ginr-quick.safetensors")
    monkeypatch.setattr(checkpoint, "files", lambda _: tmp_path / "package")
    assert shipped_checkpoints() == {"quick": shipped}
    assert find_checkpoint("quick") == shipped
    assert load_checkpoint("quick").name == "ginr-quick"
    with pytest.raises(
        CheckpointError,
        match=r"slow: no such checkpoint: use a \.safetensors file, or one of quick",
    ):
        find_checkpoint("slow")


@pytest.mark.skipif(os.name == "nt", reason="no such permissions there")
def test_a_checkpoint_is_as_readable_as_any_file(tmp_path: Path, tiny_model: Ginr) -> None:
    path, other = tmp_path / "new.safetensors", tmp_path / "other"
    save_checkpoint(path, tiny_model.config, tiny_model.state_dict(), {})
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("failure", [OSError(28, "No space left"), SafetensorError("no"), KeyboardInterrupt()])  # fmt: skip
@pytest.mark.parametrize("half_written", [True, False])
def test_a_failed_save_leaves_what_was_there(
    monkeypatch: pytest.MonkeyPatch,
    tiny_checkpoint: Path,
    tiny_model: Ginr,
    failure: BaseException,
    half_written: bool,
) -> None:
    before = tiny_checkpoint.read_bytes()

    def fail(_: object, path: Path, __: object = None) -> None:
        if half_written:
            Path(path).write_bytes(before[:100])
        raise failure

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else CheckpointError
    with pytest.raises(expected):
        save_checkpoint(tiny_checkpoint, tiny_model.config, tiny_model.state_dict(), {"steps": 99})
    assert tiny_checkpoint.read_bytes() == before
    assert [path.name for path in tiny_checkpoint.parent.iterdir()] == [tiny_checkpoint.name]


def test_a_save_replaces_what_was_there(tiny_checkpoint: Path, tiny_model: Ginr) -> None:
    save_checkpoint(tiny_checkpoint, tiny_model.config, tiny_model.state_dict(), {"steps": 99})
    assert peek(tiny_checkpoint).facts["steps"] == 99
    assert [path.name for path in tiny_checkpoint.parent.iterdir()] == [tiny_checkpoint.name]


@pytest.mark.parametrize("where", ["absent/new.safetensors", "file/new.safetensors", "folder"])
def test_a_save_that_has_no_place_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"a file, not a folder")
    (tmp_path / "folder").mkdir()
    path = tmp_path / where
    text = refusal(lambda p: write_tensors(p, {"w": torch.zeros(1)}, {}), path)
    assert "cannot be written" in text
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]
