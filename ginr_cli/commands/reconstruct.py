"""`ginr reconstruct`: a picture into LP features and back, or a saved field into a picture."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ginr.geometry.size import Target
from ginr_cli import console, options
from ginr_cli.files import (
    Writing,
    check_output,
    clear_left_over,
    output_of,
    refuse_own_input,
    write,
)
from ginr_cli.load_network import LoadedTorchNetwork, NetworkChoice, check_network, load_network
from ginr_cli.options import argument, option
from ginr_cli.parsing import parse_target
from ginr_cli.reports.reconstruction import Reconstruction, reconstruction_of
from ginr_cli.signals import deferred
from ginr_cli.single import Size, probe_size

if TYPE_CHECKING:
    from ginr.pictures import Picture, ReadRules
    from ginr.rendering.picture_field import PictureField

Output = Annotated[
    Path | None,
    argument(
        "OUTPUT",
        "Where to write the picture; the suffix sets the format. Without it, the result is "
        "only measured.",
    ),
]
MadeWith = Annotated[
    str | None,
    option(
        "--checkpoint --model -c NAME|FILE",
        "A shipped checkpoint or a .safetensors file. Default: reconstruct; for a saved field, "
        "the one that made it.",
    ),
]


def reconstruct(
    source: Annotated[Path, argument("IMAGE|FIELD", "A picture, or a saved field (.safetensors).")],
    output: Output = None,
    save_field: Annotated[
        Path | None,
        option(
            "--save-field FILE.safetensors",
            "Save the field. This command renders it later, at any size, without the picture.",
        ),
    ] = None,
    quantize: Annotated[
        int | None, option("--quantize 8", "Keep 8 bits per number instead of 16.", between=(8, 8))
    ] = None,
    scale: options.Scale = None,
    size: options.Size = None,
    checkpoint: MadeWith = None,
    bank: options.Bank = None,
    device: options.Device = "auto",
    precision: options.Precision = options.NumberFormat.AUTO,
    quality: options.Quality = None,
    named: options.Named = None,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    allow_truncated: options.AllowTruncated = False,
    allow_large: options.AllowLarge = False,
    as_json: options.Json = False,
) -> None:
    """Encode a picture as LP features and decode it; report bits per pixel, PSNR and SSIM.

    LPs are the network's learnable position tokens. A super-resolution
    checkpoint adds its field to the picture's own pixels, which then count as
    bits too.
    """
    from ginr.pictures import ReadRules
    from ginr.rendering.field_file import is_field

    rules = ReadRules(strict, allow_truncated, allow_large)
    target, writing = parse_target(scale, size), Writing(quality, overwrite)
    output = output_of(source, output, named)
    if not is_field(source):
        choice = NetworkChoice(checkpoint or "reconstruct", device, precision, bank=bank)
        record = _from_picture(
            source, output, save_field, quantize is not None, choice, target, writing, rules
        )
    elif save_field is not None or quantize is not None or bank is not None:
        raise console.UsageError(
            f"{source} is already a saved field: leave out --save-field, --quantize and --bank"
        )
    elif output is None:
        raise console.UsageError(
            f"{source} is a saved field: name an output picture, such as {source.stem}.png"
        )
    else:
        record = _from_field(source, output, checkpoint, device, target, writing)
    if as_json:
        console.result_json(record.as_json())
    else:
        for line in record.lines():
            console.result(line)


def _from_picture(
    source: Path,
    output: Path | None,
    field_path: Path | None,
    quantize: bool,
    choice: NetworkChoice,
    target: Target,
    writing: Writing,
    rules: "ReadRules",
) -> Reconstruction:
    from ginr.checkpoints.checkpoint import peek
    from ginr.measuring.whole_pictures import likeness
    from ginr.pictures import losses, network_losses, read_picture, without_place
    from ginr.rendering.field_file import save_field
    from ginr.rendering.picture_field import encode_picture

    check_network(choice)
    native = probe_size(source, rules)
    size = target.resolve(*native)
    if output is not None:
        check_output(source, output, size, writing)
    if field_path is not None:
        _check_field(field_path, choice.checkpoint, writing.overwrite)
    clear_left_over(path.parent for path in (output, field_path) if path is not None)
    network = load_network(choice)
    picture = read_picture(source, rules)
    is_larger = output is not None and size != native
    if is_larger:
        picture = without_place(picture)
    lost = [] if output is None else [*losses(picture, output), *network_losses(picture)]
    console.say_notes(source, [*picture.notes, *lost])
    n_px = native[0] * native[1]
    with console.Meter(2 * n_px + is_larger * size[0] * size[1]) as meter:
        start = time.perf_counter()
        meter.begin(f"{source.name}: encoding", 0)
        field = encode_picture(
            picture, network.model, precision=network.precision, progress=meter.advance
        )
        if quantize:
            field = field.quantized()
        meter.begin(f"{source.name}: rendering", n_px)
        result = _render(field, network, native, meter)
        seconds = time.perf_counter() - start
        alike = likeness(picture, result)
        if field_path is not None:
            with deferred():
                save_field(field_path, field, peek(choice.checkpoint))
        if is_larger:
            meter.begin(f"{source.name}: rendering larger", 2 * n_px)
            result = _render(field, network, size, meter)
        if output is not None:
            write(replace(picture, samples=result.samples), output, writing)
    return replace(
        reconstruction_of(
            source, field, network.checkpoint, network.device, output, size, field_path
        ),
        psnr_rgb_db=alike.psnr_rgb, psnr_y_db=alike.psnr_y, ssim_y=alike.ssim_y,
        seconds=round(seconds, 3),
    )  # fmt: skip


def _from_field(
    source: Path,
    output: Path,
    checkpoint: str | None,
    device: str,
    target: Target,
    writing: Writing,
) -> Reconstruction:
    from ginr.rendering.field_file import checkpoint_of, load_field, peek_field

    header = peek_field(source)
    choice = NetworkChoice(str(checkpoint_of(header, checkpoint).path), device)
    size = target.resolve(*header.size)
    check_output(source, output, size, writing)
    clear_left_over([output.parent])
    check_network(choice)
    network = load_network(choice)
    field = load_field(source)
    start = time.perf_counter()
    with console.Meter(size[0] * size[1]) as meter:
        meter.begin(source.name, 0)
        write(_render(field, network, size, meter), output, writing)
    return replace(
        reconstruction_of(source, field, header.checkpoint, network.device, output, size, source),
        seconds=round(time.perf_counter() - start, 3),
    )


def _render(
    field: "PictureField", network: LoadedTorchNetwork, size: Size, meter: console.Meter
) -> "Picture":
    height, width = size
    return field.render(network.model, height=height, width=width, progress=meter.advance)


def _check_field(path: Path, checkpoint: str, overwrite: bool) -> None:
    """Raises `UsageError` or `PictureError` where no field can be saved."""
    from ginr.checkpoints.checkpoint import peek
    from ginr.pictures.formats import check_place
    from ginr.rendering.field_file import is_field

    refuse_own_input(peek(checkpoint).path, path)
    if not is_field(path):
        raise console.UsageError(f"--save-field {path}: name a .safetensors file")
    check_place(path, overwrite)
