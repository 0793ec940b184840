"""Options and arguments of `ginr upscale` alone."""

from typing import Annotated

from ginr_cli.options import DEVICES, argument, option

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
        "Fit the picture into this print size at --dpi (default 300): A4 or 10x15 (cm), in the "
        "orientation of the picture, or 30x20cm, 300x200mm or 12x8in (width x height).",
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
Restore = Annotated[
    str | None,
    option(
        "--restore STRENGTH",
        "How much noise, compression and blur to remove: off, or from 0 to 1. auto decides by the "
        "damage of each picture. With --bank, the default is off.",
        show_default="auto",
    ),
]
Detail = Annotated[
    str,
    option(
        "--detail AMOUNT",
        "How much detail to invent where a photograph has lost its own, from 0 to 1. auto invents up "
        "to 0.6, depending on the damage. 0 with --checkpoint.",
    ),
]
Devices = Annotated[
    str,
    option(
        "--device DEVICE[,DEVICE]",
        f"{DEVICES} Several devices, as in cuda:0,cuda:1, share the pictures.",
    ),
]
Jobs = Annotated[
    int,
    option(
        "--jobs N",
        "How many pictures to enlarge at a time on each device, each in a process of its own; they share the "
        "cores. Helps with many small pictures on many cores. Default: 1.",
        between=(1, 256),
    ),
]
Cluster = Annotated[
    str | None,
    option(
        "--cluster ADDRESS",
        "Enlarge the pictures on the machines of a Ray cluster: its address, or auto for the one that "
        "this machine belongs to, or a new one here.",
    ),
]
Format = Annotated[
    str | None,
    option(
        "--format SUFFIX",
        "Format of outputs without a given file name: png, jpg, webp, tif, ... "
        "Default: the input's.",
    ),
]
Suffix = Annotated[
    str | None,
    option(
        "--suffix TEXT",
        "End of the names of outputs, as in --suffix -large for photo-large.png. "
        "Default: the scale or size, as in _x2; in another folder, nothing.",
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
        "Wait for new pictures in the folders and enlarge each one as soon as it is complete, "
        "until Ctrl+C.",
    ),
]
Preview = Annotated[
    bool,
    option(
        "--preview",
        "Next to each output, also write a page with a slider between input and output, as ginr "
        "compare does: photo_x2_compare.html.",
    ),
]
Quiet = Annotated[bool, option("--quiet", "Print only errors and the names of outputs.")]
Verbose = Annotated[bool, option("--verbose", "Also print the time and speed of every picture.")]
Codec = Annotated[
    str | None,
    option(
        "--codec NAME",
        "Encoder of a video: h264 (default), h265 (default above 8 bits), av1, vp9, prores, ffv1.",
    ),
]
EncoderOptions = Annotated[
    list[str] | None,
    option("--encoder-option KEY=VALUE", "Option for the encoder of a video. May be repeated."),
]
