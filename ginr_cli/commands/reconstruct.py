"""`ginr reconstruct`: a picture into LP features and back, or a saved field into a picture."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ginr_cli import console
from ginr_cli.batch.plan import refuse_own_input
from ginr_cli.load_network import check_network, load_network
from ginr_cli.options import (
    DeviceOption,
    JsonOption,
    OverwriteOption,
    Precision,
    PrecisionOption,
    QualityOption,
)
from ginr_cli.reports.reconstruction import Reconstruction, reconstruction_of
from ginr_cli.signals import deferred

if TYPE_CHECKING:
    from ginr.geometry.size import Target
    from ginr.network.model import Ginr
    from ginr.pictures import Picture
    from ginr.rendering.picture_field import PictureField

DEFAULT = "reconstruct"


def reconstruct(
    source: Annotated[
        Path, typer.Argument(metavar="IMAGE|FIELD", help="A picture, or a field that was saved.")
    ],
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUTPUT]",
            help="Where to write the picture; its suffix picks the format. Left out: only measured.",
        ),
    ] = None,
    save_field: Annotated[
        Path | None,
        typer.Option(
            "--save-field",
            metavar="FILE.safetensors",
            help="Keep the field: this command renders it again, at any size, without the picture.",
        ),
    ] = None,
    quantize: Annotated[
        int | None,
        typer.Option(
            "--quantize", metavar="8", min=8, max=8, help="8 bits per number instead of 16."
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option("--scale", "-s", metavar="SCALE", help="Render larger: 3.7, 370% or 2x3."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="SIZE",
            help="Render larger: 1920x, x1080, 1920x1080 (fits inside) or 1920x1080! (exact).",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            "-c",
            metavar="NAME|FILE",
            help="reconstruct unless given; of a saved field the one that made it.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    quality: QualityOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Turn a picture into LP features and back, and tell bits per pixel, PSNR and SSIM.

    With a super-resolution checkpoint the field is added to the picture's own pixels, which then
    count as bits, too.
    """
    from ginr.rendering.field_file import is_field

    target = _target(scale, size)
    if is_field(source):
        if save_field is not None or quantize is not None:
            raise console.UsageError(
                f"{source} is a saved field already: leave out --save-field and --quantize"
            )
        if output is None:
            raise console.UsageError(
                f"{source} is a saved field: name a picture to write, such as {source.stem}.png"
            )
        record = _from_field(source, output, checkpoint, device, target, quality, overwrite)
    else:
        record = _from_picture(
            source, output, save_field, quantize is not None, checkpoint or DEFAULT, device,
            precision, target, quality, overwrite,
        )  # fmt: skip
    if as_json:
        console.result_json(record.as_json())
    else:
        for line in record.lines():
            console.result(line)


def _target(scale: str | None, size: str | None) -> "Target":
    from ginr.errors import SizeError
    from ginr.geometry.size import parse_scale, parse_size

    if scale is not None and size is not None:
        raise console.UsageError("--scale and --size together: give one of them")
    try:
        return parse_size(size) if size is not None else parse_scale(scale or "1")
    except SizeError as error:
        raise console.UsageError(str(error)) from None


