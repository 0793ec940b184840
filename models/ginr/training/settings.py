"""Settings from a TOML file, from `key=value` pairs and from flags, merged without evaluating code.

The fields of TrainConfig are keys, those of GinrConfig are keys below `network`, and `preset` names
the network that the latter change. This module does not load torch.
"""

import dataclasses
import difflib
import inspect
import json
import re
import reprlib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ginr.architecture.config import PRESETS, GinrConfig
from ginr.architecture.weights import shapes
from ginr.checkpoints.checkpoint import peek
from ginr.errors import GinrError
from ginr.training.config import BANK_TRAINING, TRAINING, TrainConfig

_NETWORK = "network."
MAX_TOML = 100_000
"""Bytes; all settings take 2,000."""
# Tables of 20,000 tables, in 40 KB, would take 1.6 GB.
_DEEP = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')\s*+\.\s*+){50}""")


@dataclass(frozen=True)
class Layer:
    """Settings from one place, by key; `source` names the place in errors."""

    source: str
    values: Mapping[str, object]


def read_toml(path: Path) -> Layer:
    """The settings of a file. Raises GinrError if it cannot be read or is not TOML."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TOML + 1)
        if len(content) > MAX_TOML:
            raise GinrError(f"{path}: more than {MAX_TOML} bytes: name a file of settings")
        text = content.decode("utf-8")
        if _DEEP.search(text):
            raise RecursionError
        tables = tomllib.loads(text)
    except OSError as error:
        raise GinrError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise GinrError(f"{path}: is not TOML: {error}: correct it, or write it again") from None
    except RecursionError:
        raise GinrError(f"{path}: lists or tables are nested too deeply: flatten them") from None
    network = tables.pop("network", {})
    if not isinstance(network, dict):
        raise GinrError(f"{path}: network is not a table")
    return Layer(str(path), tables | {_NETWORK + key: value for key, value in network.items()})


def read_pair(text: str) -> Layer:
    """The setting `key=value`, the value as in TOML or a bare word. Raises GinrError."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (key and equals and value):
        raise GinrError(f"--set {text}: give key=value")
    try:
        parsed = {} if _DEEP.search(value) else tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        parsed = {}
    return Layer(f"--set {text}", {key: parsed["value"] if len(parsed) == 1 else value})


def resolve(layers: Sequence[Layer]) -> tuple[GinrConfig, TrainConfig]:
    """The configuration of a run; later layers override earlier ones.

    Raises GinrError for an unknown key, a value of another type or a value out of range.
    """
    types = _types()
    chosen: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if key not in types:
                near = difflib.get_close_matches(key, types, 1)
                hint = f"did you mean {near[0]}?" if near else "ginr train --show-config lists them"
                raise GinrError(f"{layer.source}: {key} is not a setting: {hint}")
            try:
                chosen[key] = _converted(value, types[key])
            except TypeError as error:
                shown = reprlib.repr(value)  # bounded, however deep it is
                raise GinrError(f"{layer.source}: {key} = {shown}: {error}") from None
        if "minutes" in layer.values:  # overrides a length in steps from an earlier layer
            if layer.values.get("steps") is not None:
                raise GinrError(f"{layer.source}: minutes and steps together: give one of them")
            chosen.pop("steps", None)
    if chosen.get("bank") is not None:
        return _for_bank(chosen)
    preset = chosen.pop("preset", "small")
    if preset not in PRESETS:
        raise GinrError(f"preset {preset} is not known: use one of {', '.join(PRESETS)}")
    chosen = {**TRAINING.get(preset, {}), **chosen}
    named = [key for key in chosen if key.startswith(_NETWORK)]
    network = {key.removeprefix(_NETWORK): chosen.pop(key) for key in named}
    try:
        config = dataclasses.replace(PRESETS[preset], **network)
        shapes(config)  # raises for LPs that the decoder cannot read
    except ValueError as error:
        raise GinrError(f"network: {error}") from None
    return config, _complete(chosen)


