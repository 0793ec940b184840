"""Options and arguments that several commands share."""

import math
import os
from collections.abc import Callable
from enum import StrEnum
from glob import escape, glob
from pathlib import Path
from typing import Annotated, Any

import typer


def option(
    names: str, help: str, *, between: tuple[float, float] | None = None, **settings: Any
) -> Any:
    """An option with names as in "--scale -s SCALE", where the last word stands for the value.

    `between` holds the lowest and the highest value. (Typer's `min` and `max` would show up in the help.)
    """
    parts = names.split()
    if between is not None:
        settings["callback"] = _within(*between)
    metavar = None if parts[-1].startswith("-") else parts.pop()
    return typer.Option(*parts, metavar=metavar, help=_plain(help), **settings)


def _within(low: float, high: float) -> Callable[[float | None], float | None]:
    def check(value: float | None) -> float | None:
        if value is not None and not low <= value <= high:
            wanted = f"at least {low:g}" if high == math.inf else f"from {low:.9g} to {high:.9g}"
            raise typer.BadParameter(f"{value:.9g} is out of range: give a number {wanted}")
        return value

    return check


def argument(metavar: str, help: str, **settings: Any) -> Any:
    """A positional argument."""
    return typer.Argument(metavar=metavar, help=_plain(help), **settings)


def _plain(text: str) -> str:
    """Text that Rich shows as it is: it would take [video] for markup and leave it out."""
    return text.replace("[", r"\[")


def parse_path(text: str) -> Path:
    if not text:
        raise typer.BadParameter("empty path: write . for the current folder")
    return Path(text)


def complete_checkpoint(incomplete: str) -> list[str]:
    """Names of checkpoints, files of checkpoints and folders that begin with a text."""
    from ginr.checkpoints.checkpoint import shipped_checkpoints

    found = [name for name in shipped_checkpoints() if name.startswith(incomplete)]
    for path in sorted(glob(f"{escape(incomplete)}*")):
        if os.path.isdir(path):
            is_run = os.path.exists(os.path.join(path, "model.safetensors"))
            found.append(path if is_run else os.path.join(path, ""))
        elif path.endswith(".safetensors"):
            found.append(path)
    return found


class NumberFormat(StrEnum):
    """The number format of the computation."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


_SIZES = "1920x (width), x1080 (height), 1920x1080 (fit inside) or 1920x1080! (exact)."
DEVICES = (
    "cpu, cuda, cuda:1 for the second GPU, or mps for Apple's. auto uses a GPU if CUDA works, else "
    "the CPU."
)

Image = Annotated[Path, argument("IMAGE", "The picture.")]
Scale = Annotated[
    str | None,
    option("--scale -s SCALE", "Scale factor from 1 to 30: 3.7, 370%, or 2x3 (width x height)."),
]
Size = Annotated[str | None, option("--size SIZE", f"Output size in pixels: {_SIZES}")]
Checkpoint = Annotated[
    str,
    option(
        "--checkpoint --model -c NAME|FILE",
        "small (fast), base (better, about four times slower), a .safetensors file or the folder "
        "of a run.",
        autocompletion=complete_checkpoint,
    ),
]
ChosenCheckpoint = Annotated[
    str | None,
    option(
        "--checkpoint --model -c NAME|FILE",
        "small (fast), base (better, about four times slower), photo (restores damaged pictures), "
        "a .safetensors file or the folder of a run. Default: small, and photo for damaged "
        "pictures. ginr models lists all checkpoints.",
        autocompletion=complete_checkpoint,
    ),
]
Bank = Annotated[
    str | None,
    option(
        "--bank NAME|FILE",
        "Use the LPs of another bank: one in the checkpoint, or a file written by ginr train --bank.",
    ),
]
Device = Annotated[str, option("--device DEVICE", DEVICES)]
Precision = Annotated[
    NumberFormat,
    option(
        "--precision auto|float32|bfloat16",
        "Number format of the computation. auto picks the faster one.",
    ),
]
Tile = Annotated[
    int,
    option(
        "--tile PIXELS",
        "Side of a tile in input pixels; 0 fits it to the free memory.",
        between=(0, math.inf),
    ),
]
Ensemble = Annotated[
    bool, option("--ensemble", "Average over four mirrored copies: better, four times slower.")
]
Quality = Annotated[
    int | None,
    option(
        "--quality -q NUMBER",
        "Quality for JPEG (default 95), AVIF (default 90), WebP (lossless by default) and videos "
        "(default 70).",
        between=(1, 100),
    ),
]
Overwrite = Annotated[
    bool, option("--overwrite", "Replace existing files that an option such as -o names.")
]
Named = Annotated[
    Path | None,
    option(
        "--output -o FILE", "The same as OUTPUT; required to replace a file.", parser=parse_path
    ),
]
Strict = Annotated[
    bool,
    option("--strict", "Refuse pictures with any fault in the file, even if the pixels are fine."),
]
AllowTruncated = Annotated[
    bool, option("--allow-truncated", "Read incomplete pictures; the missing part is blank.")
]
AllowLarge = Annotated[
    bool,
    option(
        "--allow-large",
        "Lift the limits for untrusted files: a gigapixel, 60 seconds and 16,384 pages.",
    ),
]
Json = Annotated[bool, option("--json", "Print JSON to stdout, one object per line.")]
