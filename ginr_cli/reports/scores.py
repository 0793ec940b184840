"""What `ginr evaluate` finds: lines and means of a table, one JSON object, a CSV file."""

import csv
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ginr_cli import console

if TYPE_CHECKING:
    from ginr.measuring.benchmark import Mean, Quality, Score

Row = dict[str, object]

_HEADER = " scale  PSNR-Y bicubic   gain x4+Lanczos  PSNR-RGB bicubic  SSIM-Y bicubic  "
_FIRST = ("folder", "picture", "scale", "width", "height")
"""The columns that say what a row of numbers is of."""


@dataclass
class ScoreReport:
    """Tells what was measured and what could not be, and keeps both."""

    as_json: bool
    scores: "list[tuple[str, Score]]" = field(default_factory=list)
    """With the folder of each."""
    too_small: list[Row] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)
    notes: list[Row] = field(default_factory=list)

    def add(self, folder: str, score: "Score") -> None:
        """A picture is measured at a scale."""
        if not self.as_json:
            if not self.scores:
                console.result(_HEADER + "picture")
            console.result(_line(score.scale, score) + console.printable(Path(score.picture)))
        self.scores.append((folder, score))

    def note(self, path: Path, notes: Sequence[str]) -> None:
        """What a picture is measured without."""
        if notes:
            console.say_notes(path, notes)
            self.notes.append({"picture": str(path), "notes": list(notes)})

    def leave_out(self, folder: str, path: Path, scale: float, problem: Exception) -> None:
        """A picture is too small for a scale; the other scales count."""
        console.say(f"{console.printable(path)}: {problem}; left out of its mean")
        self.too_small.append({"folder": folder, "picture": str(path), "scale": scale})

    def fail(self, path: Path, problem: Exception) -> None:
        """A picture or folder could not be used; with GINR_DEBUG set, that ends the run."""
        if console.debugging():
            raise problem
        console.error(console.describe(problem))
        self.failed.append({"input": str(path), "error": console.describe(problem)})

    def conclude(self, facts: Row) -> None:
        """The means as a table, or one JSON object with `facts`, the means and everything else."""
        means = self._means()
        if self.as_json:
            console.result_json(
                {
                    **facts,
                    "means": [_finite({"folder": name, **asdict(mean)}) for name, mean in means],
                    "pictures": [_finite(row) for row in self._rows()],
                    "too_small": self.too_small,
                    "failed": self.failed,
                    "notes": self.notes,
                }
            )
        elif means:
            console.result(f"\n{_HEADER}mean of")
            for name, mean in means:
                console.result(_line(mean.scale, mean) + _extent(name, mean))
        console.say(self._count())

    def write_csv(self, path: Path, overwrite: bool) -> None:
        """A row per picture and scale, all of them or no file; raises `GinrError`."""
        from ginr.errors import GinrError
        from ginr.measuring.benchmark import Score

        columns = dict.fromkeys((*_FIRST, *Score.__dataclass_fields__))
        target = Path(os.path.realpath(path))  # a link stays a link
        temporary = target.with_name(f".ginr-{secrets.token_hex(8)}.part")
        try:
            # A name that is not UTF-8 goes out as it came in.
            with temporary.open("x", newline="", encoding="utf-8", errors="surrogateescape") as f:
                writer = csv.DictWriter(f, list(columns))
                writer.writeheader()
                writer.writerows(self._rows())
            check_csv(path, overwrite)  # the work took time
            os.replace(temporary, target)
        except OSError as error:
            reason = error.strerror or str(error)
            name = console.printable(path)
            raise GinrError(f"{name} cannot be written ({reason}): choose another place") from None
        finally:
            temporary.unlink(missing_ok=True)

    def _means(self) -> "list[tuple[str, Mean]]":
        """One per folder and scale, over the pictures whose PSNR is finite."""
        from ginr.measuring.benchmark import mean

        groups: dict[tuple[str, float], list[Score]] = {}
        for folder, score in self.scores:
            groups.setdefault((folder, score.scale), []).append(score)
        means = []
        for (folder, scale), scores in groups.items():
            if exact := [score.picture for score in scores if score.is_exact]:
                names = ", ".join(console.printable(Path(name)) for name in exact)
                console.say(f"x{scale:g}: no finite PSNR, left out of the mean: {names}")
            if finite := [score for score in scores if not score.is_exact]:
                means.append((folder, mean(finite)))
        return means

    def _rows(self) -> list[Row]:
        """A flat record per picture and scale, what it is of first."""
        rows = []
        for folder, score in self.scores:
            values: Row = {"folder": folder, **asdict(score)}
            first = {column: values.pop(column) for column in _FIRST}
            rows.append(first | values)
        return rows

    def _count(self) -> str:
        parts = [f"{len({score.picture for _, score in self.scores})} measured"]
        if self.too_small:
            parts.append(f"{len({row['picture'] for row in self.too_small})} too small for a scale")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        return ", ".join(parts)


def check_csv(path: Path, overwrite: bool) -> None:
    """Refuses a place where no table can be put: `UsageError` or `GinrError`."""
    from ginr.pictures.formats import check_place

    if path.exists() and not (path.is_file() or path.is_dir()):
        raise console.UsageError(f"--csv: {console.printable(path)} is not an ordinary file")
    check_place(path, overwrite)


def _line(scale: float, quality: "Quality") -> str:
    """The numbers of a line of the table, under `_HEADER`."""
    by_lanczos = quality.psnr_y_x4_lanczos
    return (
        f"{f'x{scale:g}':>6} {quality.psnr_y:7.2f} {quality.psnr_y_bicubic:7.2f} "
        f"{quality.gain_y:+6.2f} {'-' if by_lanczos is None else f'{by_lanczos:.2f}':>10} "
        f"{quality.psnr_rgb:9.2f} {quality.psnr_rgb_bicubic:7.2f} "
        f"{quality.ssim_y:7.4f} {quality.ssim_y_bicubic:7.4f}  "
    )


def _extent(folder: str, mean: "Mean") -> str:
    """What a mean is of, and the picture that gains least."""
    worst = f"worst gain {mean.worst_gain_y:+.2f}: {console.printable(Path(mean.worst_picture))}"
    return f"{mean.pictures} in {console.printable(Path(folder))}, {worst}"


def _finite(row: Mapping[str, object]) -> Row:
    """JSON knows no infinity: null stands for it."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
