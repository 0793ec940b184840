"""The output of `ginr inspect-lps`: a table with a column per checkpoint, maps, a run's history."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ginr.lps.banks import BankReport
    from ginr.lps.history import LpMoment
    from ginr.lps.reach import Reach
    from ginr.lps.report import LpReport
    from ginr.lps.response import PictureReport

LABEL = 24  # width of the first column
MOST_TOKENS = 16  # largest side of a window in tokens that is printed
MOST_MOMENTS = 8  # most lines of a run's history
SPARK = 48  # most characters of its curve

Row = tuple[str, str]


def table(names: Sequence[str], columns: Sequence[Sequence[Row]]) -> list[str]:
    """Lines with the rows of all columns side by side; missing cells are blank."""
    labels = list(dict.fromkeys(label for rows in columns for label, _ in rows))
    named = [dict(rows) for rows in columns]
    cells = _aligned([names, *([rows.get(label, "") for rows in named] for label in labels)])
    return [
        f"{label:<{LABEL}}{row}" for label, row in zip(("checkpoint", *labels), cells, strict=True)
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, its cells as wide as their columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


_CHANGES = {
    "equal_lps": "with equal LPs",
    "shuffled_lps": "with shuffled LPs",
    "no_scan": "without scans",
    "no_memory": "without their memory",
}
_EACH = {"place": "token", "window": "window"}


def lp_rows(report: "LpReport") -> list[Row]:
    """The rows on a checkpoint's LPs."""
    off = report.diversity_off_diagonal
    rows = [
        ("LPs", f"{report.n_lp} of width {report.width} per {_EACH[report.bank]}"),
        ("placement", report.placement),
        ("norm", _range(report.norm_min, report.norm_mean, report.norm_max)),
        ("diversity", f"{report.diversity:.4f}"),
        ("diversity off diagonal", "-" if off is None else f"{off:.4f}"),
        ("effective rank", f"{report.effective_rank:.1f} of {min(report.n_lp, report.width)}"),
    ]
    if (explained := report.explained) is not None:
        share = f"{explained.row_and_column:.0%} of the variance"
        rows.append(("row and column explain", f"{share} ({explained.by_chance:.0%} by chance)"))
    for k, pair in enumerate(report.nearest):
        places = (report.places[n] for n in (pair.first, pair.second))
        one, other = (f"{x:g}, {y:g}" for y, x in places)
        label = "most similar, at x, y" if k == 0 else " " * k  # distinct blank labels
        rows.append((label, f"{pair.similarity:.3f}  {one} and {other}"))
    return rows


def picture_rows(report: "PictureReport") -> list[Row]:
    """The rows on the encoded LPs of a picture."""
    top, left, bottom, right = report.box
    least, mean, most = report.window_diversity
    return [
        ("picture", f"{right - left}x{bottom - top} pixels from {left}, {top}"),
        ("encoded LPs", str(report.n_encoded)),
        ("  norm", _range(report.norm_min, report.norm_mean, report.norm_max)),
        ("  diversity", f"{report.diversity:.4f}"),
        ("  in one window", f"{least:.2f} to {most:.2f}, mean {mean:.2f}"),
        ("  effective rank", f"{report.effective_rank:.1f}"),
        ("  variance in windows", f"{report.within_windows:.0%}"),
        ("effect of one LP", _reach(report.effect)),
        ("receptive field", _reach(report.sight)),
        *(
            (words, f"{report.changed_db[name]:+.3f} dB at x2")
            for name, words in _CHANGES.items()
            if name in report.changed_db
        ),
    ]


def bank_lines(name: str, reports: Sequence["BankReport"]) -> list[str]:
    """The banks of a checkpoint, each with its distance from those before it."""
    rows = [
        ("bank", "norm", "diversity", "effective rank", *(f"to {r.name}" for r in reports[:-1]))
    ]
    for k, report in enumerate(reports):
        numbers = (
            f"{report.norm_mean:.3f}",
            f"{report.diversity:.4f}",
            f"{report.effective_rank:.1f}",
        )
        before = [other.name for other in reports[:k]]
        apart = [f"{report.cosine[n]:.3f} ({report.distance[n]:.2f})" for n in before]
        rows.append((report.name, *numbers, *apart, *[""] * (len(reports) - 1 - k)))
    title = f"{name}: banks, with the cosine similarity (and relative distance) to each other"
    return [title, *_aligned(rows)]


def window_map(name: str, report: "LpReport") -> list[str]:
    """Maps of a window: the number of LPs at each token, and their mean norm."""
    side = report.token_side
    if side > MOST_TOKENS:
        return [f"{name}: a window of {side}x{side} tokens is too large to print: use --plot"]
    if report.bank == "place":
        return [f"{name}: every token of the window has the same {report.n_lp} LPs"]
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
    lines = [f"{name}: LPs at each token of the window, and their mean norm (up to {high:.2f})"]
    for y in range(side):
        left = "".join(f"{counts.get((y, x), '.'):>{digits}}" for x in range(side))
        levels = [means.get((y, x), 0.0) / high * (len(shades) - 1) for x in range(side)]
        right = "".join(2 * shades[round(level)] for level in levels)
        lines.append(f"{left}    {right}".rstrip())
    return lines


def history_lines(name: str, history: Sequence["LpMoment"]) -> list[str]:
    """A run's LPs over time: evenly chosen steps, and a curve."""
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
    """Values as a line of characters from low to high, each the mean of a section."""
    n = min(SPARK, len(values))
    cuts = [round(k * len(values) / n) for k in range(n + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(means), max(means)
    steps = _letters("▁▂▃▄▅▆▇█", "_.-:=+*#")
    top = (len(steps) - 1) / (high - low) if high > low else 0.0
    return "".join(steps[round((mean - low) * top)] for mean in means)


def record(report: Any) -> dict[str, object]:
    """A report for JSON, without its arrays."""
    import numpy as np

    def without_arrays(items: list[tuple[str, object]]) -> dict[str, object]:
        return {name: value for name, value in items if not isinstance(value, np.ndarray)}

    return asdict(report, dict_factory=without_arrays)


def _letters(good: str, plain: str) -> str:
    """`good` if stdout can encode it, else `plain`."""
    try:
        good.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return plain
    return good


def _range(low: float, mean: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}, mean {mean:.3f}"


def _reach(reach: "Reach") -> str:
    near, far = reach.radius(0.9), reach.radius(0.99)
    return f"90% within {near:g} px, 99% {far:g}; own window {reach.own_window:.0%}"
