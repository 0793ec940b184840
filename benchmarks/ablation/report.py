"""The results of a folder, and the tables that are printed of them."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from networks import Arm, Comparison, n_weight
from rich import box
from rich.table import Table
from trials import Result

T = TypeVar("T")
R = TypeVar("R", bound=Any)
EXPECTED = "PSNR", "ms", "MB or weights"


def kept_in(file: Path, kind: type[T]) -> list[T]:
    """The results of a file, one of `kind` for each line; none if there is no file."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [kind(**json.loads(line)) for line in lines]


def keep(file: Path, found: Sequence[Any]) -> None:
    """Adds results, which are dataclasses, to a file."""
    with file.open("a", encoding="utf-8") as lines:
        lines.writelines(json.dumps(asdict(one)) + "\n" for one in found)


def of_arm(results: Sequence[R], arm: Arm) -> list[R]:
    """The results of a network, `Result` or `times.Times`."""
    found = n_weight(arm.config)
    return [result for result in results if result.arm == arm.key and result.n_weight == found]


def table(comparison: Comparison, results: Sequence[Result], taken: Sequence[Any]) -> Table:
    """Means over the seeds, with the standard deviation in brackets; the `times.Times` of each network."""
    measured = {arm.name: of_arm(results, arm) for arm in comparison.arms}
    scores = next((list(own[0].psnr) for own in measured.values() if own), [])
    unit = "PSNR at" if comparison.config.base == "none" else "gain at"
    made = Table(title=comparison.title, box=box.MARKDOWN)
    for heading in ("network", *(f"{unit} {score}" for score in scores), "weights", "ms", "ms a step",
                    "MB", "diversity", *(f"expected {what}" for what in EXPECTED), "seeds"):  # fmt: skip
        made.add_column(heading)
    for arm in comparison.arms:
        own = measured[arm.name]
        made.add_row(
            arm.name,
            *(spread([result.psnr[score] for result in own]) for score in scores),
            f"{n_weight(arm.config) / 1e3:.1f} K",
            *(
                f"{value:.0f}"
                for one in taken
                if of_arm([one], arm)
                for value in (one.ms, one.step_ms)
            ),
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
