"""`ginr warp`: rotate, shift, rectify or remap a picture, and enlarge it, in one resampling."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ginr.geometry.size import Target, within_limits
from ginr_cli import console, options
from ginr_cli.files import Writing, check_output, output_of, write
from ginr_cli.load_network import LoadedTorchNetwork, NetworkChoice
from ginr_cli.options import argument, option
from ginr_cli.parsing import only_one, parse_numbers, parse_target
from ginr_cli.single import Progress, Rendering, Size, render_one

if TYPE_CHECKING:
    from ginr.geometry.maps import Map
    from ginr.pictures import Picture

Canvas = tuple[Size, "Map"]  # the output's size, and where in the input its pixels lie

Output = Annotated[
    Path | None,
    argument(
        "OUTPUT",
        "Where to write; the suffix sets the format. Default: photo_warped.png next to photo.png.",
    ),
]
Rotate = Annotated[
    float,
    option("--rotate DEGREES", "Rotate counter-clockwise about the centre.", between=(-1e6, 1e6)),
]
Perspective = Annotated[
    str | None,
    option(
        "--perspective X,Y,X,Y,X,Y,X,Y",
        "Corners of a photographed page or facade in input pixels: top left, top right, "
        "bottom right, bottom left. They become the corners of the output.",
    ),
]
MapFile = Annotated[
    Path | None,
    option(
        "--map FILE.npy",
        "Float array (height, width, 2): for each output pixel, its x and y in the input. "
        "0,0 is the centre of the first pixel, as in OpenCV's remap.",
    ),
]


def warp(
    image: options.Image,
    output: Output = None,
    rotate: Rotate = 0.0,
    shift: Annotated[
        str | None,
        option("--shift DX,DY", "Then shift right and down, in input pixels (fractions allowed)."),
    ] = None,
    keep_size: Annotated[
        bool, option("--keep-size", "Crop the rotated picture to its original frame.")
    ] = False,
    perspective: Perspective = None,
    table: MapFile = None,
    scale: options.Scale = None,
    size: options.Size = None,
    checkpoint: options.Checkpoint = "small",
    bank: options.Bank = None,
    device: options.Device = "auto",
    precision: options.Precision = options.NumberFormat.AUTO,
    tile: options.Tile = 0,
    ensemble: options.Ensemble = False,
    quality: options.Quality = None,
    named: options.Named = None,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    allow_truncated: options.AllowTruncated = False,
    allow_large: options.AllowLarge = False,
    as_json: options.Json = False,
) -> None:
    """Rotate, shift, rectify or remap a picture and enlarge it, in one resampling.

    --rotate, --shift and --scale are applied in this order. --perspective can
    be combined with --scale or --size only, --map with none of these. Areas
    outside the picture become transparent, or white in formats without
    transparency.
    """
    from ginr.pictures import ReadRules

    shifted = parse_numbers("--shift", shift or "0,0", 2, "0.5,-2")
    corners = perspective and parse_numbers("--perspective", perspective, 8, "9,5,90,3,95,70,2,66")
    is_turned = bool(rotate) or shift is not None or keep_size
    _check_together(bool(corners), table is not None, is_turned, scale, size)
    target, writing = parse_target(scale, size), Writing(quality, overwrite)

    def plan(frame: Size) -> Rendering:
        if table is not None:
            canvas, mapping = _map_canvas(table)
        elif corners:
            canvas, mapping = _page_canvas(corners, target)
        else:
            canvas, mapping = _rotated_canvas(frame, rotate, shifted, keep_size, target)
        path = output_of(image, output, named) or _default_output(image)
        check_output(image, path, canvas, writing)
        return Rendering(path, canvas, partial(_warp, path, canvas, mapping, writing))

    choice = NetworkChoice(checkpoint, device, precision, tile, ensemble, bank=bank)
    render_one(image, choice, as_json, ReadRules(strict, allow_truncated, allow_large), plan)


def _warp(
    output: Path,
    size: Size,
    mapping: "Map",
    writing: Writing,
    picture: "Picture",
    network: LoadedTorchNetwork,
    progress: Progress,
) -> Sequence[str]:
    from ginr.pictures import losses
    from ginr.rendering.warp import warp as render

    result = render(
        picture, network.model, mapping, height=size[0], width=size[1], tile=network.tile,
        precision=network.precision, progress=progress, notice=console.say,
    )  # fmt: skip
    write(result, output, writing)
    return losses(result, output)


def _check_together(
    is_page: bool, is_map: bool, is_turned: bool, scale: str | None, size: str | None
) -> None:
    only_one({"--scale": scale, "--size": size})
    is_sized = (scale or size) is not None
    if is_page + is_map + is_turned > 1 or (is_map and is_sized):
        raise console.UsageError(
            "--map cannot be combined with --rotate, --shift, --keep-size, --perspective, --scale "
            "or --size, nor --perspective with the first three"
        )
    if not (is_page or is_map or is_turned or is_sized):
        raise console.UsageError("nothing to do: give --rotate, --shift, --perspective or --map")


def _rotated_canvas(
    frame: Size, degrees: float, shift: list[float], keep_size: bool, target: Target
) -> Canvas:
    from ginr.geometry.maps import turned_frame, turning

    upright = frame if keep_size else turned_frame(frame, degrees)
    out = target.resolve(*upright, may_shrink=True)
    x, y = shift
    return out, turning(frame, upright, out, degrees=degrees, shift=(y, x))


def _page_canvas(numbers: list[float], target: Target) -> Canvas:
    from ginr.geometry.maps import page_size, straightening

    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    out = target.resolve(*page_size(corners), may_shrink=True)
    return out, straightening(corners, out)


def _map_canvas(file: Path) -> Canvas:
    from ginr.geometry.maps import read_map

    mapping = read_map(file)
    return within_limits(*mapping.size), mapping


def _default_output(image: Path) -> Path:
    from ginr.pictures import WRITABLE

    suffix = image.suffix if image.suffix.lower() in WRITABLE else ".png"
    return image.with_name(f"{image.stem}_warped{suffix}")
