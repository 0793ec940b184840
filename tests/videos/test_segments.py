"""Segments of videos and how they join: pytest tests/videos/test_segments.py"""

import numpy as np
import pytest

pytest.importorskip("av", reason="videos need PyAV: pip install 'ginr[video]'")

from ginr.videos.output import decoding_times
from ginr.videos.provenance import facts_of, with_tag


@pytest.mark.parametrize(
    ("shown", "decoded"),
    [
        ([0, 40, 80], [0, 40, 80]),
        ([0, 80, 40, 160, 120], [-40, 0, 40, 80, 120]),
        # Two segments of a variable rate, of which the second one holds frames back.
        ([0, 20, 30, 90, 60, 50, 500], [-30, -10, 0, 20, 30, 50, 60]),
        ([7], [7]),
    ],
)
def test_packets_are_decoded_in_ascending_order_and_before_they_are_shown(
    shown: list[int], decoded: list[int]
) -> None:
    times = decoding_times(np.array(shown))
    assert (np.diff(times) > 0).all() and (times <= shown).all()
    assert times.tolist() == decoded


def test_facts_replace_those_of_the_input() -> None:
    texts = {"title": "a", "GINR": "old"}
    tagged = with_tag(texts, {"source": 'ä "b"'})
    assert tagged["title"] == "a" and "GINR" not in tagged
    assert facts_of(tagged) == facts_of({"GINR": tagged["ginr"]}) == {"source": 'ä "b"'}


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[1]", "[" * 100_000, '{"a": {"b": 1}, "c": 2}', "3"]
)
def test_texts_of_others_are_no_facts(text: str) -> None:
    assert facts_of({"ginr": text}) == {}
