"""`ginr zoom`: a film that moves from the whole picture, or a part of it, into another part."""

import math
import time
from dataclasses import dataclass
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
    TileOption,
)
from ginr_cli.reports.pictures import Outcome, Report, done
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.geometry.view import BoxRule
    from ginr.rendering.zoom import Shot

SIDE = 1280
"""Longer side of a film whose size is not given."""
LONGEST = 100_000
"""Frames of a film: an hour at 28 a second."""


@dataclass(frozen=True)
class Take:
    """What is to be filmed, its size being (height, width)."""

    size: tuple[int, int]
    shots: "list[Shot]"
    fps: float


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
    boxes = _box("--from", start or "0%,0%,100%,100%"), _box("--to", to)
    wanted = None if size is None else _size(size)
    n_frames = _n_frames(seconds, fps)
    check_network(checkpoint, device)
    report = Report(as_json)
    try:
        take = _plan(image, boxes, wanted, n_frames, fps)
        _check(image, output, take, overwrite)
        network = load_network(checkpoint, device, precision, tile, ensemble)
        outcome = _film(image, output, take, network, overwrite)
    except console.UsageError:
        raise
    except Exception as problem:
        report.fail(image, problem)
        raise typer.Exit(1) from None
    report.add(outcome)


def _box(option: str, text: str) -> "BoxRule":
    from ginr.errors import SizeError
    from ginr.geometry.view import parse_box

    try:
        return parse_box(text)
    except SizeError as error:
        raise console.UsageError(f"{option}: {error}") from None


def _size(text: str) -> tuple[int, int]:
    from ginr.errors import SizeError
    from ginr.geometry.size import parse_size

    try:
        rule = parse_size(text)
    except SizeError as error:
        raise console.UsageError(f"--size: {error}") from None
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


def _plan(
    image: Path,
    boxes: "tuple[BoxRule, BoxRule]",
    wanted: tuple[int, int] | None,
    n_frames: int,
    fps: float,
) -> Take:
    from ginr.pictures import probe_picture

    header = probe_picture(image)
    size = header.height, header.width
    first, last = (box.resolve(*size) for box in boxes)
    frame = wanted or _shape_of(last[2] - last[0], last[3] - last[1])
    from ginr.rendering.zoom import (  # not before it is needed: it waits for torch
        shot_of,
        zoom_path,
    )

    shots = zoom_path(shot_of(first, size, frame), shot_of(last, size, frame), n_frames)
    return Take(frame, shots, fps)


def _shape_of(height: int, width: int) -> tuple[int, int]:
    """The size of a film in the shape of a box: even sides, and no more than the scale allows."""
    from ginr.geometry.size import MAX_SCALE

    longer = min(SIDE, MAX_SCALE * max(height, width))
    sides = [2 * max(1, round(n * longer / max(height, width) / 2)) for n in (height, width)]
    return sides[0], sides[1]


def _check(image: Path, output: Path, take: Take, overwrite: bool) -> None:
    """Refuses what could not be written in the end."""
    from ginr.pictures.film import check_film

    refuse_own_input(image, output)
    check_film(output, *take.size, len(take.shots), overwrite=overwrite)


def _film(image: Path, output: Path, take: Take, network: TorchNetwork, overwrite: bool) -> Outcome:
    from ginr.errors import printable
    from ginr.pictures import read_picture
    from ginr.pictures.film import write_film
    from ginr.rendering.zoom import render_shots

    begin = time.perf_counter()
    with deferred():
        picture = read_picture(image)
    height, width = take.size
    low, high = (width / shot.width for shot in (take.shots[0], take.shots[-1]))
    console.say(
        f"{printable(image)} {picture.width}x{picture.height} -> {printable(output)} "
        f"{width}x{height}, {len(take.shots)} frames, x{low:.3g} to x{high:.3g}"
    )
    with console.Meter(len(take.shots) * height * width) as meter:
        meter.begin(image.name, 0)
        frames = render_shots(
            picture,
            network.model,
            take.shots,
            height=height,
            width=width,
            tile=network.tile,
            precision=network.precision,
            progress=meter.advance,
        )
        write_film(frames, picture, output, fps=take.fps, overwrite=overwrite)
    size = picture.height, picture.width
    return done(image, output, size, take.size, network, begin, picture.notes)
