"""benchmarks/ablation: equal sizes, what is refused, a short run and its resumption.

Run: pytest tests/test_ablation.py
"""

import dataclasses
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from ginr.architecture.tokens import window_plan
from ginr.network.model import Ginr

ABLATION = Path(__file__).parents[1] / "benchmarks" / "ablation"


@pytest.fixture
def ablation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Its __main__.py, which finds its neighbours by the path."""
    monkeypatch.syspath_prepend(ABLATION)
    spec = importlib.util.spec_from_file_location("ablation_main", ABLATION / "__main__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def variants(ablation: ModuleType) -> ModuleType:
    return importlib.import_module("variants")


@pytest.fixture
def call(ablation: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def main(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["ablation", *arguments])
        ablation.main()

    return main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(5):
        noise = np.random.default_rng(k).integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((144, 144)).save(folder / f"{k}.png")
    return folder


def test_networks_of_a_table_have_as_many_weights(ablation: ModuleType) -> None:
    found = ablation.comparisons(ablation.FIELD, ablation.PHOTOGRAPHS)
    for comparison in found.values():
        wanted = ablation.n_weight(comparison.config)
        keys = [arm.key for arm in comparison.arms]
        assert len(set(keys)) == len(keys)
        for arm in comparison.arms:
            assert abs(ablation.n_weight(arm.config) / wanted - 1) < 0.05


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--decoder", "lattice"], "row by row: the lattice decoder needs .*: set decoder = att"),
        (["--width", "40"], "width = 40: must be a multiple of 16"),
        (["--steps", "0"], "steps is 0: give 1 or more"),
    ],
)
def test_what_cannot_be_built_is_refused_before_pictures_are_read(
    call: Callable[..., None], tmp_path: Path, arguments: list[str], words: str
) -> None:
    with pytest.raises(Exception, match=words):
        call(str(tmp_path / "absent"), "-o", str(tmp_path / "out"), *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_quick_run_measures_and_resumes(
    ablation: ModuleType, call: Callable[..., None], photos: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    found = ablation.comparisons(ablation.FIELD, ablation.PHOTOGRAPHS)
    few = {"counts": found["counts"]._replace(arms=found["counts"].arms[:2])}
    monkeypatch.setattr(ablation, "comparisons", lambda *configs: few)
    out = tmp_path / "out"
    for _ in range(2):
        call(str(photos), "-o", str(out), "--quick", "--tables", "counts", "--device", "cpu")
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [line["arm"] for line in lines] == ["field n_lp=16", "field n_lp=32"]
    assert lines[0]["psnr"].keys() == {"32", "64", "128"} and lines[0]["steps"] == 20
    printed = capsys.readouterr().out
    assert printed.count("| 16 LPs") == printed.count("28.5") == 2


def test_nothing_pruned_and_nothing_moved_is_the_same_network(
    ablation: ModuleType, variants: ModuleType
) -> None:
    config = dataclasses.replace(ablation.FIELD, order="raster", width=16, n_lp=8)
    model, pixels = Ginr(config), torch.rand(1, 3, 32, 32)
    plan = window_plan(config).plan
    where = variants.Placed(plan.before, tuple(range(b[0], b[-1] + 1) for b in plan.block))
    with torch.no_grad():
        expected = model.encode(pixels).render((48, 48))
        with variants.placed(variants.PRUNED, where):
            same = variants.pruned(model, np.arange(8))
            torch.testing.assert_close(same.encode(pixels).render((48, 48)), expected)
        with variants.variant("learned positions"):
            moving = Ginr(config)
            moving.load_state_dict(model.state_dict() | {"decoder.moved": torch.zeros(8, 2)})
        torch.testing.assert_close(moving.encode(pixels).render((48, 48)), expected)
        moving.decoder.moved += 0.5
        assert not torch.allclose(moving.encode(pixels).render((48, 48)), expected)


def test_two_resolutions_stand_in_the_middle_of_their_tokens(variants: ModuleType) -> None:
    where = variants.two_levels(16, 4, 1)
    assert where.before.tolist() == [2, 6, 8, 10, 14]
    assert where.positions.tolist() == [2, 7, 10, 13, 18]
    assert [len(tokens) for tokens in where.tokens] == [4, 4, 16, 4, 4]


@pytest.mark.usefixtures("ablation")
def test_a_slope_is_the_exponent_of_growth() -> None:
    slope = importlib.import_module("growth").slope
    assert slope([10, 100, 1000], [2, 200, 20_000]) == pytest.approx(2)
