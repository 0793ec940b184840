"""Diversity and effective rank of the LPs during a training run, from its log."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from ginr.errors import GinrError, printable

LOG = "metrics.jsonl"


@dataclass(frozen=True)
class LpMoment:
    """Measures of the LPs after `step` steps."""

    step: int
    minutes: float
    diversity: float
    effective_rank: float | None  # None for runs older than this log entry


def lp_history(folder: Path) -> list[LpMoment]:
    """The LPs of a run by step, from its log; damaged lines are skipped.

    Raises GinrError if there is no log, or no LP diversity in it.
    """
    path = folder / LOG
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise GinrError(
            f"{printable(path)}: cannot be read: {error.strerror}: name the folder of a run of "
            "ginr train, or a checkpoint"
        ) from None
    moments = [moment for line in lines if (moment := _moment(line)) is not None]
    if not moments:
        raise GinrError(
            f"{printable(path)}: no LP diversity in it yet: a line is logged every few dozen steps "
            "of a network with LPs"
        )
    return moments


def _moment(line: str) -> LpMoment | None:
    try:
        values = json.loads(line)
        rank = values.get("lp_effective_rank")
        minutes, diversity = float(values["minutes"]), float(values["lp_diversity"])
        rank = None if rank is None else float(rank)
        if not all(math.isfinite(number) for number in (minutes, diversity, rank or 0.0)):
            return None
        return LpMoment(int(values["step"]), minutes, diversity, rank)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
