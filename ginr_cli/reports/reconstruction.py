"""The result of `ginr reconstruct`: bits, quality and files, as text or JSON."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.errors import printable

if TYPE_CHECKING:
    from ginr.rendering.picture_field import PictureField


@dataclass(frozen=True)
class Reconstruction:
    """The result as `--json` prints it; None where not requested or not known."""

    input: str
    checkpoint: str
    device: str
    width: int
    height: int
    feature_numbers: int
    bits_per_number: int
    feature_bits_per_pixel: float
    base_bits_per_pixel: float
    """Of the picture's own samples, if the field is added to them, else 0."""
    bits_per_pixel: float
    compression: float  # 24 bits per pixel, divided by `bits_per_pixel`
    input_bytes: int
    output: str | None = None
    output_width: int | None = None
    output_height: int | None = None
    field: str | None = None
    field_bytes: int | None = None
    psnr_rgb_db: float | None = None  # in JSON null if infinite, for an exact result
    psnr_y_db: float | None = None
    ssim_y: float | None = None
    seconds: float | None = None  # for encoding and rendering

    def as_json(self) -> dict[str, object]:
        """The fields by name, with null for infinity."""
        return {k: None if v == math.inf else v for k, v in asdict(self).items()}

    def lines(self) -> list[str]:
        """A table of two columns."""
        rows = {
            "checkpoint": self.checkpoint,
            "picture": f"{self.width}x{self.height} pixels",
            "LP features": f"{self.feature_numbers:,} numbers of {self.bits_per_number} bits, "
            f"{self.feature_bits_per_pixel:.3f} bits per pixel",
        }
        if self.base_bits_per_pixel:
            base = f"{self.base_bits_per_pixel:.3f} bits per pixel"
            rows["base"] = f"the picture's own pixels, {base}: the field is added to them"
        rows["total"] = f"{self.bits_per_pixel:.3f} bits per pixel ({self.compression:.2f}:1)"
        if self.field != self.input:
            rows["input"] = f"{printable(self.input)}, {self.input_bytes:,} bytes"
        if self.field is not None:
            rows["field"] = f"{printable(self.field)}, {self.field_bytes:,} bytes"
        if self.output is not None:
            size = f"{self.output_width}x{self.output_height} pixels"
            rows["output"] = f"{printable(self.output)}, {size}"
        if self.psnr_rgb_db is not None:
            rows["PSNR"] = f"RGB {self.psnr_rgb_db:.2f} dB, Y {self.psnr_y_db:.2f} dB"
            rows["SSIM"] = f"Y {self.ssim_y:.4f}"
        return [f"{name:<12} {text}" for name, text in rows.items()]


def reconstruction_of(
    source: Path,
    field: "PictureField",
    checkpoint: str,
    device: str,
    output: Path | None,
    out_size: tuple[int, int],
    saved: Path | None,
) -> Reconstruction:
    """The result without scores and time; `out_size` is H, W of the output, if there is one."""
    n_px = field.size[0] * field.size[1]
    total = (field.feature_bits + field.base_bits) / n_px
    return Reconstruction(
        input=str(source),
        checkpoint=checkpoint,
        device=device,
        width=field.size[1],
        height=field.size[0],
        feature_numbers=field.features.numel(),
        bits_per_number=8 * field.features.element_size(),
        feature_bits_per_pixel=field.feature_bits / n_px,
        base_bits_per_pixel=field.base_bits / n_px,
        bits_per_pixel=total,
        compression=24 / total,
        input_bytes=source.stat().st_size,
        output=None if output is None else str(output),
        output_width=None if output is None else out_size[1],
        output_height=None if output is None else out_size[0],
        field=None if saved is None else str(saved),
        field_bytes=None if saved is None else saved.stat().st_size,
    )
