"""Options of `ginr upscale` for everyday use."""

from typing import Annotated

from ginr_cli.options import option

Label = Annotated[
    str | None,
    option(
        "--suffix TEXT",
        "What names of outputs end in, as in --suffix -large for photo-large.png. "
        "Default: the scale or size, as in _x2; nothing in another folder.",
    ),
]
Detail = Annotated[
    str,
    option(
        "--detail AMOUNT",
        "How much detail is invented where a photograph has lost its own, from 0 to 1. auto is up to 0.6, "
        "by how damaged it is. 0 with --checkpoint.",
    ),
]
Jobs = Annotated[
    int,
    option(
        "--jobs N",
        "Pictures at once on a device, in a process each; they share the cores. Default: 1. For many small "
        "pictures on many cores.",
        between=(1, 256),
    ),
]
DryRun = Annotated[
    bool,
    option(
        "--dry-run",
        "Print what would be written, with sizes, memory and an estimate of the time, and exit.",
    ),
]
Watch = Annotated[
    bool,
    option(
        "--watch",
        "Wait for further pictures in the folders and enlarge each when it is complete, until "
        "Ctrl+C.",
    ),
]
Preview = Annotated[
    bool,
    option(
        "--preview",
        "Write a page with a slider between input and output beside each output, as ginr compare "
        "does: photo_x2_compare.html.",
    ),
]
Quiet = Annotated[bool, option("--quiet", "Print only errors, and the names of what is written.")]
Verbose = Annotated[bool, option("--verbose", "Print the time and speed of every picture, too.")]
Codec = Annotated[
    str | None,
    option(
        "--codec NAME",
        "Encoder of a video: h264 (default), h265 (default above 8 bits), av1, vp9, prores, ffv1.",
    ),
]
EncoderOptions = Annotated[
    list[str] | None,
    option("--encoder-option KEY=VALUE", "Option of the encoder of a video. May be repeated."),
]
