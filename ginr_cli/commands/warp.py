"""`ginr warp`: a picture turned, moved, straightened or mapped in one step, enlarged on the way."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ginr_cli import console
from ginr_cli.batch.plan import refuse_own_input
from ginr_cli.load_network import TorchNetwork, check_network, load_network
from ginr_cli.options import (
    CheckpointOption,
    DeviceOption,
    EnsembleOption,
    JsonOption,
    OverwriteOption,
    Precision,
    PrecisionOption,
    QualityOption,
    TileOption,
)
from ginr_cli.reports.pictures import Outcome, Report, done
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.geometry.maps import Map, Pair


@dataclass(frozen=True)
class Canvas:
    """The output: how large it is, H and W, and where its pixels lie in the input."""

    size: tuple[int, int]
    mapping: "Map"


def warp(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture.")],
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUTPUT]",
            help="Where to write; its suffix picks the format. "
            "Left out: photo_warped.png beside photo.png.",
        ),
    ] = None,
    rotate: Annotated[
        float,
        typer.Option("--rotate", metavar="DEGREES", help="Counter-clockwise, about the centre."),
    ] = 0.0,
    shift: Annotated[
        str | None,
        typer.Option(
            "--shift",
            metavar="DX,DY",
            help="To the right and down, in input pixels and parts of them; after the turn.",
        ),
    ] = None,
    keep_size: Annotated[
        bool,
        typer.Option(
            "--keep-size", help="With --rotate: cut to the picture's own frame, corners are lost."
        ),
    ] = False,
    perspective: Annotated[
        str | None,
        typer.Option(
            "--perspective",
            metavar="X,Y,X,Y,X,Y,X,Y",
            help="The corners of a photographed page or front: top left, top right, bottom right, "
            "bottom left, in input pixels. They become the corners of the output.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE.npy",
            help="Floats (height, width, 2): x and y of each output pixel in input pixels, the first "
            "pixel's centre being 0,0, as for OpenCV's remap.",
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale", "-s", metavar="SCALE", help="3.7, 370%, or 2x3 for width x height; 1 to 30."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="SIZE",
            help="Pixels of the output: 1920x, x1080, 1920x1080 (fits inside), 1920x1080! (exact).",
        ),
    ] = None,
    checkpoint: CheckpointOption = "small",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    tile: TileOption = 0,
    ensemble: EnsembleOption = False,
    quality: QualityOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Turn, move, straighten or map a picture, and enlarge it, in one resampling.

    --rotate, --shift and --scale go together, in this order; --perspective and --map stand alone,
    --perspective with a scale if you like. What falls outside the picture is transparent, or white
    where the format holds no transparency.
    """
    shifted = _numbers("--shift", shift or "0,0", 2, "0.5,-2")
    corners = None if perspective is None else _corners(perspective)
    _check_together(corners is not None, table is not None, rotate, shift, keep_size, scale, size)
    target = _target(scale, size)
    check_network(checkpoint, device)
    report = Report(as_json)
    try:
        frame = _probe(image)
        if table is not None:
            canvas = _of_table(table)
        elif corners is not None:
            canvas = _of_page(corners, target)
        else:
            canvas = _of_turn(frame, rotate, shifted, keep_size, target)
        output = _place(image, output, canvas, quality, overwrite)
        network = load_network(checkpoint, device, precision, tile, ensemble)
        outcome = _run(image, output, canvas, network, quality, overwrite)
    except console.UsageError:
        raise
    except Exception as problem:
        report.fail(image, problem)
        raise typer.Exit(1) from None
    report.add(outcome)


