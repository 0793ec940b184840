"""`ginr zoom`: a film that moves from the whole picture, or a part of it, into another part."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ginr_cli import console
from ginr_cli.files import refuse_own_input
from ginr_cli.load_network import LoadedTorchNetwork, NetworkChoice
from ginr_cli.options import (
    CheckpointOption,
    DeviceOption,
    EnsembleOption,
    JsonOption,
    OverwriteOption,
    Precision,
    PrecisionOption,
    TileOption,
)
from ginr_cli.parsing import usage
from ginr_cli.single import Rendering, Size, render_one

if TYPE_CHECKING:
    from ginr.geometry.size import Box
    from ginr.geometry.view import BoxRule
    from ginr.pictures import Picture
    from ginr.rendering.zoom import Shot

SIDE = 1280
"""Longer side of a film whose size is not given."""
LONGEST = 100_000
"""Frames of a film: an hour at 28 a second."""


@dataclass(frozen=True)
class _Film(Rendering):
    shots: "list[Shot]"
    fps: float
    overwrite: bool

    @property
    def n_frames(self) -> int:
        return len(self.shots)

    @property
    def words(self) -> str:
        low, high = (self.size[1] / shot.width for shot in (self.shots[0], self.shots[-1]))
        return f", {self.n_frames} frames, x{low:.3g} to x{high:.3g}"

    def make(
        self, picture: "Picture", network: LoadedTorchNetwork, progress: Callable[[int, int], None]
    ) -> Sequence[str]:
        from ginr.pictures.film import write_film
        from ginr.rendering.zoom import render_shots

        frames = render_shots(
            picture,
            network.model,
            self.shots,
            height=self.size[0],
            width=self.size[1],
            tile=network.tile,
            precision=network.precision,
            progress=progress,
        )
        write_film(frames, picture, self.output, fps=self.fps, overwrite=self.overwrite)
        return ()


def zoom(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            help="A .mp4, .webp or .gif; a name without a suffix is a folder for PNG frames. "
            'MP4 needs FFmpeg: pip install "ginr[video]".',
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="X,Y,W,H",
            help="Where it ends: a box in input pixels, or of percentages as in 25%,25%,50%,50%.",
        ),
    ],
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="X,Y,W,H", help="Where it starts; the whole picture."),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", help="How long it takes.")] = 6.0,
    fps: Annotated[float, typer.Option("--fps", help="Frames per second, up to 240.")] = 30.0,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="WxH",
            help=f"Of the film, in pixels; {SIDE} on the longer side, in the shape of --to, if left "
            "out. The boxes grow to its shape.",
        ),
    ] = None,
    checkpoint: CheckpointOption = "small",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    tile: TileOption = 0,
    ensemble: EnsembleOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Film a smooth zoom from a picture into a part of it, every frame at its own true scale.

    The scale changes evenly, slower at both ends. Where a frame enlarges the picture it is rendered
    from the field, up to x30; where it shrinks it, detail is averaged, so that nothing flickers.
    """
    first, last = _box("--from", start or "0%,0%,100%,100%"), _box("--to", to)
    wanted = None if size is None else _size(size)
    n_frames = _n_frames(seconds, fps)

    def plan(whole: Size) -> _Film:
        from ginr.pictures.film import check_film

        shots, frame = _shots(
            (first.resolve(*whole), last.resolve(*whole)), whole, wanted, n_frames
        )
        refuse_own_input(image, output)
        check_film(output, *frame, n_frames, overwrite=overwrite)
        return _Film(output, frame, shots, fps, overwrite)

    render_one(image, NetworkChoice(checkpoint, device, precision, tile, ensemble), as_json, plan)


def _box(option: str, text: str) -> "BoxRule":
    from ginr.geometry.view import parse_box

    with usage(option):
        return parse_box(text)


def _size(text: str) -> Size:
    from ginr.geometry.size import parse_size

    with usage("--size"):
        rule = parse_size(text)
    if rule.width is None or rule.height is None:
        raise console.UsageError(f"--size {text!r}: a film needs both sides, as in 1280x720")
    return rule.height, rule.width


def _n_frames(seconds: float, fps: float) -> int:
    if not 0 < fps <= 240:
        raise console.UsageError(f"--fps {fps:g}: give more than 0 and up to 240")
    if not (math.isfinite(seconds) and 2 <= round(seconds * fps) <= LONGEST):
        raise console.UsageError(
            f"--seconds {seconds:g} at {fps:g} frames a second: give 2 to {LONGEST} frames"
        )
    return round(seconds * fps)


def _shots(
    boxes: "tuple[Box, Box]", whole: Size, frame: Size | None, n_frames: int
) -> "tuple[list[Shot], Size]":
    """The shots from the first box to the last, and the size of a frame."""
    top, left, bottom, right = boxes[1]
    frame = frame or _shape_of(bottom - top, right - left)
    # Not before it is needed: it waits for torch.
    from ginr.rendering.zoom import shot_of, zoom_path

    start, end = (shot_of(box, whole, frame) for box in boxes)
    return zoom_path(start, end, n_frames), frame


def _shape_of(height: int, width: int) -> Size:
    """The size of a film in the shape of a box: even sides, and no more than the scale allows."""
    from ginr.geometry.size import MAX_SCALE

    longer = min(SIDE, MAX_SCALE * max(height, width))
    sides = [2 * max(1, round(n * longer / max(height, width) / 2)) for n in (height, width)]
    return sides[0], sides[1]
