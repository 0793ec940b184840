"""Networks of every mixer on the command line: trained, saved, enlarged, reconstructed, inspected.

Run: pytest tests/cli/test_mixers.py
"""

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from ginr.architecture.config import PRESETS, GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint, peek, save_checkpoint
from ginr.network.model import Ginr
from ginr.pictures import read_picture
from ginr.rendering.upscale import upscale

from .support import Run, pixels_of

KINDS: dict[str, dict[str, Any]] = {
    "mamba2": {},
    "mamba": {"mixer": "mamba"},
    "sinusoidal": {"mixer": "transformer", "positions": "sinusoidal"},
    "learned": {"mixer": "transformer", "positions": "learned"},
    "rope": {"mixer": "transformer", "positions": "rope"},
    "raw values": {"content": "none", "order": "morton", "values": "raw"},
    "mamba2 without LPs": {"n_lp": 0, "content": "none"},
    "rope without LPs": {
        "mixer": "transformer", "positions": "rope", "n_lp": 0, "content": "none",
        "decoder": "attention",
    },
    "mamba, LPs in the middle": {
        "mixer": "mamba", "n_lp": 5, "placement": "middle", "bank": "window", "decoder": "attention",
    },
}  # fmt: skip
SAYS = re.compile("attention in plain torch: no kernel for cpu")


