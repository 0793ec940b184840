"""Options and arguments that several commands share, and those of `upscale` and `train`."""

import math
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ginr_cli.completion import complete_checkpoint


def option(
    names: str, help: str, *, between: tuple[float, float] | None = None, **settings: Any
) -> Any:
    """An option, its names as in "--scale -s SCALE": the placeholder of its value comes last.

    `between` are the lowest and the highest value. (Typer's `min` and `max` show up in the help.)
    """
    parts = names.split()
    if between is not None:
        settings["callback"] = _within(*between)
    metavar = None if parts[-1].startswith("-") else parts.pop()
    return typer.Option(*parts, metavar=metavar, help=help, **settings)


def _within(low: float, high: float) -> Callable[[float | None], float | None]:
    def check(value: float | None) -> float | None:
        if value is not None and not low <= value <= high:
            wanted = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            raise typer.BadParameter(f"{value:g} is out of range: give a number {wanted}")
        return value

    return check


def argument(metavar: str, help: str, **settings: Any) -> Any:
    """A positional argument."""
    return typer.Argument(metavar=metavar, help=help, **settings)


def _path(text: str) -> Path:
    if not text:
        raise typer.BadParameter("empty path: write . for the current folder")
    return Path(text)


class NumberFormat(StrEnum):
    """What the network computes in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


_SIZES = "1920x (width), x1080 (height), 1920x1080 (fit inside) or 1920x1080! (exact)."
_DEVICES = (
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
        "a .safetensors file or the folder of a run. Without it, small, and photo for damaged "
        "pictures. ginr models lists what there is.",
        autocompletion=complete_checkpoint,
    ),
]
Restore = Annotated[
    str | None,
    option(
        "--restore STRENGTH",
        "How much noise, compression and blur are undone: off, or from 0 to 1. auto looks at the picture. "
        "With --bank, the default is off.",
        show_default="auto",
    ),
]
Bank = Annotated[
    str | None,
    option(
        "--bank NAME|FILE",
        "The LPs of another bank: one of the checkpoint's, or a file of ginr train --bank.",
    ),
]
Device = Annotated[str, option("--device DEVICE", _DEVICES)]
Devices = Annotated[
    str,
    option(
        "--device DEVICE[,DEVICE]",
        f"{_DEVICES} Several devices, as in cuda:0,cuda:1, share the pictures.",
    ),
]
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
    bool, option("--overwrite", "Replace an existing file that an option, such as -o, names.")
]
Named = Annotated[
    Path | None,
    option("--output -o FILE", "The same as OUTPUT; needed to replace a file.", parser=_path),
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

# upscale
Paths = Annotated[
    list[str],
    argument(
        "INPUT",
        "Pictures and folders, quoted patterns such as '*.jpg', lists of paths such as @list.txt, "
        "or - for standard input. With exactly two paths, the second is the output, as with cp, "
        "unless it is a file that exists.",
    ),
]
Output = Annotated[
    str | None,
    option(
        "--output -o FILE|FOLDER",
        "Where to write; a file's suffix sets its format. Default: photo_x2.png next to photo.png. "
        "- is standard output. A template names every output, as in "
        '"large/{name}_{width}x{height}.webp"; it may also hold {folder} and {label}.',
    ),
]
Paper = Annotated[
    str | None,
    option(
        "--print PAPER",
        "Fit the picture into this print size at --dpi (default 300): A4 or 10x15 (cm), turned to "
        "the picture, or 30x20cm, 300x200mm or 12x8in as it is.",
    ),
]
Dpi = Annotated[
    float | None,
    option(
        "--dpi DPI", "Resolution to store in the file. Default: the input's.", between=(1, 65535)
    ),
]
Box = Annotated[
    str | None,
    option(
        "--box X,Y,W,H",
        "Enlarge only this part: 100,50,640,480 (input pixels), 25%,25%,50%,50% or "
        "0.25,0.25,0.5,0.5. The result is that part of the whole enlargement, pixel for pixel. "
        "--size and --print apply to the part.",
    ),
]
Suffix = Annotated[
    str | None,
    option(
        "--format SUFFIX",
        "Format of outputs without a given file name: png, jpg, webp, tif, ... "
        "Default: the input's.",
    ),
]

# train
Folders = Annotated[
    list[Path] | None,
    argument("FOLDER", "Folders of training pictures, subfolders included.", parser=_path),
]
Run = Annotated[
    Path | None,
    option(
        "--run DIR",
        "Folder of the run: its checkpoint, and what is needed to resume it. "
        "Default: a new folder, runs/DATE_TIME.",
        parser=_path,
    ),
]
Preset = Annotated[
    str | None,
    option(
        "--preset NAME",
        "Network configuration: small (default), base, photo, crisp, plain or reconstruct.",
    ),
]
Minutes = Annotated[
    float | None,
    option(
        "--minutes MINUTES",
        "Training time of the whole run, resumed or not. Default: 60, unless --steps is given.",
    ),
]
Steps = Annotated[int | None, option("--steps N", "Length of the run in steps instead.")]
StopAfter = Annotated[
    float | None,
    option(
        "--stop-after MINUTES",
        "Save and exit after this time, which includes reading the pictures. "
        "The same command resumes the run.",
    ),
]
Batch = Annotated[
    int | None, option("--batch N", "Crops per step. Default: 8; with presets base, 32; photo, 4.")
]
Crop = Annotated[
    int | None,
    option(
        "--crop PIXELS",
        "Side of a crop in input pixels. Default: 32; with presets base and photo, 48; reconstruct, 64.",
    ),
]
Rate = Annotated[
    float | None,
    option(
        "--rate RATE",
        "Peak learning rate. Default: 3e-3; with presets base and reconstruct, 2e-3; photo, 1e-3.",
    ),
]
Seed = Annotated[int | None, option("--seed N", "Random seed (default 0).")]
Init = Annotated[
    str | None,
    option(
        "--init NAME|FILE",
        "Start from the weights of a checkpoint with the same configuration. The default rate "
        "adapts fastest to another kind of picture; a tenth of it forgets least.",
    ),
]
NewBank = Annotated[
    str | None,
    option(
        "--bank NAME",
        "Train a bank of this name: LPs alone, for the network of --init, which stays as it is. "
        "Default: 3 minutes at rate 1e-2.",
    ),
]
Config = Annotated[
    Path | None,
    option("--config FILE", "TOML file of settings, such as the config.toml of another run."),
]
Set = Annotated[
    list[str] | None,
    option("--set KEY=VALUE", "Change one setting (see --show-config). May be repeated."),
]
ShowDegradation = Annotated[
    Path | None,
    option(
        "--show-degradation SHEET",
        "Write a picture of what the degradation does to the first pictures, and exit.",
    ),
]
ShowConfig = Annotated[
    bool, option("--show-config", "Print all settings with their meaning, and exit.")
]
