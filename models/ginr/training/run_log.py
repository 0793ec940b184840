"""The numbers of a run: `metrics.jsonl`, one JSON object per line, and files for TensorBoard."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ginr.array_types import Image
from ginr.errors import GinrError
from ginr.lps.history import LOG


class RunLog:
    """Appends to the log of a run, after removing what was logged later than the last save."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False) -> None:
        """The run in `folder` continues after `step`.

        Raises GinrError if the log cannot be written, or tensorboardX is needed and missing.
        """
        self._board = _board(folder, step) if tensorboard else None
        self.path = folder / LOG
        try:
            lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
            kept = [line for line in lines if _step_of(line) <= step]
            if len(kept) < len(lines):
                self.path.write_text("".join(f"{line}\n" for line in kept), "utf-8")
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def write(self, kind: str, step: int, values: Mapping[str, object]) -> None:
        """One line: `kind`, `step` and the values. Raises GinrError if it cannot be written."""
        try:
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from None
        if self._board is not None:
            for name, value in values.items():
                parts = value.items() if isinstance(value, Mapping) else [("", value)]
                for part, number in parts:
                    self._board.add_scalar(f"{kind}/{name}/{part}".rstrip("/"), number, step)

    def show(self, name: str, step: int, image: Image) -> None:
        """A picture (H, W, 3) for TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats="HWC")

    def _failure(self, error: OSError) -> GinrError:
        return GinrError(f"{self.path}: cannot be written: {error.strerror}")


def _board(folder: Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise GinrError(
            "tensorboard is set, but tensorboardX is missing: pip install 'ginr[train]'"
        ) from None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, LookupError, TypeError):  # a line cut short by a crash
        return float("inf")
