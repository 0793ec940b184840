"""`Ginr`: pixels -> tokens -> tokens and LPs interleaved -> encoder -> LP features -> Field."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import window_plan
from ginr.array_api import mirrored
from ginr.device import Precision, sent
from ginr.errors import SizeError
from ginr.network.attention_decoder import AttentionDecoder
from ginr.network.blocks import BiMamba, Block, ContentPath, Conv
from ginr.network.compiled import attach
from ginr.network.field import Field
from ginr.network.lattice_decoder import LatticeDecoder
from ginr.network.sequences import lp_order, sequence_layout
from ginr.network.transform_start import start_as_transform


class Ginr(nn.Module):
    """The network. It stores nothing about a picture: `encode` returns a value."""

    n_view: ClassVar[int] = 1
    """Views of a picture that it encodes; its fields have this many times the features."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = Conv(3, config.width, config.patch + 2, stride=config.patch, padding=1)
        self.lps = nn.Parameter(initial_lps(config))
        """The learnable position tokens (N, D), in the order of the sequence."""
        self.start = ContentPath(config, 1.0) if config.content != "none" else None
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.n_blocks))
        self.decoder: LatticeDecoder | AttentionDecoder = (
            LatticeDecoder(config) if config.decoder == "lattice" else AttentionDecoder(config)
        )
        start = self.start
        if (
            isinstance(self.decoder, AttentionDecoder)
            and config.base == "none"
            and start is not None
            and start.source is None
            and start.up == 1
        ):
            start_as_transform(self.stem, start, self.decoder, config.patch)
        attach(self)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.lps.device

    def compile(self, backend: str = "inductor") -> None:
        """Compile every block and the decoder's queries by torch.compile, on their first call.

        Blocks of one kind are compiled once. Uses the chunked scan, which torch.compile can fuse.
        """
        for module in self.modules():
            if isinstance(module, BiMamba):
                module.backend = "chunked"
        for block in self.blocks:
            block.compile(dynamic=False, backend=backend)
        query = torch.compile(self.decoder.query, dynamic=False, backend=backend)
        self.decoder.query = query  # type: ignore[method-assign]

    def forward(self, pixels: Tensor, coords: Tensor, cells: Tensor) -> Tensor:
        """pixels (B, 3, H, W) in [0, 1], coords and cells (B, Q, 2) -> rgb (B, Q, 3)."""
        return self.encode(pixels).query(coords, cells)

    def encode(
        self,
        pixels: Tensor,
        *,
        origin: tuple[int, int] = (0, 0),
        size: tuple[int, int] | None = None,
    ) -> Field:
        """pixels (B, 3, H, W) in [0, 1] -> Field.

        For a tile of a larger picture, `origin` is where it starts (LR pixels) and `size` is the
        H, W of the picture, whose coordinates the field then uses. Raises SizeError for another
        shape, or without pixels.
        """
        height, width = pixels.shape[2:]
        if not (pixels.shape[1] == 3 and height and width):
            raise SizeError(f"pixels of shape {tuple(pixels.shape)}: give (B, 3, H, W)")
        lps = self._features(self._whole_windows(pixels))
        base = pixels if self.config.base == "bicubic" else None
        return Field(
            self._crop(lps, height, width), base, size or (height, width), origin, self.decoder
        )

    @torch.inference_mode()
    def encode_planes(
        self,
        layers: Sequence[NDArray[np.float32]],
        *,
        origin: tuple[int, int],
        size: tuple[int, int],
        precision: Precision = "auto",
    ) -> Field:
        """See `ginr.architecture.contract.Encoder`; auto is float32, or as `in_bfloat16` decides."""
        fields, low = [], in_bfloat16(self, precision)
        for layer in layers:  # one by one: a batch of two would need twice the memory
            pixels = sent(torch.from_numpy(layer), self.device).expand(3, -1, -1)[None]
            with torch.autocast(pixels.device.type, torch.bfloat16, enabled=low):
                fields.append(self.encode(pixels, origin=origin, size=size))
        bases = [field.base for field in fields if field.base is not None]
        return replace(
            fields[0],
            features=torch.cat([field.features.float() for field in fields]),
            base=torch.cat(bases) if bases else None,
        )

    def _features(self, pixels: Tensor) -> Tensor:
        """pixels (B, H', W', 3) of whole windows -> LP features, arranged as by `_bank`."""
        tokens = self.stem(pixels - 0.5)  # (B, h, w, D)
        lps = self._bank(tokens)  # (B, h', w', D)
        if self.start is not None:
            lps = self.start.onto(lps, tokens)
        for index, block in enumerate(self.blocks):
            layout = sequence_layout(
                self.config,
                tokens.shape[1] * self.config.patch,
                tokens.shape[2] * self.config.patch,
                index // self.config.scan_every % 2 == 1,  # every other scan
                tokens.device,
            )
            tokens, lps = block(tokens, lps, layout)
        return lps

    def _whole_windows(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) padded below and right to whole windows by mirroring: (B, H', W', 3)."""
        for axis in (2, 3):
            n = pixels.shape[axis]
            if missing := -n % self.config.window:
                index = torch.arange(n + missing, device=pixels.device)
                pixels = pixels.index_select(axis, mirrored(index, n))
        return pixels.permute(0, 2, 3, 1).contiguous()

    def _bank(self, tokens: Tensor) -> Tensor:
        """The N vectors repeated for every window: (B, h', w', D), or (B, W, N, D)."""
        window = window_plan(self.config)
        n_batch = tokens.shape[0]
        down, across = (tokens.shape[k] // window.side for k in (1, 2))
        if window.lp_side is None:
            return self.lps.expand(n_batch, down * across, -1, -1)
        place = lp_order(self.config, tokens.device)
        square: Tensor = self.lps.index_select(0, place).unflatten(
            0, (window.lp_side, window.lp_side)
        )
        return square.repeat(down, across, 1).expand(n_batch, -1, -1, -1)

    def _crop(self, lps: Tensor, height: int, width: int) -> Tensor:
        """LPs of a lattice without those of the padding alone, (B, h', w', D).

        Without a lattice, all LPs by window: (B, down, across, N, D).
        """
        side = window_plan(self.config).lp_side
        if side is None:
            windows: Tensor = lps.unflatten(1, (-1, -(-width // self.config.window)))
            return windows
        rows, columns = (-(-n * side // self.config.window) for n in (height, width))
        return lps[:, :rows, :columns]


def in_bfloat16(model: Ginr, precision: Precision) -> bool:
    """Whether to encode in bfloat16: for auto, on GPUs that support it, if there is a base.

    With a base the result changes by at most 0.008 dB (Set5, x2 and x4), without by up to 0.11 dB.
    """
    device = model.device
    if precision != "auto" or device.type != "cuda" or model.config.base == "none":
        return precision == "bfloat16"
    return torch.cuda.get_device_capability(device) >= (8, 0)


def centred_lps(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the same network, with the mean of its LPs moved into the bias of their content.

    Only the sum of the two matters, so training distributes the mean between them arbitrarily. With
    the mean in the bias, LPs only differ by place, and their diversity measures how much. Weights
    of a network without content are not changed.
    """
    if "start.map.bias" not in weights:
        return dict(weights)
    common = weights["lps"].mean(0)  # (D,)
    bias = weights["start.map.bias"]
    repeated = common.repeat(bias.numel() // common.numel())  # once for each LP of a token
    moved = {"lps": weights["lps"] - common, "start.map.bias": bias + repeated}
    return {**weights, **moved}


def initial_lps(config: GinrConfig) -> Tensor:
    """N vectors of width D: normal with standard deviation 0.02, or Xavier uniform."""
    lps = torch.empty(config.n_lp, config.width)
    if config.lp_init == "xavier":
        return nn.init.xavier_uniform_(lps)
    return nn.init.normal_(lps, std=0.02)
