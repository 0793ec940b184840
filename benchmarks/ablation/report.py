"""The results of a folder, and the tables that are printed of them."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from measuring import Result
from networks import Comparison, n_weight
from rich import box
from rich.table import Table

EXPECTED = "PSNR", "ms", "MB or weights"


def saved(file: Path, steps: int) -> list[Result]:
    """The results of a file that were trained for so many steps."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    results = [Result(**json.loads(line)) for line in lines]
    return [result for result in results if result.steps == steps]


def table(comparison: Comparison, results: Sequence[Result]) -> Table:
    """Means over the seeds, with the standard deviation in brackets."""
    keys = {arm.key for arm in comparison.arms}
    scores = next((list(r.psnr) for r in results if r.arm in keys), [])
    unit = "PSNR at" if comparison.config.base == "none" else "gain at"
    made = Table(title=comparison.title, box=box.MARKDOWN)
    for heading in ("network", *(f"{unit} {score}" for score in scores), "weights", "ms", "ms a step",
                    "MB", "diversity", *(f"expected {what}" for what in EXPECTED), "seeds"):  # fmt: skip
        made.add_column(heading)
    for arm in comparison.arms:
        own = [result for result in results if result.arm == arm.key]
        made.add_row(
            arm.name,
            *(spread([result.psnr[score] for result in own]) for score in scores),
            f"{n_weight(arm.config) / 1e3:.1f} K",
            spread([result.ms for result in own], 0),
            spread([result.step_ms for result in own], 0),
            f"{own[0].mb:.0f}" if own else "-",
            spread([result.diversity for result in own if result.diversity is not None]),
            *arm.expected,
            str(len(own)),
        )
    return made


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The mean, and the standard deviation of several values in brackets."""
    if not values:
        return "-"
    deviation = f" ({statistics.stdev(values):.{digits}f})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"
