"""What `ginr inspect-lps` prints: a table with a column per checkpoint, small maps, a run's history."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ginr.lps.history import LpMoment
    from ginr.lps.reach import Reach
    from ginr.lps.report import LpReport
    from ginr.lps.response import PictureReport

LABEL = 24
"""Width of the first column."""
MOST_TOKENS = 16
"""Tokens along the side of a window that is drawn with letters."""
MOST_MOMENTS = 8
"""Lines of a run's history."""
SPARK = 48
"""Letters of its curve, at the most."""

Row = tuple[str, str]


def table(names: Sequence[str], columns: Sequence[Sequence[Row]]) -> list[str]:
    """Lines with the rows of all columns, side by side; a row that one lacks is left blank."""
    labels = list(dict.fromkeys(label for rows in columns for label, _ in rows))
    named = [dict(rows) for rows in columns]
    widths = [
        max(len(name), *(len(text) for text in rows.values()))
        for name, rows in zip(names, named, strict=True)
    ]
    lines = [("checkpoint", names), *((k, [rows.get(k, "") for rows in named]) for k in labels)]
    return [
        f"{label:<{LABEL}}"
        + "  ".join(f"{text:<{width}}" for text, width in zip(texts, widths, strict=True)).rstrip()
        for label, texts in lines
    ]


def lp_rows(report: "LpReport") -> list[Row]:
    """A checkpoint's LPs."""
    off = report.diversity_off_diagonal
    rows = [
        ("LPs", f"{report.n_lp} of width {report.width}"),
        ("placement", report.placement),
        ("norm", _range(report.norm_min, report.norm_mean, report.norm_max)),
        ("diversity", f"{report.diversity:.4f}"),
        ("diversity off diagonal", "-" if off is None else f"{off:.4f}"),
        ("effective rank", f"{report.effective_rank:.1f} of {min(report.n_lp, report.width)}"),
    ]
    if (explained := report.explained) is not None:
        told = f"{explained.row_and_column:.0%} ({explained.by_chance:.0%} by chance)"
        rows.append(("row and column explain", told))
    for k, pair in enumerate(report.nearest):
        one, other = (_place(report.places[n]) for n in (pair.first, pair.second))
        label = "most similar, at x, y" if k == 0 else " " * k  # each its own, and none is seen
        rows.append((label, f"{pair.similarity:.3f}  {one} and {other}"))
    return rows


def picture_rows(report: "PictureReport") -> list[Row]:
    """The encoded LPs of a picture."""
    top, left, bottom, right = report.box
    least, mean, most = report.window_diversity
    worth = report.equal_lps_db
    return [
        ("picture", f"{right - left}x{bottom - top} pixels from {left}, {top}"),
        ("encoded LPs", str(report.n_encoded)),
        ("  norm", _range(report.norm_min, report.norm_mean, report.norm_max)),
        ("  diversity", f"{report.diversity:.4f}"),
        ("  in one window", f"{least:.2f} to {most:.2f}, mean {mean:.2f}"),
        ("  effective rank", f"{report.effective_rank:.1f}"),
        ("  variance in windows", f"{report.within_windows:.0%}"),
        ("changed without an LP", _reach(report.effect)),
        ("seen by an LP", _reach(report.sight)),
        ("all LPs made equal", "-" if worth is None else f"{worth:+.3f} dB at x2"),
    ]


def window_map(name: str, report: "LpReport") -> list[str]:
    """How many LPs stand at each token of a window, and beside it how long they are on the mean."""
    side = report.token_side
    if side > MOST_TOKENS:
        return [f"{name}: a window of {side}x{side} tokens is drawn by --plot"]
    pitch = report.window / side
    norms: dict[tuple[int, int], list[float]] = {}
    for (y, x), norm in zip(report.places, report.norms, strict=True):
        token = tuple(min(side - 1, max(0, int((v + 0.5) / pitch))) for v in (y, x))
        norms.setdefault((token[0], token[1]), []).append(norm)
    means = {token: sum(values) / len(values) for token, values in norms.items()}
    counts = {token: len(values) for token, values in norms.items()}
    digits = 1 + max(len(str(count)) for count in counts.values())
    shades = _letters(" ░▒▓█", " .:*#")
    high = max(means.values()) or 1.0
    lines = [f"{name}: LPs at each token of the window, and their mean norm, up to {high:.2f}"]
    for y in range(side):
        left = "".join(f"{counts.get((y, x), '.'):>{digits}}" for x in range(side))
        levels = [means.get((y, x), 0.0) / high * (len(shades) - 1) for x in range(side)]
        right = "".join(2 * shades[round(level)] for level in levels)
        lines.append(f"{left}    {right}".rstrip())
    return lines


def history_lines(name: str, history: Sequence["LpMoment"]) -> list[str]:
    """A run's LPs by step: some lines, evenly chosen, and a curve."""
    lines = [f"{name}:    step  minutes  diversity  effective rank"]
    n = min(MOST_MOMENTS, len(history))
    chosen = [history[round(k * (len(history) - 1) / max(n - 1, 1))] for k in range(n)]
    for moment in chosen:
        rank = "-" if moment.effective_rank is None else f"{moment.effective_rank:.1f}"
        numbers = f"{moment.step:>8} {moment.minutes:>8.1f} {moment.diversity:>10.4f} {rank:>15}"
        lines.append(" " * (len(name) + 1) + numbers)
    curves = {
        "diversity": [moment.diversity for moment in history],
        "effective rank": [m.effective_rank for m in history if m.effective_rank is not None],
    }
    for what, values in curves.items():
        if values:
            ends = f"{min(values):.4g} to {max(values):.4g}"
            lines.append(f"{name}: {what:<14} {sparkline(values)}  {ends}")
    return lines


def sparkline(values: Sequence[float]) -> str:
    """Values as a line of letters from low to high, each the mean of its stretch."""
    n = min(SPARK, len(values))
    cuts = [round(k * len(values) / n) for k in range(n + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(means), max(means)
    steps = _letters("▁▂▃▄▅▆▇█", "_.-:=+*#")
    top = (len(steps) - 1) / (high - low) if high > low else 0.0
    return "".join(steps[round((mean - low) * top)] for mean in means)


def record(report: object) -> dict[str, object]:
    """A report as JSON holds it: without the arrays that only a picture shows."""
    import numpy as np

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if not isinstance(v, np.ndarray)}
        return value

    return {k: plain(v) for k, v in asdict(report).items() if not isinstance(v, np.ndarray)}  # type: ignore[call-overload]


def _letters(good: str, plain: str) -> str:
    """The good ones where stdout can hold them."""
    try:
        good.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return plain
    return good


def _range(low: float, mean: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}, mean {mean:.3f}"


def _place(place: tuple[float, float]) -> str:
    y, x = place
    return f"{x:g}, {y:g}"


def _reach(reach: "Reach") -> str:
    near, far = reach.radius(0.9), reach.radius(0.99)
    return f"90% within {near:g} px, 99% {far:g}; own window {reach.own_window:.0%}"
