"""`Ginr`: pixels -> tokens -> tokens and LPs interleaved -> encoder -> LP features -> Field."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.architecture.folding import check_traits, moved_lps
from ginr.architecture.grain import grain_at
from ginr.architecture.tokens import bank_size, window_plan
from ginr.array_api import mirrored
from ginr.device import Precision, sent
from ginr.errors import SizeError
from ginr.kernels.consistency import Finer, Shrinking
from ginr.network.attention_decoder import AttentionDecoder
from ginr.network.blocks import Block, ContentPath
from ginr.network.compiled import attach
from ginr.network.field import Field
from ginr.network.lattice_decoder import LatticeDecoder
from ginr.network.layers import Conv
from ginr.network.mixer import Mixer
from ginr.network.sequences import sequence_layout, spread
from ginr.network.transform_start import start_as_transform
from ginr.network.transformer import PositionTable


class Ginr(nn.Module):
    """The network. It stores nothing about a picture: `encode` returns a value."""

    n_view: ClassVar[int] = 1
    """Views of a picture that it encodes; its fields have this many times the features."""
    consistent: bool = False
    """Whether renders of its fields shrink back to the picture (`Header.consistent`)."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = Conv(3, config.width, config.patch + 2, stride=config.patch, padding=1)
        lps = initial_lps(config)
        self.lps = nn.Parameter(lps) if config.n_lp else nn.Buffer(lps, persistent=False)
        """The bank of learnable position tokens (C, D); a buffer if there are none."""
        if config.n_trait:
            self.traits = nn.Parameter(torch.zeros(config.n_trait, *self.lps.shape))
            """The direction in which each trait of a picture moves the LPs, (K, C, D)."""
        if config.n_grain:
            self.grain = nn.Parameter(torch.zeros(config.n_grain, config.width))
            """Maps the grain of an LP to what is added to it, (G, D)."""
        self._shrinkings: dict[Finer, Shrinking] = {}  # measured by its consistent fields
        self._moved: Tensor | None = None  # the LPs moved once for all pictures, by `adapted`
        self.start = ContentPath(config, 1.0) if config.content != "none" else None
        self.positions = (
            PositionTable(config) if config.positions in ("sinusoidal", "learned") else None
        )
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

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`; discards measurements of weights that may change."""
        self._shrinkings.clear()
        return super().train(mode)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.lps.device

    def adapted(self, traits: NDArray[np.float32]) -> Self:
        """The network for pictures with these traits (K,): a copy that shares all weights.

        Raises GinrError if it was not trained with traits.
        """
        check_traits(self.config, traits)
        other = copy(self)
        with torch.no_grad():
            other._moved = moved_lps(self.lps, self.traits, torch.from_numpy(traits).to(self.lps))
        return other

    def compile(self, backend: str = "inductor") -> None:
        """Compile every block and the decoder's queries by torch.compile, on their first call.

        Blocks of one kind are compiled once. Uses the chunked scan, which torch.compile can fuse.
        """
        for module in self.modules():
            if isinstance(module, Mixer):
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
        traits: Tensor | None = None,
        grain_origin: tuple[int, int] | None = None,
    ) -> Field:
        """pixels (B, 3, H, W) in [0, 1] -> Field.

        `traits` (B, K) of the pictures move the LPs, see `ginr.architecture.folding.moved_lps`.
        For a tile of a larger picture, `origin` is where it starts (LR pixels) and `size` is the
        H, W of the picture, whose coordinates the field then uses. `grain_origin` is where it is in
        the grain, if elsewhere. Raises SizeError for another shape, or without pixels.
        """
        if not (pixels.ndim == 4 and pixels.shape[1] == 3 and all(pixels.shape[2:])):
            raise SizeError(f"pixels of shape {tuple(pixels.shape)}: give (B, 3, H, W)")
        height, width = pixels.shape[2:]
        whole = self._whole_windows(pixels)
        grain = self._grain(whole.shape[1:3], grain_origin or origin)
        if traits is None:
            lps = self._features(whole, self.lps if self._moved is None else self._moved, grain)
        else:  # each picture has its own LPs, and so its own folded weights
            banks = (moved_lps(self.lps, self.traits, own) for own in traits)
            each = zip(whole.split(1), banks, strict=True)
            lps = torch.cat([self._features(own, bank, grain) for own, bank in each])
        base = pixels if self.config.base == "bicubic" else None
        return Field(
            self._crop(lps, height, width), base, size or (height, width), origin, self.decoder,
            self.consistent, self._shrinkings,
        )  # fmt: skip

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

    def _features(self, pixels: Tensor, bank: Tensor, grain: Tensor | None) -> Tensor:
        """pixels (B, H', W', 3) of whole windows, bank (C, D) -> LP features (B, h', w', D).

        Without a lattice of LPs, their features are (B, W, N, D); without LPs, those of the tokens.
        """
        tokens = self.stem(pixels - 0.5)  # (B, h, w, D)
        window = window_plan(self.config)
        down, across = (tokens.shape[k] // window.side for k in (1, 2))
        lattice = (down * across, self.config.n_lp)
        if window.lp_side is not None:
            lattice = (down * window.lp_side, across * window.lp_side)
        lps = spread(self.config, bank, lattice).expand(len(tokens), -1, -1, -1)
        if self.positions is not None:
            tokens, lps = self.positions(tokens, lps)
        if self.start is not None:
            lps = self.start.onto(lps, tokens, bank)
        if grain is not None:
            lps = lps + grain @ self.grain
        for index, block in enumerate(self.blocks):
            transposed = index // self.config.scan_every % 2 == 1  # every other scan
            layout = sequence_layout(self.config, *pixels.shape[1:3], transposed, tokens.device)
            tokens, lps = block(tokens, lps, bank, layout)
        return lps if self.config.n_lp else tokens

    def _grain(self, shape: torch.Size, origin: tuple[int, int]) -> Tensor | None:
        """The grain (1, h', w', G) of the LPs of H', W' pixels that start at `origin`, if there is any."""
        if not self.config.n_grain:
            return None
        side, window = window_plan(self.config).lp_side or 0, self.config.window
        rows, columns = (
            torch.arange(n * side // window, device=self.device) + start * side // window
            for n, start in zip(shape, origin, strict=True)
        )
        found: Tensor = grain_at(rows, columns, self.config.n_grain)[None]
        return found

    def _whole_windows(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) padded below and right to whole windows by mirroring: (B, H', W', 3)."""
        for axis in (2, 3):
            n = pixels.shape[axis]
            if missing := -n % self.config.window:
                index = torch.arange(n + missing, device=pixels.device)
                pixels = pixels.index_select(axis, mirrored(index, n))
        return pixels.permute(0, 2, 3, 1).contiguous()

    def _crop(self, lps: Tensor, height: int, width: int) -> Tensor:
        """LPs of a lattice without those of the padding alone, (B, h', w', D).

        Without a lattice, all LPs by window: (B, down, across, N, D).
        """
        side = window_plan(self.config).decoded_side
        if side is None:
            windows: Tensor = lps.unflatten(1, (-1, -(-width // self.config.window)))
            return windows
        rows, columns = (-(-n * side // self.config.window) for n in (height, width))
        return lps[:, :rows, :columns]


def check_is_torch(model: object) -> None:
    """Raises TypeError for a network that is not one of torch, such as that of `load_cpu_network`."""
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise TypeError(f"{kind} is no network in torch: use load_checkpoint(...).build()")


def in_bfloat16(model: Ginr, precision: Precision) -> bool:
    """Whether to encode in bfloat16: for auto, on GPUs that support it, if there is a base.

    With a base the result changes by at most 0.008 dB (Set5, x2 and x4), without by up to 0.11 dB.
    """
    device = model.device
    if precision != "auto" or device.type != "cuda" or model.config.base == "none":
        return precision == "bfloat16"
    return torch.cuda.get_device_capability(device) >= (8, 0)


def initial_lps(config: GinrConfig) -> Tensor:
    """C vectors of width D: normal, or Xavier uniform.

    Those of a token's square have a length of about 1, so that their queries differ. The many of a
    window, and those that query no content, have a standard deviation of 0.02.
    """
    lps = torch.empty(bank_size(config), config.width)
    if not config.n_lp:  # torch warns of initial values for nothing
        return lps
    if config.lp_init == "xavier":
        return nn.init.xavier_uniform_(lps)
    asks = config.bank == "place" and config.content != "none"
    return nn.init.normal_(lps, std=config.width**-0.5 if asks else 0.02)
