"""The numbers of a run as it goes: `metrics.jsonl`, one JSON object per line."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from ginr.errors import GinrError


class RunLog:
    """Appends to a run's log; a run that goes on first drops what it had logged after its save."""

    def __init__(self, folder: Path, step: int) -> None:
        """The run in `folder` goes on after `step`. Raises GinrError if it cannot be written."""
        self.path = folder / "metrics.jsonl"
        try:
            lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
            kept = [line for line in lines if _step_of(line) <= step]
            if len(kept) < len(lines):
                self.path.write_text("".join(f"{line}\n" for line in kept), "utf-8")
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._failure(error) from None

    def __enter__(self) -> Self:
        """Nothing is written yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def write(self, kind: str, step: int, values: Mapping[str, object]) -> None:
        """One line: `kind`, `step` and the values. Raises GinrError if it cannot be written."""
        try:
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error: OSError) -> GinrError:
        return GinrError(f"{self.path}: cannot be written: {error.strerror}")


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, LookupError, TypeError):  # a line cut short by a crash
        return float("inf")
