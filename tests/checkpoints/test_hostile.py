"""Checkpoints, saved fields and settings made to do harm: one line each, soon and in little memory.

Run: pytest tests/checkpoints/test_hostile.py
"""

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.banks import save_bank
from ginr.checkpoints.checkpoint import load_checkpoint, load_cpu_network, peek
from ginr.errors import MAX_TEXT, CheckpointError, GinrError
from ginr.rendering.field_file import load_field
from ginr.training.settings import Layer, read_pair, read_toml, resolve

Edit = Callable[[dict[str, Any]], object]
HUGE = 10**400


def refused_cheaply(action: Callable[[Path], object], path: Path) -> str:
    """The one line that refuses a file, which took less than 20 MB to find."""
    tracemalloc.start()
    try:
        with pytest.raises(GinrError) as caught:
            action(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert text.isprintable() and len(text) <= MAX_TEXT + 5
    return text


def changed(path: Path, edit: Edit) -> Path:
    """The file with another header, and its tensors as they are."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


def tensor(**values: Any) -> Edit:
    return lambda header: header["lps"].update(values)


def config(**values: Any) -> Edit:
    def edit(header: dict[str, Any]) -> None:
        facts = header["__metadata__"]
        facts["ginr.config"] = json.dumps(json.loads(facts["ginr.config"]) | values)

    return edit


def meta(**values: Any) -> Edit:
    return lambda header: header["__metadata__"].update(
        {f"ginr.{key}": value for key, value in values.items()}
    )


def deep(n: int) -> Any:
    value: Any = 1
    for _ in range(n):
        value = [value]
    return value


HEADERS: dict[str, Edit] = {
    "shape of text": tensor(shape=["4", "16"]),
    "shape of floats": tensor(shape=[4.0, 16.0]),
    "shape of booleans": tensor(shape=[True, 64]),
    "negative shape": tensor(shape=[-4, -16]),
    "huge shape": tensor(shape=[2**62, 16]),
    "endless shape": tensor(shape=[HUGE, 16]),
    "shape with a zero": tensor(shape=[2**62, 0, 2**62]),
    "many axes": tensor(shape=[1] * 1000 + [4, 16]),
    "shape of a number": tensor(shape=5),
    "offsets of floats": tensor(data_offsets=[0.0, 1e999]),
    "offsets of text": tensor(data_offsets="04"),
    "three offsets": tensor(data_offsets=[0, 4, 8]),
    "offsets backwards": tensor(data_offsets=[256, 0]),
    "unknown type": tensor(dtype="F1024"),
    "type of a list": tensor(dtype=["F32"]),
    "a field too many": tensor(more=1),
    "no tensor": lambda header: header.update(lps=3),
    "metadata of a number": lambda header: header.update(__metadata__=3),
    "configuration of a list": meta(config=[1]),
    "facts of a number": meta(facts=5),
    "facts of a list": meta(facts="[]"),
    "deep facts": meta(facts="[" * 100_000),
    "deep configuration": meta(config="[" * 100_000),
    "deep value": config(width=deep(900)),
    "huge expand": config(expand=HUGE),
    "huge max_scale": config(max_scale=HUGE),
    "huge width": config(width=HUGE),
    "order of a list": config(order=["hilbert"]),
    "giant network": config(n_blocks=4096, width=4096, hidden=4096, window=256, patch=1),
    "giant window": config(n_lp=4 * 128 * 128, window=256, patch=2, group=4, bank="window"),
    "many unknown fields": config(**{f"field{n}": 1 for n in range(20_000)}),
    "a long unknown field": config(**{"x" * 500_000: 1}),
    "escape sequences": config(**{"\x1b[31m\n": 1}),
}


@pytest.mark.parametrize("edit", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("action", [load_checkpoint, load_cpu_network])
def test_hostile_headers(
    tiny_checkpoint: Path, edit: Edit, action: Callable[[Path], object]
) -> None:
    action(tiny_checkpoint)  # it is sound, and the modules that are loaded now do not count
    text = refused_cheaply(action, changed(tiny_checkpoint, edit))
    assert text.startswith(str(tiny_checkpoint))


@pytest.mark.parametrize("edit", HEADERS.values(), ids=HEADERS)
def test_hostile_banks(tiny_checkpoint: Path, tmp_path: Path, edit: Edit) -> None:
    network = load_checkpoint(tiny_checkpoint)
    path = tmp_path / "bank.safetensors"
    save_bank(path, "bank", network.weights["lps"], network.header, {})
    network.with_bank(path)
    assert refused_cheaply(network.with_bank, changed(path, edit)).startswith(str(path))


@pytest.mark.parametrize("network", ["x" * 400_000, "\x1b[31m\n", ["a", {"b": None}], None])
def test_a_bank_with_a_hostile_name_of_its_network(
    tiny_checkpoint: Path, tmp_path: Path, network: Any
) -> None:
    own = load_checkpoint(tiny_checkpoint)
    path = tmp_path / "bank.safetensors"
    save_bank(path, "bank", own.weights["lps"], own.header, {})
    facts = json.dumps({"network": network, "network_sha256": network})
    text = refused_cheaply(own.with_bank, changed(path, meta(facts=facts)))
    assert text.startswith(f"{path}: a bank of another network")


def test_a_header_of_unlikely_length(tiny_checkpoint: Path) -> None:
    text = b'{"a":' + b"[" * 3_000_000
    tiny_checkpoint.write_bytes(struct.pack("<Q", len(text)) + text)
    assert "not a safetensors file" in refused_cheaply(peek, tiny_checkpoint)


@pytest.mark.parametrize(("dtype", "width"), [("U8", 64), ("F8_E4M3", 64), ("I64", 8)])
def test_numbers_of_a_type_that_no_checkpoint_has(
    tiny_checkpoint: Path, dtype: str, width: int
) -> None:
    edit = tensor(dtype=dtype, shape=[4, width])  # as many bytes as before
    text = refused_cheaply(peek, changed(tiny_checkpoint, edit))
    assert "but a checkpoint holds BF16, F16, F32, F64" in text


@pytest.mark.parametrize(
    ("key", "value"),
    [("height", 2**31), ("height", 2.0), ("width", HUGE), ("channels", 5), ("depth", 12),
     ("sha256", None), ("checkpoint", ["small"]), ("height", 2**30)],
)  # fmt: skip
def test_hostile_facts_of_a_field(tmp_path: Path, key: str, value: object) -> None:
    facts: dict[str, Any] = {"height": 1, "width": 1, "channels": 3, "depth": 8}
    facts |= {"checkpoint": "small", "sha256": "0"} | {key: value}
    header = {
        "__metadata__": {
            "ginr.field": "1",
            "ginr.config": GinrConfig(base="none").to_json(),
            "ginr.facts": json.dumps(facts),
        },
        "features": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]},
    }
    text, path = json.dumps(header).encode(), tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(2))
    refused_cheaply(load_field, path)


TOML = {
    "deep lists": "minutes = " + "[" * 3000,
    "deep lists that end": f"minutes = {'[' * 400}1{']' * 400}",
    "deep tables": "minutes." + "a." * 20_000 + "b = 1",
    "deep tables with spaces": 'minutes = {"a" . ' + "a  .  'b' . " * 5_000 + "b = 1}",
    "a table of a deep name": f"[a{'.a' * 20_000}]",
    "a long number": "minutes = " + "9" * 400,
    "a longer number": "minutes = " + "9" * 5000,
    "a long count": "batch = " + "9" * 400,
    "giant batch": "batch = 65536\ncrop = 65536",
    "giant crop": "crop = 1000000000",
    "many threads": "data_threads = 1000000",
    "a list for a word": "loss = ['l1']",
    "network of a number": "network = 3",
    "huge width": "[network]\nwidth = 99999999999999999999",
    "not UTF-8": "loss = '\udcff'",
    "too long": "# " + "x" * 200_000,
    "escape sequences": "'\x7f' = '\\u001b[31m'",
}


@pytest.mark.parametrize("text", TOML.values(), ids=TOML)
def test_hostile_settings(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    base = Layer("base", {"folders": ["a"], "run": "b"})
    refused_cheaply(lambda path: resolve([base, read_toml(path)]), path)


def test_a_hostile_setting_on_the_command_line() -> None:
    base = Layer("base", {"folders": ["a"], "run": "b"})
    for value in ("[" * 3000, "9" * 400, "9" * 5000):
        with pytest.raises(GinrError):
            resolve([base, read_pair(f"minutes={value}")])
    with pytest.raises(CheckpointError):
        GinrConfig.from_json("[" * 100_000)
