"""`ginr warp`: a picture turned, moved, straightened or mapped in one step, enlarged on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ginr_cli import console
from ginr_cli.files import Writing, check_output, write
from ginr_cli.load_network import LoadedTorchNetwork, NetworkChoice
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
from ginr_cli.parsing import only_one, parse_numbers, parse_target
from ginr_cli.single import Rendering, Size, render_one

if TYPE_CHECKING:
    from ginr.geometry.maps import Map
    from ginr.geometry.size import Target
    from ginr.pictures import Picture

Canvas = tuple[Size, "Map"]
"""The output's size, and where its pixels lie in the input."""


@dataclass(frozen=True)
class _Warped(Rendering):
    mapping: "Map"
    writing: Writing

    def make(
        self, picture: "Picture", network: LoadedTorchNetwork, progress: Callable[[int, int], None]
    ) -> Sequence[str]:
        from ginr.pictures import losses
        from ginr.rendering.warp import warp as render

        result = render(
            picture,
            network.model,
            self.mapping,
            height=self.size[0],
            width=self.size[1],
            tile=network.tile,
            precision=network.precision,
            progress=progress,
            notice=console.say,
        )
        write(result, self.output, self.writing)
        return losses(result, self.output)


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
    shifted = parse_numbers("--shift", shift or "0,0", 2, "0.5,-2")
    corners = perspective and parse_numbers("--perspective", perspective, 8, "9,5,90,3,95,70,2,66")
    _check_together(bool(corners), table is not None, rotate, shift, keep_size, scale, size)
    target = parse_target(scale, size)
    writing = Writing(quality, overwrite)

    def plan(frame: Size) -> _Warped:
        if table is not None:
            canvas, mapping = _map_canvas(table)
        elif corners:
            canvas, mapping = _page_canvas(corners, target)
        else:
            canvas, mapping = _rotated_canvas(frame, rotate, shifted, keep_size, target)
        path = output or _default_output(image)
        check_output(image, path, canvas, writing)
        return _Warped(path, canvas, mapping, writing)

    render_one(image, NetworkChoice(checkpoint, device, precision, tile, ensemble), as_json, plan)


def _check_together(
    is_page: bool,
    is_map: bool,
    rotate: float,
    shift: str | None,
    keep_size: bool,
    scale: str | None,
    size: str | None,
) -> None:
    only_one({"--scale": scale, "--size": size})
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


def _resolved(target: "Target", size: Size) -> Size:
    """The output's size for an input's; a size in pixels may be smaller here."""
    from ginr.geometry.size import SizeRule

    if isinstance(target, SizeRule):
        return target.resolve(*size, may_shrink=True)
    return target.resolve(*size)


def _rotated_canvas(
    frame: Size, degrees: float, shift: list[float], keep_size: bool, target: "Target"
) -> Canvas:
    from ginr.geometry.maps import turned_frame, turning

    upright = frame if keep_size else turned_frame(frame, degrees)
    out = _resolved(target, upright)
    x, y = shift
    return out, turning(frame, upright, out, degrees=degrees, shift=(y, x))


def _page_canvas(numbers: list[float], target: "Target") -> Canvas:
    from ginr.geometry.maps import page_size, straightening

    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    out = _resolved(target, page_size(corners))
    return out, straightening(corners, out)


def _map_canvas(file: Path) -> Canvas:
    from ginr.geometry.maps import read_map
    from ginr.geometry.size import within_limits

    mapping = read_map(file)
    return within_limits(*mapping.size), mapping


def _default_output(image: Path) -> Path:
    from ginr.pictures import WRITABLE

    suffix = image.suffix if image.suffix.lower() in WRITABLE else ".png"
    return image.with_name(f"{image.stem}_warped{suffix}")