def _check_together(
    is_page: bool,
    is_map: bool,
    rotate: float,
    shift: str | None,
    keep_size: bool,
    scale: str | None,
    size: str | None,
) -> None:
    if scale is not None and size is not None:
        raise console.UsageError("--scale and --size together: give one of them")
    turned = bool(rotate) or shift is not None or keep_size
    if is_page + is_map + turned > 1 or (is_map and (scale or size) is not None):
        raise console.UsageError(
            "--map goes with none of --rotate, --shift, --keep-size, --perspective, --scale and "
            "--size, and --perspective with none of the first three"
        )
    if not (is_page or is_map or turned or scale or size):
        raise console.UsageError("nothing to do: give --rotate, --shift, --perspective or --map")
    if not -1e6 < rotate < 1e6:
        raise console.UsageError(f"--rotate {rotate} is no angle in degrees")


def _numbers(option: str, text: str, count: int, example: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise console.UsageError(f"{option} {text!r} is not {count} numbers: write {example}")
    return numbers


def _corners(text: str) -> "list[Pair]":
    numbers = _numbers("--perspective", text, 8, "9,5,90,3,95,70,2,66")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _target(scale: str | None, size: str | None) -> "Callable[[int, int], tuple[int, int]]":
    """What makes an output size of a size in input pixels, both (height, width)."""
    from ginr.errors import SizeError
    from ginr.geometry.size import parse_scale, parse_size

    try:
        if size is not None:
            return partial(parse_size(size).resolve, may_shrink=True)
        return parse_scale(scale if scale is not None else "1").resolve
    except SizeError as error:
        raise console.UsageError(str(error)) from None


def _probe(image: Path) -> tuple[int, int]:
    from ginr.pictures import probe_picture

    header = probe_picture(image)
    return header.height, header.width


def _of_turn(
    frame: tuple[int, int],
    degrees: float,
    shift: list[float],
    keep_size: bool,
    target: "Callable[[int, int], tuple[int, int]]",
) -> Canvas:
    from ginr.geometry.maps import turned_frame, turning

    upright = frame if keep_size else turned_frame(frame, degrees)
    out = target(*upright)
    x, y = shift
    return Canvas(out, turning(frame, upright, out, degrees=degrees, shift=(y, x)))


def _of_page(corners: "list[Pair]", target: "Callable[[int, int], tuple[int, int]]") -> Canvas:
    from ginr.geometry.maps import page_size, straightening

    out = target(*page_size(corners))
    return Canvas(out, straightening(corners, out))


def _of_table(file: Path) -> Canvas:
    from ginr.geometry.maps import read_map
    from ginr.geometry.size import within_limits

    mapping = read_map(file)
    return Canvas(within_limits(*mapping.size), mapping)


def _place(
    image: Path, output: Path | None, canvas: Canvas, quality: int | None, overwrite: bool
) -> Path:
    """Where the output goes; refused here if it cannot go there."""
    from ginr.pictures import WRITABLE, check_target

    if output is None:
        suffix = image.suffix if image.suffix.lower() in WRITABLE else ".png"
        output = image.with_name(f"{image.stem}_warped{suffix}")
    check_target(output, *canvas.size, overwrite=overwrite, quality=quality)
    refuse_own_input(image, output)
    return output


def _run(
    image: Path,
    output: Path,
    canvas: Canvas,
    network: TorchNetwork,
    quality: int | None,
    overwrite: bool,
) -> Outcome:
    from ginr.errors import printable
    from ginr.pictures import losses, read_picture, write_picture
    from ginr.rendering.warp import warp as render

    start = time.perf_counter()
    with deferred():
        picture = read_picture(image)
    height, width = canvas.size
    console.say(
        f"{printable(image)} {picture.width}x{picture.height} -> "
        f"{printable(output)} {width}x{height}"
    )
    with console.Meter(height * width) as meter:
        meter.begin(image.name, 0)
        result = render(
            picture,
            network.model,
            canvas.mapping,
            height=height,
            width=width,
            tile=network.tile,
            precision=network.precision,
            progress=meter.advance,
            notice=console.say,
        )
    notes = (*picture.notes, *losses(result, output))
    if notes:
        console.say(f"{printable(image)}: {'; '.join(notes)}")
    with deferred():
        write_picture(result, output, overwrite=overwrite, quality=quality)
    size = picture.height, picture.width
    return done(image, output, size, canvas.size, network, start, notes)
