"""Whatever a file holds, reading it succeeds or raises a GinrError: pytest tests/fuzz

GINR_FUZZ is the number of mutated inputs per kind of file, 200 without it. By hand, for hours:
GINR_FUZZ=100000 pytest tests/fuzz -s --timeout=0
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ginr.checkpoints.checkpoint import load_checkpoint, load_cpu_network
from ginr.errors import GinrError
from ginr.geometry.maps import read_map
from ginr.pictures import probe_picture, read_picture
from ginr.rendering.field_file import load_field
from ginr.training.settings import read_toml, resolve

from . import corpus

hypothesis = pytest.importorskip("hypothesis", reason="comes with the extra dev")
st = hypothesis.strategies

TOKENS = [
    b"\x00", b"\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x01\x00",
    b"[", b"]", b"{", b"}", b'"', b"-", b"-1", b"0", b"1e999", b"NaN", b"null", b"true", b"9" * 30,
    b"[" * 2000, b"a." * 3000, b"\x1b[31m", b"\xe2\x80\xae", b"\n", b",", b"=",
]  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "set", "insert", "replace", "remove", "repeat", "cut"]),
        st.integers(0, 2**20),
        st.integers(0, 2**20),
        st.sampled_from(TOKENS),
    ),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, edits: "list[tuple[str, int, int, bytes]]") -> bytes:
    """A file after some edits: places count modulo its length, so they mean something anywhere."""
    data = bytearray(content)
    for kind, place, other, token in edits:
        at = place % (len(data) + 1)
        until = min(len(data), at + 1 + other % 40)
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << other % 8
        elif kind == "set" and at < len(data):
            data[at] = other % 256
        elif kind == "insert":
            data[at:at] = token
        elif kind == "replace":
            data[at : at + len(token)] = token
        elif kind == "remove":
            del data[at:until]
        elif kind == "repeat":
            data[at:at] = data[at:until] * (1 + other % 7)
        elif kind == "cut" and other % 4 == 0:
            del data[at:]
    return bytes(data[: 1 << 20])


def read_any_picture(path: Path) -> None:
    probe_picture(path)
    read_picture(path)


KINDS: dict[str, tuple[Callable[[], dict[str, bytes]], Callable[[Path], object]]] = {
    "checkpoints": (corpus.checkpoints, load_cpu_network),
    "checkpoints for torch": (corpus.checkpoints, lambda path: load_checkpoint(path).build()),
    "fields": (corpus.fields, load_field),
    "settings": (corpus.settings, lambda path: resolve([read_toml(path)])),
    "maps": (corpus.arrays, read_map),
    "pictures": (corpus.pictures, read_any_picture),
}


@pytest.mark.parametrize("kind", KINDS)
def test_reading_succeeds_or_says_why(tmp_path: Path, kind: str) -> None:
    make, read = KINDS[kind]
    seeds = make()
    for name, content in seeds.items():  # the seeds themselves are sound
        (tmp_path / name).write_bytes(content)
        read(tmp_path / name)

    @hypothesis.settings(
        max_examples=int(os.environ.get("GINR_FUZZ", "200")), deadline=None, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(st.sampled_from(sorted(seeds)), EDITS)
    def check(name: str, edits: "list[tuple[str, int, int, bytes]]") -> None:
        path = tmp_path / name
        path.write_bytes(mutated(seeds[name], edits))
        tried.append(name)
        with suppress(GinrError):
            read(path)

    tried: list[str] = []
    check()
    print(f"{kind}: {len(tried)} mutated inputs")