@pytest.fixture
def photo() -> Path:
    noise = np.random.default_rng(0).integers(256, size=(6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((48, 40), Image.Resampling.BICUBIC).save("photo.png")
    return Path("photo.png")


@pytest.fixture(params=KINDS)
def saved(
    request: pytest.FixtureRequest,
    tiny_config: GinrConfig,
    make_model: Callable[[GinrConfig], Ginr],
) -> tuple[Ginr, Path]:
    """A random network and its checkpoint, net.safetensors."""
    model = make_model(replace(tiny_config, **KINDS[request.param]))
    path = Path("net.safetensors")
    save_checkpoint(path, model.config, model.state_dict(), {})
    return model, path


def compiled(config: GinrConfig) -> bool:
    """Whether there is a kernel for all of the mixer."""
    return config.mixer == "mamba2" and config.values == "normalised"


def copies(photo: Path) -> None:
    """Three of them in photos/."""
    Path("photos").mkdir()
    for name in "abc":
        Path("photos", f"{name}.png").write_bytes(photo.read_bytes())


def test_a_file_gives_the_pixels_of_its_network(
    run: Run, saved: tuple[Ginr, Path], photo: Path
) -> None:
    model, path = saved
    run("upscale", photo, "-o", "out.png", "--size", "100x90!", "--checkpoint", path)
    assert run.code == 0, run.err
    expected = upscale(read_picture(photo), model, width=100, height=90).samples.astype(int)
    if compiled(model.config):  # may run without torch, which rounds in another way
        assert np.abs(pixels_of("out.png") - expected).max() <= 1
    else:
        np.testing.assert_array_equal(pixels_of("out.png"), expected)
        assert run.err.count("plain torch") == len(SAYS.findall(run.err))
        assert len(SAYS.findall(run.err)) == (model.config.mixer == "transformer")
    enlarged = Image.open(photo).resize((100, 90), Image.Resampling.BICUBIC)
    assert np.abs(expected - np.asarray(enlarged)).mean() > 1


def test_tiles_equal_the_whole(run: Run, saved: tuple[Ginr, Path], photo: Path) -> None:
    for tile in ("8", "1000"):
        options = ("--checkpoint", saved[1], "--scale", "2", "--tile", tile)
        assert run("upscale", photo, "-o", f"{tile}.png", *options).code == 0, run.err
    assert np.abs(pixels_of("8.png") - pixels_of("1000.png")).max() <= 1


def test_a_field_is_saved_and_rendered(run: Run, saved: tuple[Ginr, Path], photo: Path) -> None:
    options = ("-c", saved[1], "--save-field", "field.safetensors")
    assert run("reconstruct", photo, "-o", "one.png", *options).code == 0, run.err
    run("reconstruct", "field.safetensors", "-o", "two.png", "-c", saved[1])
    assert run.code == 0, run.err
    assert np.abs(pixels_of("one.png") - pixels_of("two.png")).max() <= 1


def test_lps_are_inspected_where_there_are_any(
    run: Run, saved: tuple[Ginr, Path], photo: Path
) -> None:
    model, path = saved
    run("inspect-lps", path, "--image", photo, "--json")
    if not model.config.n_lp:
        assert run.code == 1
        assert "has no LPs, it decodes tokens: name another checkpoint" in run.err
        return
    assert run.code == 0, run.err
    (record,) = run.records
    changed = {"equal_lps", "shuffled_lps", "no_scan"}
    if model.config.mixer != "transformer":
        changed.add("no_memory")
    assert record["picture"]["changed_db"].keys() == changed
    assert record["n_lp"] == len(model.lps)


@pytest.mark.parametrize(
    ("mixer", "positions", "values"),
    [
        ("mamba", "none", "normalised"),
        *(("transformer", p, "normalised") for p in ("none", "sinusoidal", "learned", "rope")),
        *((mixer, "none", "raw") for mixer in ("mamba2", "mamba", "transformer")),
    ],
)
def test_training_reaches_every_mixer(
    run: Run, photo: Path, mixer: str, positions: str, values: str, tiny_config: GinrConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(PRESETS, "tiny", tiny_config)
    copies(photo)
    options = ["--run", "run", "--preset", "tiny", "--batch", "1", "--crop", "8", "--steps"]
    chosen = {"mixer": mixer, "positions": positions, "values": values}
    network = [part for k, v in chosen.items() for part in ("--set", f"network.{k}={v}")]
    run("train", "photos", *options, "1", *network)
    assert run.code == 0, run.err
    assert run.err.count("plain torch") == len(SAYS.findall(run.err)) == (mixer == "transformer")
    assert run("train", "photos", *options, "2", *network).code == 0, run.err
    loaded = load_checkpoint("run/model.safetensors")
    assert chosen.items() <= asdict(loaded.config).items()
    assert loaded.facts["steps"] == 2
    assert run("upscale", photo, "-c", "run/model.safetensors", "--scale", "2").code == 0, run.err


def test_training_without_lps(
    run: Run, photo: Path, tiny_config: GinrConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(tiny_config, n_lp=0, content="none")
    monkeypatch.setitem(PRESETS, "tiny", plain)
    copies(photo)
    options = ["--preset", "tiny", "--batch", "1", "--crop", "8", "--steps", "2"]
    run("train", "photos", "--run", "run", *options, "--set", "log_steps=1", "--json")
    assert run.code == 0, run.err
    assert "LP" not in run.err
    assert run.records[0]["lp_diversity"] is None
    assert "NaN" not in Path("run/metrics.jsonl").read_text() + run.out
    assert run("inspect-lps", "run").code == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["placement=middle"], "placed middle among 64.*set decoder = attention, or placement"),
        (["positions=rope"], "positions = rope: mamba2 .*: set positions = none, or mixer = tra"),
        (["mixer=mamba", "positions=learned"], "learned: mamba .*: set positions = none"),
        (["mixer=transformer", "positions=rope", "head_dim=2"], "head_dim = 2: must be a multi"),
        (["n_lp=0"], "content = blocks: needs LPs, and n_lp is 0: set content = none"),
        (["n_lp=0", "content=none", "lps_scale=true"], "needs LPs.*: set lps_scale = false"),
        (
            ["n_lp=0", "content=none", "lps_scale=false", "n_trait=10"],
            "n_trait = 10.*set n_trait = 0",
        ),
        (["mixer=gru"], "network.mixer = 'gru': use one of mamba2, mamba, transformer"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused_before_any_data(
    run: Run, settings: list[str], words: str
) -> None:
    pairs = [part for setting in settings for part in ("--set", f"network.{setting}")]
    run("train", "nowhere", "--run", "run", *pairs)
    assert run.code == 2 and len(run.err.splitlines()) == 1
    assert re.search(words, run.err)
    assert "nowhere" not in run.err and not Path("run").exists()


def test_files_of_the_default_mixer_stay_readable_for_older_versions(
    saved: tuple[Ginr, Path],
) -> None:
    model, path = saved
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    plain = compiled(model.config) and model.config.n_lp > 0
    assert metadata["ginr.format"] == ("2" if plain else "3")
    assert ('"mixer"' in metadata["ginr.config"]) == (not plain)
    assert peek(path).config == model.config
