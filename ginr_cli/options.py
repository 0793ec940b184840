"""The arguments and options of the commands, each with its help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


def _path(text: str) -> Path:
    if not text:
        raise typer.BadParameter("an empty name is no path: write . for this folder")
    return Path(text)


class Precision(StrEnum):
    """The number format the network computes in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


CheckpointOption = Annotated[
    str,
    typer.Option(
        "--checkpoint",
        "-c",
        metavar="NAME|FILE",
        help="small is quick, base better and about four times slower; or a .safetensors file.",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="cpu, cuda or cuda:1 (the second GPU); auto takes CUDA where it works, else the CPU.",
    ),
]
DevicesOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE[,DEVICE]",
        help="cpu, cuda or cuda:1 (the second GPU); auto takes CUDA where it works, else the CPU. "
        "Of several, cuda:0,cuda:1, each takes the next picture of a folder.",
    ),
]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="auto takes what is faster on the device.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout, one object per line.")
]
PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Pictures and folders. Of exactly two paths the second is the output, as with cp.",
    ),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|FOLDER",
        help="Where to write; a suffix picks the format. Left out: photo_x2.png beside photo.png.",
    ),
]
ScaleOption = Annotated[
    str | None,
    typer.Option(
        "--scale",
        "-s",
        metavar="SCALE",
        help="3.7, 370%, or 2x3 for width x height; from 1 to 30. 2 unless a size is given.",
    ),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="SIZE",
        help="Pixels: 1920x (width), x1080 (height), 1920x1080 (fits inside), 1920x1080! (exact).",
    ),
]
PrintOption = Annotated[
    str | None,
    typer.Option(
        "--print",
        metavar="PAPER",
        help="30x20cm, 300x200mm or 12x8in: fits the picture inside at --dpi (300 unless given).",
    ),
]
DpiOption = Annotated[
    float | None,
    typer.Option(
        "--dpi", min=1, max=65535, help="Resolution written into the file; the input's if left out."
    ),
]
BoxOption = Annotated[
    str | None,
    typer.Option(
        "--box",
        metavar="X,Y,W,H",
        help="Only this part, the same pixels as in the whole: 100,50,640,480 (input pixels), "
        "25%,25%,50%,50% or 0.25,0.25,0.5,0.5. --size and --print are then those of the part.",
    ),
]
TileOption = Annotated[
    int,
    typer.Option(
        "--tile", min=0, help="Side of a tile in input pixels; 0 fits it to the free memory."
    ),
]
EnsembleOption = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="Look at the picture four times, mirrored, and take the mean: better, four times slower.",
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="SUFFIX",
        help="Format of outputs that are not named: png, jpg, webp, tif ... The input's if left out.",
    ),
]
QualityOption = Annotated[
    int | None,
    typer.Option(
        "--quality",
        "-q",
        min=1,
        max=100,
        help="For JPEG (95 if left out), AVIF (90) and WebP (lossless if left out).",
    ),
]
FoldersArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FOLDER...",
        parser=_path,
        help="Pictures to learn from, those in subfolders included.",
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="DIR",
        parser=_path,
        help="Where the run is kept: its checkpoint, and how to go on. "
        "Left out: runs/DATE_TIME, a new one.",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="The network's configuration; small if left out."
    ),
]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        help="Length of the run, over all the times it goes on. 60 unless --steps is given.",
    ),
]
StepsOption = Annotated[int | None, typer.Option("--steps", help="Its length in steps instead.")]
StopAfterOption = Annotated[
    float | None,
    typer.Option(
        "--stop-after",
        metavar="MINUTES",
        help="Save and leave so long after the start of this call, reading the pictures included; "
        "the same command goes on. For a machine that is lent for a time.",
    ),
]
BatchOption = Annotated[
    int | None, typer.Option("--batch", help="Crops per step. Left out: 8, for the preset base 32.")
]
CropOption = Annotated[
    int | None,
    typer.Option(
        "--crop",
        help="Side of a crop in input pixels. Left out: 32, for the presets base 48, reconstruct 64.",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--rate",
        help="Learning rate at its peak. Left out: 3e-3 for the preset small, 2e-3 for base "
        "and reconstruct.",
    ),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Another seed, other crops and weights: 0.")
]
InitOption = Annotated[
    str | None,
    typer.Option(
        "--init",
        metavar="NAME|FILE",
        help="Start from the weights of a checkpoint like this one. The usual rate learns another "
        "kind of picture or LR soonest; a tenth of it forgets least.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings as TOML, such as config.toml of another run."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting more, over the file's; --show-config lists them all. May be repeated.",
    ),
]
ShowConfigOption = Annotated[
    bool,
    typer.Option(
        "--show-config", help="Print all settings as they would be, with their meaning, and leave."
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
