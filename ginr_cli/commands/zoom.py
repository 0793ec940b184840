"""`ginr zoom`: a video that zooms from the whole picture, or a part of it, into another part."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ginr.geometry.size import MAX_SCALE, Box, parse_size
from ginr.geometry.view import BoxRule, parse_box
from ginr_cli import console, options
from ginr_cli.files import output_of, refuse_own_input
from ginr_cli.load_network import LoadedTorchNetwork, NetworkChoice
from ginr_cli.options import argument, option
from ginr_cli.parsing import usage
from ginr_cli.single import Progress, Rendering, Size, render_one

if TYPE_CHECKING:
    from ginr.pictures import Picture
    from ginr.rendering.zoom import Shot

SIDE = 1280  # longer side of a video without --size
MAX_FRAMES = 100_000  # an hour at 28 frames per second
MIN_FPS, MAX_FPS = 0.01, 240

Output = Annotated[
    Path | None,
    argument(
        "OUTPUT",
        "A video (.mp4, .mkv, .webm) or an animation (.gif, .webp, .apng); a name without "
        'suffix is a folder for PNG frames. Videos need PyAV: pip install "ginr[video]". '
        "Default: photo_zoom.webp next to photo.png.",
    ),
]
VideoSize = Annotated[
    str | None,
    option(
        "--size WxH",
        f"Size of the video in pixels; boxes are extended to its aspect ratio. Default: {SIDE} "
        "on the longer side, in the aspect ratio of --to.",
    ),
]


def zoom(
    image: options.Image,
    *,
    output: Output = None,
    to: Annotated[
        str,
        option(
            "--to X,Y,W,H",
            "Where the zoom ends: a box in input pixels, or in percent as in 25%,25%,50%,50%.",
        ),
    ],
    start: Annotated[
        str | None, option("--from X,Y,W,H", "Where it starts. Default: the whole picture.")
    ] = None,
    seconds: Annotated[float, option("--seconds SECONDS", "Length of the video.")] = 6.0,
    fps: Annotated[
        float,
        option("--fps NUMBER", f"Frames per second, up to {MAX_FPS}; below 100 in an animation."),
    ] = 30.0,
    size: VideoSize = None,
    checkpoint: options.Checkpoint = "small",
    bank: options.Bank = None,
    device: options.Device = "auto",
    precision: options.Precision = options.NumberFormat.AUTO,
    tile: options.Tile = 0,
    ensemble: options.Ensemble = False,
    named: options.Named = None,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    allow_truncated: options.AllowTruncated = False,
    allow_large: options.AllowLarge = False,
    as_json: options.Json = False,
) -> None:
    """Make a video that zooms smoothly into a part of a picture.

    Every frame is rendered at its own scale, up to x30. The zoom starts and
    ends slowly. Frames that shrink the picture average its detail, so that
    nothing flickers.
    """
    from ginr.pictures import ReadRules

    first, last = _box("--from", start or "0%,0%,100%,100%"), _box("--to", to)
    wanted = None if size is None else _size(size)
    n_frames = _n_frames(seconds, fps)

    def plan(whole: Size) -> Rendering:
        from ginr.rendering.film import check_film

        boxes = first.resolve(*whole), last.resolve(*whole)
        shots, frame = _shots(boxes, whole, wanted, n_frames)
        path = output_of(image, output, named) or image.with_name(f"{image.stem}_zoom.webp")
        refuse_own_input(image, path)
        check_film(path, *frame, fps=fps, overwrite=overwrite)
        low, high = (frame[1] / shot.width for shot in (shots[0], shots[-1]))
        make = partial(_film, path, frame, shots, fps, overwrite)
        words = f", {n_frames} frames, x{low:.3g} to x{high:.3g}"
        return Rendering(path, frame, make, n_frames, words)

    choice = NetworkChoice(checkpoint, device, precision, tile, ensemble, bank=bank)
    render_one(image, choice, as_json, ReadRules(strict, allow_truncated, allow_large), plan)


def _film(
    output: Path,
    size: Size,
    shots: "list[Shot]",
    fps: float,
    overwrite: bool,
    picture: "Picture",
    network: LoadedTorchNetwork,
    progress: Progress,
) -> Sequence[str]:
    from ginr.rendering.film import write_film
    from ginr.rendering.zoom import render_shots

    frames = render_shots(
        picture, network.model, shots, height=size[0], width=size[1], tile=network.tile,
        precision=network.precision, progress=progress,
    )  # fmt: skip
    return write_film(
        frames, picture, output, height=size[0], width=size[1], fps=fps, overwrite=overwrite
    )


def _box(option: str, text: str) -> BoxRule:
    with usage(option):
        return parse_box(text)


def _size(text: str) -> Size:
    with usage("--size"):
        rule = parse_size(text)
    if rule.width is None or rule.height is None:
        raise console.UsageError(f"--size {text!r}: a video needs both sides, as in 1280x720")
    return rule.height, rule.width


def _n_frames(seconds: float, fps: float) -> int:
    if not MIN_FPS <= fps <= MAX_FPS:
        raise console.UsageError(f"--fps {fps:g}: must be from {MIN_FPS} to {MAX_FPS}")
    if not (math.isfinite(seconds) and 2 <= round(seconds * fps) <= MAX_FRAMES):
        raise console.UsageError(
            f"--seconds {seconds:g} at {fps:g} frames per second: must make 2 to {MAX_FRAMES} frames"
        )
    return round(seconds * fps)


def _shots(
    boxes: tuple[Box, Box], whole: Size, frame: Size | None, n_frames: int
) -> "tuple[list[Shot], Size]":
    """The shots from the first box to the last, and the size of a frame."""
    top, left, bottom, right = boxes[1]
    frame = frame or _shape_of(bottom - top, right - left)
    # Not before it is needed: it waits for torch.
    from ginr.rendering.zoom import shot_of, zoom_path

    start, end = (shot_of(box, whole, frame) for box in boxes)
    return zoom_path(start, end, n_frames), frame


def _shape_of(height: int, width: int) -> Size:
    """Size of a video in the aspect ratio of a box: even sides, within the largest scale."""
    longer = min(SIDE, MAX_SCALE * max(height, width))
    sides = [2 * max(1, round(n * longer / max(height, width) / 2)) for n in (height, width)]
    return sides[0], sides[1]
