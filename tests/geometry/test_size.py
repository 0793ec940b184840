"""The grammar of scales and sizes, and what it refuses.

Run: pytest tests/geometry/test_size.py
"""

import pytest

from ginr.errors import SizeError
from ginr.geometry.size import Scale, SizeRule, parse_print, parse_scale, parse_size


@pytest.mark.parametrize(
    ("text", "x", "y"),
    [
        ("3.7", 3.7, 3.7),
        ("3.7x", 3.7, 3.7),
        (" 2X ", 2, 2),
        ("370%", 3.7, 3.7),
        ("2x3", 2, 3),
        ("150%x2.5", 1.5, 2.5),
        ("2 × 3", 2, 3),  # noqa: RUF001
        ("1", 1, 1),
        ("30", 30, 30),
        ("3e1", 30, 30),
    ],
)
def test_scales(text: str, x: float, y: float) -> None:
    assert parse_scale(text) == Scale(x, y)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "not a positive number"),
        ("-1", "not a positive number"),
        ("nan", "not a positive number"),
        ("inf", "not a positive number"),
        ("1e999", "not a positive number"),
        ("2x0", "not a positive number"),
        ("0.5", "would shrink the picture: give 1 to 30"),
        ("50%", "would shrink"),
        ("3x0.9", "would shrink"),
        ("30.01", "too large: give 1 to 30"),
        ("1e9", "too large"),
        ("370", "too large"),
        ("", "not a number"),
        ("x", "not a number"),
        ("x3", "not a number"),
        ("3,7", "not a number: write 3.7"),
        ("two", "not a number"),
        ("2x3x4", "too many parts"),
        ("2%%", "not a number"),
    ],
)
def test_refused_scales_name_the_text_and_the_remedy(text: str, words: str) -> None:
    with pytest.raises(SizeError, match=words) as caught:
        parse_scale(text)
    assert repr(text) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("1920", SizeRule(1920, None)),
        ("1920x", SizeRule(1920, None)),
        ("x1080", SizeRule(None, 1080)),
        ("1920x1080", SizeRule(1920, 1080)),
        ("1920X1080!", SizeRule(1920, 1080, exact=True)),
        (" 1920 x 1080 ! ", SizeRule(1920, 1080, exact=True)),
    ],
)
def test_sizes(text: str, rule: SizeRule) -> None:
    assert parse_size(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "!",
        "x!",
        "0",
        "0x5",
        "-5x",
        "nan",
        "inf",
        "1e9",
        "19.5x",
        "1x2x3",
        "1920x!",
        "1920x1080^",
        "12MP",
        "1234567890x",
        "٣x",
    ],
)
def test_refused_sizes_name_the_text_and_the_remedy(text: str) -> None:
    with pytest.raises(SizeError, match="1920x1080") as caught:
        parse_size(text)
    assert repr(text) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scale", "size", "expected"),
    [
        (Scale(2, 2), (10, 20), (20, 40)),
        (Scale(2, 3), (10, 20), (30, 40)),
        (Scale(2.5, 2.5), (3, 5), (8, 13)),  # 7.5 and 12.5 round up
        (Scale(2.3, 2.3), (35, 1), (81, 2)),  # 35 * 2.3 is just below 80.5 in floating point
        (Scale(3.7, 3.7), (1, 1), (4, 4)),
        (Scale(1, 1.001), (10, 20), (10, 20)),
    ],
)
def test_resolved_scales(scale: Scale, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert scale.resolve(*size) == expected


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("1920", (480, 640), (1440, 1920)),
        ("x1080", (480, 640), (1080, 1440)),
        ("1920x1080", (480, 640), (1080, 1440)),  # the height binds
        ("1920x1080", (480, 1280), (720, 1920)),  # the width binds
        ("1920x1080!", (480, 640), (1080, 1920)),
        ("640x480", (480, 640), (480, 640)),
        ("1000x", (333, 999), (333, 1000)),
        ("30x", (1, 1), (30, 30)),
    ],
)
def test_resolved_sizes(text: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert parse_size(text).resolve(*size) == expected


@pytest.mark.parametrize(
    ("text", "size", "words"),
    [
        ("1920x", (10, 1921), "size 1920x would shrink 1921x10 pixels"),
        ("1920x1080", (1081, 100), "would shrink 100x1081"),
        ("200x50!", (100, 100), "size 200x50! would shrink 100x100"),
        ("310x", (10, 10), "would enlarge 10x10 pixels x31, above the limit of x30"),
        ("x999999999", (10, 10), "above the limit of x30"),
        ("100x400!", (10, 10), "pixels x40"),
    ],
)
def test_sizes_that_do_not_suit_a_picture(text: str, size: tuple[int, int], words: str) -> None:
    with pytest.raises(SizeError, match=words):
        parse_size(text).resolve(*size)


def test_absurd_outputs_are_refused() -> None:
    with pytest.raises(SizeError, match="90000x90000 is over 4 gigapixels"):
        Scale(30, 30).resolve(3000, 3000)
    with pytest.raises(SizeError, match="gigapixels"):
        SizeRule(90000, 90000).resolve(3000, 3000)


@pytest.mark.parametrize(
    ("text", "label"),
    [("3.7", "x3.7"), ("2", "x2"), ("400%", "x4"), ("2x3", "x2x3"), ("3.33333333", "x3.33333")],
)
def test_labels_of_scales(text: str, label: str) -> None:
    assert parse_scale(text).label(5, 7) == label


def test_labels_of_sizes_say_the_output() -> None:
    assert parse_size("1920x1080").label(480, 640) == "1440x1080"
    assert parse_size("1920x1080!").label(480, 640) == "1920x1080"


@pytest.mark.parametrize(
    ("paper", "millimetres"),
    [
        ("A4", (210, 297)),
        ("a0", (841, 1189)),
        ("A8", (52, 74)),
        ("B5", (176, 250)),
        ("letter", (215.9, 279.4)),
        ("10x15", (100, 150)),
        ("15 x 10", (100, 150)),
    ],
)
def test_paper_is_turned_to_the_picture(paper: str, millimetres: tuple[float, float]) -> None:
    short, long = (round(side / 25.4 * 300) for side in millimetres)
    rule = parse_print(paper, 300)
    tall, wide = rule.resolve(3000, 100, may_shrink=True), rule.resolve(100, 3000, may_shrink=True)
    assert (tall[0], wide[1]) == (long, long)
    assert rule.resolve(999, 999, may_shrink=True) == (short, short)


def test_paper_with_a_unit_is_not_turned() -> None:
    rule = parse_print("30x20cm", 254)
    assert rule.resolve(400, 200) == (2000, 1000)
    assert parse_print("30x20", 254).resolve(400, 200) == (3000, 1500)


@pytest.mark.parametrize("text", ["A9", "C4", "A", "A44", "10x", "x15", "10x15x20", "..x1", "0x15"])
def test_what_is_no_paper_is_refused(text: str) -> None:
    with pytest.raises(SizeError, match="is not a size on paper: write 30x20cm"):
        parse_print(text, 300)