def _from_picture(
    source: Path,
    output: Path | None,
    field_path: Path | None,
    quantize: bool,
    checkpoint: str,
    device: str,
    precision: Precision,
    target: "Target",
    quality: int | None,
    overwrite: bool,
) -> Reconstruction:
    from ginr.checkpoints.checkpoint import peek
    from ginr.errors import printable
    from ginr.measuring.whole_pictures import likeness
    from ginr.pictures import losses, probe_picture, read_picture
    from ginr.rendering.field_file import is_field, save_field
    from ginr.rendering.picture_field import encode_picture

    check_network(checkpoint, device)
    header = probe_picture(source)
    native = header.height, header.width
    wanted = target.resolve(*native)
    if output is not None:
        _check_output(source, output, wanted, quality, overwrite)
    if field_path is not None:
        if not is_field(field_path):
            raise console.UsageError(f"--save-field {field_path}: name a .safetensors file")
        _check_free(field_path, overwrite)
    network = load_network(checkpoint, device, precision, 0)
    with deferred():
        picture = read_picture(source)
    if output is not None and (lost := losses(picture, output)):
        console.say(f"{printable(source)}: {'; '.join(lost)}")
    enlarged = output is not None and wanted != native
    n_px = native[0] * native[1]
    with console.Meter(2 * n_px + (wanted[0] * wanted[1] if enlarged else 0)) as meter:
        start = time.perf_counter()
        meter.begin(f"{source.name}: encoding", 0)
        field = encode_picture(
            picture, network.model, precision=network.precision, progress=meter.advance
        )
        if quantize:
            field = field.quantized()
        meter.begin(f"{source.name}: rendering", n_px)
        same = _rendered(picture, field, network.model, native, meter.advance)
        seconds = time.perf_counter() - start
        alike = likeness(picture, same)
        if field_path is not None:
            with deferred():
                save_field(field_path, field, peek(checkpoint))
        if output is not None:
            if enlarged:
                meter.begin(f"{source.name}: rendering larger", 2 * n_px)
                same = _rendered(picture, field, network.model, wanted, meter.advance)
            _write(same, output, quality, overwrite)
    return replace(
        reconstruction_of(source, field, network.checkpoint, network.device),
        output=None if output is None else str(output),
        output_width=None if output is None else wanted[1],
        output_height=None if output is None else wanted[0],
        field=None if field_path is None else str(field_path),
        field_bytes=None if field_path is None else field_path.stat().st_size,
        psnr_rgb_db=alike.psnr_rgb,
        psnr_y_db=alike.psnr_y,
        ssim_y=alike.ssim_y,
        seconds=round(seconds, 3),
    )


def _from_field(
    source: Path,
    output: Path,
    checkpoint: str | None,
    device: str,
    target: "Target",
    quality: int | None,
    overwrite: bool,
) -> Reconstruction:
    from ginr.rendering.field_file import checkpoint_of, load_field, peek_field

    header = peek_field(source)
    made_with = checkpoint_of(header, checkpoint)
    wanted = target.resolve(*header.size)
    _check_output(source, output, wanted, quality, overwrite)
    check_network(str(made_with.path), device)
    network = load_network(str(made_with.path), device, Precision.AUTO, 0)
    field = load_field(source)
    start = time.perf_counter()
    with console.Meter(wanted[0] * wanted[1]) as meter:
        meter.begin(source.name, 0)
        picture = field.render(
            network.model, height=wanted[0], width=wanted[1], progress=meter.advance
        )
        _write(picture, output, quality, overwrite)
    return replace(
        reconstruction_of(source, field, header.checkpoint, network.device),
        output=str(output),
        output_width=wanted[1],
        output_height=wanted[0],
        field=str(source),
        field_bytes=source.stat().st_size,
        seconds=round(time.perf_counter() - start, 3),
    )


def _rendered(
    picture: "Picture",
    field: "PictureField",
    model: "Ginr",
    size: tuple[int, int],
    progress: Callable[[int, int], None],
) -> "Picture":
    """The render with what travels with the picture."""
    render = field.render(model, height=size[0], width=size[1], progress=progress)
    return replace(picture, samples=render.samples)


def _write(picture: "Picture", output: Path, quality: int | None, overwrite: bool) -> None:
    from ginr.pictures import write_picture

    with deferred():
        write_picture(picture, output, overwrite=overwrite, quality=quality)


def _check_output(
    source: Path, output: Path, size: tuple[int, int], quality: int | None, overwrite: bool
) -> None:
    from ginr.errors import PictureError, printable
    from ginr.pictures import check_target

    refuse_own_input(source, output)
    if output.is_file() and not overwrite:
        raise PictureError(f"{printable(output)} exists: --overwrite replaces it")
    check_target(output, *size, overwrite=overwrite, quality=quality)


def _check_free(path: Path, overwrite: bool) -> None:
    from ginr.errors import CheckpointError, printable

    name = printable(path)
    if path.is_dir():
        raise CheckpointError(f"{name} is a folder: name a file in it")
    if path.exists() and not overwrite:
        raise CheckpointError(f"{name} exists: --overwrite replaces it")
    if not path.absolute().parent.is_dir():
        raise CheckpointError(f"{name}: there is no folder {printable(path.parent)}: make it first")
