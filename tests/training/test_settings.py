"""Merged settings: which one wins, and what is refused with which message.

Run: pytest tests/training/test_settings.py
"""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from ginr.architecture.config import PRESETS, RECONSTRUCT, SMALL, GinrConfig
from ginr.errors import GinrError
from ginr.training.config import TRAINING, TrainConfig
from ginr.training.settings import Layer, read_pair, read_toml, resolve, to_toml

PLACES = Layer("places", {"folders": ["photos"], "run": "run"})


def chosen(*layers: dict[str, object]) -> tuple[GinrConfig, TrainConfig]:
    return resolve([PLACES, *(Layer(f"layer {k}", values) for k, values in enumerate(layers))])


def test_without_settings_there_are_the_defaults() -> None:
    assert chosen() == (SMALL, TrainConfig((Path("photos"),), Path("run")))


def test_a_later_layer_wins() -> None:
    config, settings = chosen(
        {"rate": 1, "network.width": 48, "preset": "small"}, {"rate": 2, "crop": 9}
    )
    assert settings.rate == 2.0 and type(settings.rate) is float
    assert settings.crop == 9
    assert config == replace(SMALL, width=48)


def test_a_preset_may_be_trained_in_its_own_way() -> None:
    config, settings = chosen({"preset": "reconstruct", "rate": 1e-3})
    assert config == RECONSTRUCT
    assert (settings.crop, settings.scales) == (64, (1.0, 1.5, 2.0))
    assert settings.rate == 1e-3  # explicit values win
    assert all(preset in PRESETS for preset in TRAINING)


def test_minutes_and_steps_replace_each_other() -> None:
    assert chosen({"steps": 5}, {"minutes": 2})[1].steps is None
    assert chosen({"minutes": 2}, {"steps": 5})[1].steps == 5
    assert chosen({"steps": 5}, {"steps": "none"})[1].steps is None
    with pytest.raises(GinrError, match="layer 0: minutes and steps together"):
        chosen({"minutes": 2, "steps": 5})


@pytest.mark.parametrize("documented", [False, True])
def test_toml_there_and_back(tmp_path: Path, documented: bool) -> None:
    settings = TrainConfig((tmp_path / 'a "b" é',), tmp_path / "run", steps=3, rate=1e-5)
    config = replace(SMALL, order="morton", max_scale=3.5)
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config, settings, documented=documented), "utf-8")
    assert resolve([read_toml(path)]) == (config, settings)


def test_every_field_is_explained() -> None:
    text = to_toml(SMALL, TrainConfig((Path("photos"),), Path("run")), documented=True)
    lines = text.partition("[network]")[0].splitlines()
    for field in fields(TrainConfig):
        (index,) = (
            k
            for k, line in enumerate(lines)
            if line.startswith((f"{field.name} =", f"# {field.name} ="))
        )
        assert lines[index - 1].startswith("# ") and lines[index - 1].endswith("."), field.name


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("rate=1e-4", "rate", 1e-4),
        (" network.order = raster ", "network.order", "raster"),
        ("steps=none", "steps", "none"),
        ("folders=['a', 'b']", "folders", ["a", "b"]),
        ("order=1\nrate=2", "order", "1\nrate=2"),
    ],
)
def test_pairs(text: str, key: str, value: object) -> None:
    assert dict(read_pair(text).values) == {key: value}


@pytest.mark.parametrize("text", ["rate", "rate=", "=3", ""])
def test_what_is_no_pair(text: str) -> None:
    with pytest.raises(GinrError, match="give key=value"):
        read_pair(text)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rates": 1}, "layer 0: rates is not a setting: did you mean rate?"),
        ({"network.widht": 1}, "network.widht is not a setting: did you mean network.width?"),
        ({"qqq": 1}, "layer 0: qqq is not a setting: ginr train --show-config lists them"),
        ({"rate": "fast"}, "layer 0: rate = 'fast': give a number"),
        ({"rate": True}, "rate = True: give a number"),
        ({"crop": 3.5}, "crop = 3.5: give a whole number"),
        ({"folders": [3]}, "folders = [3]: give a word in quotes"),
        ({"folders": []}, "folders: name a folder"),
        ({"network.order": "zigzag"}, "use one of hilbert, morton, raster"),
        ({"network.width": 50}, "network: width = 50: must be a multiple of 16"),
        ({"network.expand": 1.25}, "network: inner width = 40: must be a multiple of 16"),
        (
            {"network.head_dim": 12},
            "network: inner width = 32: must be a multiple of head_dim = 12",
        ),
        ({"preset": "huge"}, "preset huge is not known: use one of small"),
    ],
)
def test_refusals(values: dict[str, Any], words: str) -> None:
    with pytest.raises(GinrError) as caught:
        chosen(values)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minutes": 0.0}, "minutes is 0.0: give a number above 0"),
        ({"minutes": -1.0}, "minutes is -1"),
        ({"minutes": math.nan}, "minutes is nan"),
        ({"minutes": math.inf}, "minutes is inf"),
        ({"rate": math.nan}, "rate is nan"),
        ({"steps": 0}, "steps is 0: give 1 or more"),
        ({"batch": 0}, "batch is 0: give 1 or more"),
        ({"crop": -3}, "crop is -3"),
        ({"seed": -1}, "seed is -1: give a number from 0"),
        ({"ema": 1.0}, "ema is 1.0"),
    ],
)
def test_values_out_of_range(change: dict[str, Any], words: str) -> None:
    with pytest.raises(GinrError, match=words):
        chosen(change)


@pytest.mark.parametrize("text", ["rate = ", "network = 3", "\xff"])
def test_files_that_are_no_settings(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(GinrError, match=r"mine\.toml: "):
        read_toml(path)
