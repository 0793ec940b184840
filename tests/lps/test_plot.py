"""The page of `ginr inspect-lps --plot`.

Run: pytest tests/lps/test_plot.py
"""

import sys
from pathlib import Path

import pytest

from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.errors import GinrError
from ginr.lps.history import LpMoment
from ginr.lps.plot import DPI, SIDE, Section, draw
from ginr.lps.report import lp_report


def section(checkpoint: Path, name: str = "a", *history: LpMoment) -> Section:
    loaded = load_checkpoint(checkpoint)
    return Section(name, loaded, lp_report(loaded), history=history)


def test_the_page_grows_with_what_is_drawn(tiny_checkpoint: Path) -> None:
    one = draw([section(tiny_checkpoint)])
    assert (one.width, one.height, one.channels) == (5 * SIDE * DPI, SIDE * DPI, 3)
    runs = [LpMoment(5, 0.1, 0.9, None), LpMoment(10, 0.2, 0.95, 3.0)]
    two = draw([section(tiny_checkpoint), section(tiny_checkpoint, "b", *runs)])
    assert (two.width, two.height) == (one.width, 3 * one.height)


@pytest.mark.parametrize("name", ["$x^$.safetensors", "写真.safetensors"])  # mathematics, no glyph
def test_any_file_name_can_be_drawn(tiny_checkpoint: Path, name: str) -> None:
    assert draw([section(tiny_checkpoint, name)]).width == 5 * SIDE * DPI


def test_without_matplotlib_the_extra_is_named(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(GinrError, match=r"needs matplotlib: pip install 'ginr\[plot\]'"):
        draw([section(tiny_checkpoint)])