def _for_bank(chosen: Mapping[str, Any]) -> tuple[GinrConfig, TrainConfig]:
    """The network of `init`, and the settings of a run that trains a bank for it."""
    own = {key: value for key, value in chosen.items() if not key.startswith(_NETWORK)}
    preset = own.pop("preset", None)
    settings = _complete({**BANK_TRAINING, **own})
    assert settings.init is not None  # TrainConfig requires it
    config = peek(settings.init).config
    if not config.n_lp:
        raise GinrError(f"bank: {settings.init} has no LPs to train: use another checkpoint")
    # The config.toml of a run names all fields of its network.
    wanted = {key: chosen[key] for key in chosen.keys() - own.keys() - {"preset"}}
    other = [k for k, v in wanted.items() if getattr(config, k.removeprefix(_NETWORK)) != v]
    if preset is not None or other:
        what = "preset" if preset is not None else min(other)
        raise GinrError(f"{what}: a bank is for the network of init: leave it out")
    return config, settings


def _complete(chosen: Mapping[str, Any]) -> TrainConfig:
    if missing := {"folders", "run"} - chosen.keys():
        raise GinrError(f"{min(missing)} is not set: name a folder")
    return TrainConfig(**chosen)


def to_toml(config: GinrConfig, settings: TrainConfig, *, documented: bool = False) -> str:
    """Every setting in the form that `read_toml` reads, with its meaning above if `documented`."""
    lines = _assignments(settings, documented, () if settings.steps is None else ("minutes",))
    return "\n".join([*lines, "", "[network]", *_assignments(config, documented), ""])


def training_facts(settings: TrainConfig) -> dict[str, Any]:
    """The settings for the header of a checkpoint: JSON values, without names of folders."""
    values = dataclasses.asdict(settings)
    for key in ("init", "teacher"):
        if values[key] is not None:
            values[key] = Path(values[key]).name
    return {k: v for k, v in values.items() if k not in ("folders", "run")}


def fixed_settings(config: GinrConfig, settings: TrainConfig) -> dict[str, Any]:
    """The settings that may not change when a run is resumed, by key, as JSON values."""
    own = {k: v for k, v in training_facts(settings).items() if k not in TrainConfig.FREE}
    return own | {_NETWORK + key: value for key, value in dataclasses.asdict(config).items()}


def _assignments(
    values: TrainConfig | GinrConfig, documented: bool, unused: Collection[str] = ()
) -> list[str]:
    meanings = _meanings(type(values)) if documented else {}
    lines = []
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if field.name in meanings:
            lines += ["", f"# {meanings[field.name]}"]
        if value is not None and field.name not in unused:  # TOML has no null
            lines.append(f"{field.name} = {_as_toml(value)}")
        elif documented:
            lines.append(f"# {field.name} =")
    return lines


def _as_toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_as_toml(part) for part in value)}]"
    if isinstance(value, Path):
        value = str(value.absolute())
    return json.dumps(value, ensure_ascii=False)


def _types() -> dict[str, Any]:
    """The type of every setting."""
    own, network = (
        {field.name: get_type_hints(kind)[field.name] for field in dataclasses.fields(kind)}
        for kind in (TrainConfig, GinrConfig)
    )
    return {"preset": str} | own | {_NETWORK + key: kind for key, kind in network.items()}


def _converted(value: object, kind: Any) -> object:
    """`value` as the type `kind`. Raises TypeError with the type that is wanted."""
    origin, parts = get_origin(kind), get_args(kind)
    if NoneType in parts:
        if value is None or value == "none":
            return None
        return _converted(value, next(part for part in parts if part is not NoneType))
    if origin is Literal:
        if not isinstance(value, str) or value not in parts:
            raise TypeError(f"use one of {', '.join(parts)}")
        return value
    if origin is tuple:
        listed = value if isinstance(value, list | tuple) else [value]
        return tuple(_converted(part, parts[0]) for part in listed)
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if type(value) is int and kind in (int, float) and abs(value) >= 2**63:
        raise TypeError("give a smaller number")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        words = {int: "a whole number", float: "a number", bool: "true or false"}
        raise TypeError(f"give {words.get(kind, 'a word in quotes')}")
    return value


def _meanings(kind: type) -> dict[str, str]:
    """The string below each field of a dataclass, read from its source."""
    field = r'^    (\w+): .*\n    """(.*)"""$'
    return dict(re.findall(field, inspect.getsource(kind), re.MULTILINE))
