"""A user's defaults for options: a TOML file, and environment variables, which take precedence.

`device = "cpu"` in the file, or GINR_DEVICE=cpu, sets the default of `--device`. They apply to the
commands that enlarge: `upscale`, `view`, `warp` and `zoom`. Options that exclude each other, such as --scale
and --size, have none.
"""

import os
from collections import UserDict
from pathlib import Path
from typing import Any, NamedTuple

import typer

from ginr.errors import printable
from ginr_cli.console import UsageError, say

COMMANDS = frozenset(("upscale", "view", "warp", "zoom"))
KINDS: dict[str, type] = {
    "checkpoint": str,
    "device": str,
    "precision": str,
    "tile": int,
    "ensemble": bool,
    "restore": str,
    "detail": str,
    "suffix": str,
    "strict": bool,
    "allow_truncated": bool,
    "allow_large": bool,
    "quiet": bool,
    "verbose": bool,
}
"""Type of each setting, by its name: that of the option, with underscores."""
_FLAGS = {"1": True, "true": True, "yes": True, "on": True} | dict.fromkeys(
    ("0", "false", "no", "off", ""), False
)


class Default(NamedTuple):
    """A value, and where it is set."""

    value: str | int | bool
    origin: str


def config_file() -> Path | None:
    """The file of defaults: GINR_CONFIG, or config.toml in the settings folder; None if switched off."""
    named = os.environ.get("GINR_CONFIG")
    if named is None:
        return Path(typer.get_app_dir("ginr")) / "config.toml"
    return Path(named) if named else None


def user_defaults() -> dict[str, Default]:
    """The defaults that a user has set. Raises `UsageError` for unknown names and wrong types."""
    return _from_file() | _from_environment()


def say_ignored() -> None:
    """Print a line for each GINR_* variable whose name is nearly that of a setting."""
    known = (*KINDS, "config", "debug")
    names = {name.removeprefix("GINR_").lower() for name in os.environ if name.startswith("GINR_")}
    for name in sorted(names.difference(known)):
        from difflib import get_close_matches

        if near := get_close_matches(name, known, 1, 0.7):
            say(
                f"GINR_{name.upper()} is not a setting and is ignored: did you mean GINR_{near[0].upper()}?"
            )


class LazyDefaults(UserDict[str, Any]):
    """Defaults by command and parameter, read when a command asks: the form of Typer's `default_map`."""

    def get(self, key: str, default: Any = None) -> Any:
        if key not in COMMANDS:
            return default
        return {name: default.value for name, default in user_defaults().items()}


def _from_file() -> dict[str, Default]:
    path = config_file()
    if path is None or not (path.exists() or "GINR_CONFIG" in os.environ):
        return {}
    import tomllib

    name = printable(path)
    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{name}: the settings cannot be read: {error.strerror}") from None
    except ValueError as error:  # TOML or UTF-8
        raise UsageError(f"{name} is not valid TOML ({error}): correct it") from None
    return {
        key.replace("-", "_"): Default(_checked(name, key, value), name)
        for key, value in settings.items()
    }


def _checked(name: str, key: str, value: object) -> str | int | bool:
    kind = KINDS.get(key.replace("-", "_"))
    if kind is None:
        raise UsageError(f"{name}: {key} is not a setting: use {', '.join(KINDS)}")
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:g}"  # restore = 0.5
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        called = {str: "text", int: "a whole number", bool: "true or false"}[kind]
        raise UsageError(f"{name}: {key} = {value!r}: must be {called}")
    assert isinstance(value, str | int)
    return value


def _from_environment() -> dict[str, Default]:
    found = {}
    for key, kind in KINDS.items():
        variable = f"GINR_{key.upper()}"
        text = os.environ.get(variable)
        if text is None or (kind is not bool and not text):
            continue
        if kind is bool:
            if text.lower() not in _FLAGS:
                raise UsageError(f"{variable}={text}: must be 1 or 0")
            found[key] = Default(_FLAGS[text.lower()], variable)
        elif kind is int and not text.isdecimal():
            raise UsageError(f"{variable}={text}: must be a whole number")
        else:
            found[key] = Default(text, variable)
    return found
