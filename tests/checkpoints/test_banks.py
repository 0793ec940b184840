"""Banks of LPs: in checkpoints and in files, mixed, folded, and refused for other networks.

Run: pytest tests/checkpoints/test_banks.py
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.banks import bank_names, network_hash, save_bank
from ginr.checkpoints.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_cpu_network,
    peek,
    save_checkpoint,
)
from ginr.errors import CheckpointError, GinrError
from ginr.network.model import Ginr

MakeModel = Callable[[GinrConfig], Ginr]
SIZE = (24, 16)


def encoded(model: object) -> np.ndarray:
    """The features of a random picture."""
    planes = [np.random.default_rng(0).random((3, *SIZE), np.float32)]
    features = model.encode_planes(planes, origin=(0, 0), size=SIZE).features  # type: ignore[attr-defined]
    return np.asarray(features)


@pytest.fixture
def lps(tiny_config: GinrConfig) -> torch.Tensor:
    return torch.randn(4, tiny_config.width)


@pytest.fixture
def banked(tiny_model: Ginr, lps: torch.Tensor, tmp_path: Path) -> Path:
    """A checkpoint with the banks main, clean and photo."""
    path = tmp_path / "banked.safetensors"
    banks = {"photo": lps, "clean": 2 * lps}
    save_checkpoint(path, tiny_model.config, tiny_model.state_dict(), {}, banks=banks)
    return path


@pytest.fixture
def file(tiny_checkpoint: Path, lps: torch.Tensor, tmp_path: Path) -> Path:
    path = tmp_path / "my.safetensors"
    save_bank(path, "photo", lps, peek(tiny_checkpoint), {"steps": 3})
    return path


def test_a_checkpoint_keeps_its_banks(banked: Path, tiny_model: Ginr, lps: torch.Tensor) -> None:
    found = load_checkpoint(banked)
    assert bank_names(found.header) == ("main", "clean", "photo")
    assert torch.equal(found.banks["photo"], lps)
    assert torch.equal(found.banks["main"], tiny_model.lps)
    assert torch.equal(found.build().lps, tiny_model.lps)
    again = banked.with_name("again.safetensors")
    save_checkpoint(again, found.config, found.weights, found.facts, banks=found.banks)
    before, after = load_file(banked), load_file(again)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("bank", ["photo", "file"])
@pytest.mark.parametrize("without_torch", [False, True])
def test_a_bank_is_the_network_with_other_lps(
    banked: Path, file: Path, tiny_model: Ginr, lps: torch.Tensor, bank: str, without_torch: bool
) -> None:
    with torch.no_grad():
        tiny_model.lps.copy_(lps)
    text = bank.replace("file", str(file))
    checkpoint = load_checkpoint(banked)
    model = load_cpu_network(banked, text) if without_torch else checkpoint.with_bank(text).build()
    np.testing.assert_allclose(encoded(model), encoded(tiny_model), rtol=1e-3, atol=1e-4)
    assert np.abs(encoded(model) - encoded(checkpoint.build())).max() > 0.01


def test_only_results_of_the_main_bank_are_held_to_the_picture(
    tiny_model: Ginr, lps: torch.Tensor, tmp_path: Path
) -> None:
    path, facts = tmp_path / "clean.safetensors", {"settings": {"degradation": "clean"}}
    save_checkpoint(path, tiny_model.config, tiny_model.state_dict(), facts, banks={"photo": lps})
    found = load_checkpoint(path)
    held = [found.build(), found.with_bank("main").build(), found.with_bank("photo").build()]
    assert [network.consistent for network in held] == [True, True, False]
    ours = [load_cpu_network(path, bank) for bank in (None, "main", "photo")]
    assert [network.consistent for network in ours] == [True, True, False]


def test_the_bank_can_be_changed_again(banked: Path, lps: torch.Tensor) -> None:
    checkpoint = load_checkpoint(banked)
    clean = checkpoint.with_bank("clean")
    assert torch.equal(clean.weights["lps"], 2 * lps)
    assert torch.equal(clean.with_bank("main").weights["lps"], checkpoint.weights["lps"])


def test_traits_move_the_lps_of_a_bank(
    tiny_config: GinrConfig, make_model: MakeModel, lps: torch.Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "told.safetensors"
    model = make_model(dataclasses.replace(tiny_config, n_trait=2, lps_scale=True))
    with torch.no_grad():
        model.traits.normal_()
    save_checkpoint(path, model.config, model.state_dict(), {}, banks={"photo": lps})
    traits = np.array([0.3, -0.2], np.float32)
    with torch.no_grad():
        model.lps.copy_(lps)
    expected = encoded(model.adapted(traits))
    by_kernels = load_cpu_network(path, "photo").adapted(traits)
    by_torch = load_checkpoint(path).with_bank("photo").build().adapted(traits)
    np.testing.assert_allclose(encoded(by_kernels), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(encoded(by_torch), expected, rtol=1e-3, atol=1e-4)


def test_a_bank_is_a_few_kilobytes_and_says_what_it_is_for(
    file: Path, tiny_checkpoint: Path
) -> None:
    assert file.stat().st_size < 4000
    header = load_checkpoint(tiny_checkpoint).header
    assert header.path == tiny_checkpoint
    from ginr.checkpoints.tensors_file import BANK, read_header

    facts = read_header(file, BANK).facts
    assert facts == {
        "steps": 3, "bank": "photo", "network": "tiny", "network_sha256": network_hash(header),
    }  # fmt: skip


def test_the_hash_leaves_out_banks_and_nothing_else(banked: Path, tiny_checkpoint: Path) -> None:
    assert network_hash(peek(banked)) == network_hash(peek(tiny_checkpoint))
    checkpoint = load_checkpoint(banked)
    for name, weight in checkpoint.weights.items():
        changed = {**checkpoint.weights, name: weight + 1e-3}
        path = banked.with_name("changed.safetensors")
        save_checkpoint(path, checkpoint.config, changed, {})
        assert (network_hash(peek(path)) == network_hash(peek(banked))) == (name == "lps"), name


WAYS = pytest.mark.parametrize(
    "load", [lambda path, bank: load_checkpoint(path).with_bank(bank), load_cpu_network]
)
Load = Callable[[Path, str], object]


@WAYS
def test_an_unknown_bank_names_those_that_exist(banked: Path, load: Load) -> None:
    with pytest.raises(
        GinrError, match="banked has no bank phot: use main, clean, photo, or a file"
    ):
        load(banked, "phot")
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: cannot be read"):
        load(banked, "gone.safetensors")


@WAYS
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 32}, "width = 16, not 32"),
        ({"bank": "window", "n_lp": 64}, "bank = place, not window"),
        ({}, "its weights differ"),
    ],
)
def test_a_bank_of_another_network_is_refused(
    tiny_config: GinrConfig,
    make_model: MakeModel,
    file: Path,
    tmp_path: Path,
    load: Load,
    change: dict[str, object],
    words: str,
) -> None:
    other = make_model(dataclasses.replace(tiny_config, **change))  # type: ignore[arg-type]
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, other.config, other.state_dict(), {})
    if load is load_cpu_network and change.get("bank"):
        pytest.skip("needs torch")
    with pytest.raises(CheckpointError) as caught:
        load(path, str(file))
    assert f"{file}: a bank of another network, tiny, than" in str(caught.value)
    assert words in str(caught.value) and "train a bank with --init other" in str(caught.value)


@WAYS
def test_a_bank_that_is_not_finite_is_refused(
    banked: Path, lps: torch.Tensor, tmp_path: Path, load: Load
) -> None:
    bad = tmp_path / "bad.safetensors"
    lps[0, 0] = torch.nan
    save_bank(bad, "bad", lps, peek(banked), {})
    with pytest.raises(CheckpointError, match="tensor lps holds NaN or infinity"):
        load(banked, str(bad))
    checkpoint = load_checkpoint(banked)
    save_checkpoint(banked, checkpoint.config, checkpoint.weights, {}, banks={"bad": lps})
    with pytest.raises(CheckpointError, match=r"tensor banks\.bad holds NaN or infinity"):
        load(banked, "bad")
    load(banked, "main")


def test_a_bank_of_another_shape_than_it_says_is_refused(
    file: Path, tiny_checkpoint: Path, banked: Path
) -> None:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    save_file({"lps": torch.zeros(3, 16)}, file, metadata)
    with pytest.raises(CheckpointError, match=r"tensor lps is \(3, 16\)"):
        load_checkpoint(tiny_checkpoint).with_bank(file)
    with safe_open(banked, "pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(banked)
    save_file({**tensors, "banks.photo": torch.zeros(4, 8)}, banked, metadata)
    with pytest.raises(CheckpointError, match=r"tensor banks.photo is \(4, 8\)"):
        load_checkpoint(banked)
    save_file({**tensors, "banks.a b": torch.zeros(4, 16)}, banked, metadata)
    with pytest.raises(CheckpointError, match="bank a b: not a name"):
        load_cpu_network(banked)


@pytest.mark.parametrize("name", ["main", "", "a:b", "a/b", "a b", "x" * 33, "-a"])
def test_a_bad_name_is_refused(banked: Path, tmp_path: Path, name: str) -> None:
    checkpoint: Checkpoint = load_checkpoint(banked)
    with pytest.raises(GinrError, match="not a name"):
        save_bank(
            tmp_path / "x.safetensors", name, checkpoint.weights["lps"], checkpoint.header, {}
        )


def test_a_checkpoint_and_a_bank_are_told_apart(file: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="is a bank, not a checkpoint: name it with --bank"):
        load_checkpoint(file)
    with pytest.raises(CheckpointError, match="is a checkpoint, not a bank"):
        load_checkpoint(tiny_checkpoint).with_bank(tiny_checkpoint)


def test_a_network_without_lps_has_no_banks(
    tiny_config: GinrConfig, make_model: MakeModel, file: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, n_lp=0, content="none")
    path = tmp_path / "tokens.safetensors"
    save_checkpoint(path, config, make_model(config).state_dict(), {})
    assert load_checkpoint(path).banks == {} and bank_names(peek(path)) == ()
    for bank in ("main", str(file)):
        with pytest.raises(GinrError, match="tokens has no LPs: leave the bank out"):
            load_checkpoint(path).with_bank(bank)
