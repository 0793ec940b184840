"""The results of `ginr evaluate`: a table with means, a JSON object, a CSV file."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.errors import printable
from ginr_cli import console

if TYPE_CHECKING:
    from ginr.measuring.benchmark import Mean, Quality, Score

Row = dict[str, object]

_HEADER = " scale  PSNR-Y bicubic   gain x4+Lanczos  PSNR-RGB bicubic  SSIM-Y bicubic  "
_PERCEPTUAL_HEADER = "  LPIPS bicubic   DISTS bicubic  "
_FIRST = ("folder", "picture", "scale", "width", "height")
"""The columns that come before the numbers."""


@dataclass
class ScoreReport:
    """Prints and collects scores and failures."""

    as_json: bool
    scores: "list[tuple[str, Score]]" = field(default_factory=list)  # each with its folder
    too_small: list[Row] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)
    notes: list[Row] = field(default_factory=list)

    def add(self, folder: str, score: "Score") -> None:
        """Add a picture's score at a scale."""
        if not self.as_json:
            if not self.scores:
                console.result(_header(score) + "picture")
            console.result(_line(score.scale, score) + printable(score.picture))
        self.scores.append((folder, score))

    def note(self, path: Path, notes: Sequence[str]) -> None:
        """Note what a picture is measured without."""
        if notes:
            console.say_notes(path, notes)
            self.notes.append({"picture": str(path), "notes": list(notes)})

    def leave_out(self, folder: str, path: Path, scale: float, problem: Exception) -> None:
        """Note that a picture is too small for a scale."""
        console.say(f"{printable(path)}: {problem}; not in the mean")
        self.too_small.append({"folder": folder, "picture": str(path), "scale": scale})

    def fail(self, path: Path, problem: Exception) -> None:
        """Report an unusable picture or folder; raises the problem if GINR_DEBUG is set."""
        if console.debugging():
            raise problem
        console.error(console.describe(problem))
        self.failed.append({"input": str(path), "error": console.describe(problem)})

    def conclude(self, facts: Row) -> None:
        """Print the means as a table, or everything as one JSON object that starts with `facts`."""
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
            console.result(f"\n{_header(means[0][1])}mean of")
            for name, mean in means:
                console.result(_line(mean.scale, mean) + _extent(name, mean))
        console.say(self._count())

    def write_csv(self, path: Path, overwrite: bool) -> None:
        """Write a row per picture and scale, all or nothing; raises `GinrError`."""
        from ginr.measuring.benchmark import Score
        from ginr.pictures.writer import whole_file

        columns = dict.fromkeys((*_FIRST, *Score.__dataclass_fields__))
        # File names that are not UTF-8 are written as the bytes they are.
        with (
            whole_file(path, overwrite) as file,
            io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="") as text,
        ):
            writer = csv.DictWriter(text, list(columns))
            writer.writeheader()
            writer.writerows(self._rows())

    def _means(self) -> "list[tuple[str, Mean]]":
        """The mean per folder and scale, over pictures with finite PSNR."""
        from ginr.measuring.benchmark import mean

        groups: dict[tuple[str, float], list[Score]] = {}
        for folder, score in self.scores:
            groups.setdefault((folder, score.scale), []).append(score)
        means = []
        for (folder, scale), scores in groups.items():
            if exact := [score.picture for score in scores if score.is_exact]:
                names = ", ".join(printable(name) for name in exact)
                console.say(f"x{scale:g}: infinite PSNR, not in the mean: {names}")
            if finite := [score for score in scores if not score.is_exact]:
                means.append((folder, mean(finite)))
        return means

    def _rows(self) -> list[Row]:
        """A flat record per picture and scale."""
        rows = []
        for folder, score in self.scores:
            values: Row = {"folder": folder, **asdict(score)}
            first = {column: values.pop(column) for column in _FIRST}
            rows.append(first | values)
        return rows

    def _count(self) -> str:
        parts = [f"{len({score.picture for _, score in self.scores})} measured"]
        if self.too_small:
            parts.append(
                f"{len({row['picture'] for row in self.too_small})} too small for some scale"
            )
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        return ", ".join(parts)


def check_csv(path: Path, overwrite: bool) -> None:
    """Raises `UsageError` or `GinrError` if no table can be written here."""
    from ginr.pictures.formats import check_place

    if path.exists() and not (path.is_file() or path.is_dir()):
        raise console.UsageError(f"--csv: {printable(path)} is not a regular file")
    check_place(path, overwrite)


def _header(quality: "Quality") -> str:
    return _HEADER + _PERCEPTUAL_HEADER * (quality.lpips is not None)


def _line(scale: float, quality: "Quality") -> str:
    """A line of the table, for the columns of `_header`."""
    by_lanczos = quality.psnr_y_x4_lanczos
    looks = quality.lpips, quality.lpips_bicubic, quality.dists, quality.dists_bicubic
    line = (
        f"{f'x{scale:g}':>6} {quality.psnr_y:7.2f} {quality.psnr_y_bicubic:7.2f} "
        f"{quality.gain_y:+6.2f} {'-' if by_lanczos is None else f'{by_lanczos:.2f}':>10} "
        f"{quality.psnr_rgb:9.2f} {quality.psnr_rgb_bicubic:7.2f} "
        f"{quality.ssim_y:7.4f} {quality.ssim_y_bicubic:7.4f}  "
    )
    numbers = [f"{value:7.4f} " for value in looks if value is not None]
    return line + "".join([*numbers, " "] if numbers else [])


def _extent(folder: str, mean: "Mean") -> str:
    """The pictures of a mean, and the one with the lowest gain."""
    worst = f"lowest gain {mean.worst_gain_y:+.2f}: {printable(mean.worst_picture)}"
    return f"{console.count(mean.pictures, 'picture')} in {printable(folder)}, {worst}"


def _finite(row: Mapping[str, object]) -> Row:
    """The row with null for infinity and NaN, which JSON lacks."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
