"""The field of a whole picture, to be stored or rendered later: encoded and rendered in tiles.

Letters: B layers (colour, and alpha unless all is opaque), H W the picture, D width, C channels.
"""

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import window_plan
from ginr.device import Precision
from ginr.errors import GinrError
from ginr.geometry.size import Box, output_box
from ginr.network.attention_decoder import surroundings
from ginr.network.field import Field
from ginr.network.model import Ginr, check_is_torch
from ginr.pictures import Picture, quantize
from ginr.rendering.tile_size import MARGIN, whole_windows
from ginr.rendering.upscale import (
    Progress,
    Tiles,
    begin_samples,
    canvas,
    check_size,
    cut_box,
    cut_strips,
    grown,
)

TILE = 512  # side of the core of a tile in LR pixels
LEVELS = 255  # steps between codes 0 and 255


@dataclass(frozen=True, eq=False)
class PictureField:
    """All that a decoder needs to render a picture, in the number formats of a saved field."""

    config: GinrConfig
    size: tuple[int, int]
    """H, W."""
    channels: int
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
    depth: int
    """Bits of the picture's samples: 8 or 16."""
    features: Tensor
    """LP features as in `Field`, float16; or uint8 codes of them."""
    levels: Tensor | None = None
    """For codes: the value of code 0 and the step between codes of each channel, (2, D) float32."""
    base: Tensor | None = None
    """(C, H, W) samples of the picture, premultiplied, if the field is added to them."""
    icc: bytes | None = None

    @property
    def feature_bits(self) -> int:
        """Bits of the LP features, including their levels."""
        return _bits(self.features) + _bits(self.levels)

    @property
    def base_bits(self) -> int:
        """Bits of the base, 0 without one."""
        return _bits(self.base)

    def quantized(self) -> "PictureField":
        """The field with 8-bit codes: each channel from its smallest to its largest value in 255 steps."""
        values = self.features.float()
        least, most = values.flatten(0, -2).aminmax(dim=0)
        step = ((most - least) / LEVELS).clamp_min(1e-12)  # for constant channels
        codes = ((values - least) / step).round().byte()
        return replace(self, features=codes, levels=torch.stack([least, step]))

    @torch.inference_mode()
    def render(
        self, model: Ginr, *, height: int, width: int, progress: Progress | None = None
    ) -> Picture:
        """The picture at height x width pixels, with its own depth, by the decoder of `model`.

        Raises SizeError for a size below 1, and GinrError for one that does not fit into memory or a model
        of another form than the one that encoded the picture.
        """
        check_size(height, width)
        # Converted from format 1, a network has another bank.
        theirs, own = ({**asdict(config), "bank": None} for config in (model.config, self.config))
        if theirs != own:
            raise GinrError("the field is of another network: render it with the one that made it")
        out = canvas((height, width, self.channels), np.uint8 if self.depth == 8 else np.uint16)
        done, kind = 0, (self.channels, self.depth, len(self.features) == 1)
        for core in cut_box((0, 0, *self.size), whole_windows(TILE, self.config.window)):
            field = self.part(core, model)
            for box in cut_strips(output_box(core, self.size, (height, width))):
                top, left, bottom, right = box
                out[top:bottom, left:right] = begin_samples(field, (height, width), box, *kind)()
                done += (bottom - top) * (right - left)
                if progress:
                    progress(done, height * width)
        return Picture(out, icc=self.icc)

    def part(self, core: Box, model: Ginr) -> Field:
        """The field of a core, a box on the grid of windows, and of the margin that its decoder needs."""
        window, n = self.config.window, _rows_per_window(self.config)
        reach = MARGIN
        if self.config.decoder == "attention":
            reach = max(reach, math.ceil(surroundings(self.config).radius))
        top, left, bottom, right = grown(core, whole_windows(reach, window), self.size)
        rows = slice(top // window * n, -(-bottom * n // window))
        columns = slice(left // window * n, -(-right * n // window))
        features = self.features[:, rows, columns].to(model.lps.device, torch.float32)
        if self.levels is not None:
            least, step = self.levels.to(features)
            features = features * step + least
        base = None
        if self.base is not None:
            planes = self.base[:, top:bottom, left:right].to(features) / (2**self.depth - 1)
            layers = [planes[: 3 if self.channels > 2 else 1], planes[-1:]][: len(features)]
            base = torch.stack([layer.expand(3, -1, -1) for layer in layers])
        return Field(features, base, self.size, (top, left), model.decoder, model.consistent)


@torch.inference_mode()
def encode_picture(
    picture: Picture,
    model: Ginr,
    *,
    precision: Precision = "auto",
    progress: Progress | None = None,
) -> PictureField:
    """The field of a picture, encoded in tiles.

    `precision` is that of the encoder, `progress` counts pixels of the picture. Raises GinrError for
    features that float16 cannot represent or memory cannot hold, TypeError for a network without torch.
    """
    check_is_torch(model)
    config, size = model.config, (picture.height, picture.width)
    window, n = config.window, _rows_per_window(config)
    shape, done = features_shape(config, size, 1 if picture.is_opaque else 2), 0
    try:
        features = torch.empty(shape, dtype=torch.float16)
    except RuntimeError:
        gib = math.prod(shape) * 2 / 2**30
        raise GinrError(f"the LP features need {gib:.1f} GiB: use a smaller picture") from None
    tiles = Tiles(picture, model, precision)
    for core in cut_box((0, 0, *size), whole_windows(TILE, window)):
        field = tiles.encode(core)
        inside, own = [], []  # rows and columns of the core in the picture and in the tile
        for k in (0, 1):
            first, count = core[k] // window * n, -(-(core[k + 2] - core[k]) * n // window)
            skip = first - field.origin[k] // window * n
            inside.append(slice(first, first + count))
            own.append(slice(skip, skip + count))
        features[:, inside[0], inside[1]] = field.features[:, own[0], own[1]].to(features)
        done += (core[2] - core[0]) * (core[3] - core[1])
        if progress:
            progress(done, size[0] * size[1])
    if not features.isfinite().all():
        raise GinrError("the LP features are beyond float16: use another checkpoint")
    base = None
    if config.base != "none":
        planes = picture.pixels(0, 0, *size)  # (C, H, W)
        base = torch.from_numpy(
            np.ascontiguousarray(quantize(planes, picture.depth, False).transpose(2, 0, 1))
        )
    return PictureField(
        config, size, picture.channels, picture.depth, features, base=base, icc=picture.icc
    )


def features_shape(config: GinrConfig, size: tuple[int, int], n_layer: int) -> tuple[int, ...]:
    """Shape of `Field.features` for a picture of `size` (H, W)."""
    side = window_plan(config).decoded_side
    rows, columns = (-(-length * (side or 1) // config.window) for length in size)
    per_window = () if side else (config.n_lp,)
    return (n_layer, rows, columns, *per_window, config.width)


def _bits(tensor: Tensor | None) -> int:
    return 0 if tensor is None else 8 * tensor.numel() * tensor.element_size()


def _rows_per_window(config: GinrConfig) -> int:
    """Rows of `Field.features` per window: those of the lattice of LPs, or one without a lattice."""
    return window_plan(config).decoded_side or 1
