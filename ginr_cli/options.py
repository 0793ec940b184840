"""The arguments and options of the commands, each with its help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
        help="A shipped checkpoint by its name, or a .safetensors file.",
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
        help="3.7, 370%, or 2x3 for width x height; from 1 to 30. 2 unless --size is given.",
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
TileOption = Annotated[
    int,
    typer.Option(
        "--tile", min=0, help="Side of a tile in input pixels; 0 fits it to the free memory."
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
FolderArgument = Annotated[
    Path,
    typer.Argument(metavar="FOLDER", help="Pictures to learn from, those in subfolders included."),
]
RunOption = Annotated[
    Path,
    typer.Option(
        "--run", metavar="DIR", help="Where the run is kept: its checkpoint, and how to go on."
    ),
]
PresetOption = Annotated[
    str, typer.Option("--preset", metavar="NAME", help="The network's configuration.")
]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        help="Length of the run, over all the times it goes on. 60 unless --steps is given.",
    ),
]
StepsOption = Annotated[int | None, typer.Option("--steps", help="Its length in steps instead.")]
BatchOption = Annotated[int, typer.Option("--batch", help="Crops per step.")]
CropOption = Annotated[int, typer.Option("--crop", help="Side of a crop in input pixels.")]
RateOption = Annotated[float, typer.Option("--rate", help="Learning rate at its peak.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Another seed, other crops and weights.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
