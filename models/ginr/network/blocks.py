"""The encoder: blocks of a mixer (see `ginr.network.mixer`) and convolutional feed-forwards.

Letters: B batch, C vectors of the bank, W windows, T = L + N steps, D width. Lattices are channels-last
tensors (B, h, w, D), so that a row of a lattice is a step of a sequence.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.architecture.folding import content_map, scaled_channels
from ginr.architecture.tokens import window_plan
from ginr.network.layers import RESIDUAL_INIT, Conv, Pointwise
from ginr.network.mamba import Mamba
from ginr.network.mamba2 import Mamba2
from ginr.network.mixer import Mixer
from ginr.network.sequences import SequenceLayout, spread
from ginr.network.transformer import Attention

MIXERS: dict[str, Callable[[GinrConfig], Mixer]] = {
    "mamba2": Mamba2,
    "mamba": Mamba,
    "transformer": Attention,
}


class FeedForward(nn.Module):
    """x + W2 gelu(conv(norm(x))) on a lattice (B, h, w, D), its hidden channels scaled by the LPs if configured."""

    def __init__(self, config: GinrConfig, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.conv = Conv(config.width, config.hidden, kernel)
        self.out = Pointwise(config.hidden, config.width, gain=RESIDUAL_INIT)
        if config.lps_scale:
            self.scale, self.shift = (
                Pointwise(config.width, config.hidden, gain=0, bias=False) for _ in range(2)
            )

    def forward(self, x: Tensor, bank: Tensor) -> Tensor:
        """x (B, h, w, D) and the bank (C, D) -> (B, h, w, D)."""
        conv = scaled_channels(dict(self.named_parameters()), bank)
        hidden = F.gelu(self.conv(self.norm(x), conv["conv.weight"], conv["conv.bias"]))
        out: Tensor = x + self.out(hidden)
        return out


class ContentPath(nn.Module):
    """Adds to each LP what it takes from the tokens it represents: its vector is the query.

    See `ginr.architecture.folding` for the formula. If LPs form a lattice, an LP represents a square
    of tokens, or a token covers a square of LPs. Otherwise an LP represents the token just before it
    in the sequence.
    """

    def __init__(self, config: GinrConfig, gain: float) -> None:
        super().__init__()
        window = window_plan(config)
        lp_side = window.lp_side or 0
        self.down = max(1, window.side // lp_side) if lp_side else 1  # tokens per LP, per axis
        self.up = max(1, lp_side // window.side)  # LPs per token, per axis
        # Raster index of the token that each LP of a window represents, if there is no lattice.
        self.source = None if lp_side else window.curves[0][window.plan.block[:, -1]]
        self.side = window.side
        self.by_place = config.bank == "place" and self.source is None
        """Whether the vectors are those of a token's square, the same for every token."""
        self.config = config
        n_mixed = self.up**2
        width = config.width
        self.value = Pointwise(
            self.down**2 * width, n_mixed * width, gain=gain * n_mixed**-0.5, bias=False
        )
        self.query = Pointwise(width, n_mixed * width, gain=width**0.5)
        self.shift = Pointwise(width, width, gain=0)
        if config.bank == "window":  # short vectors: LPs take nearly the same at first
            self.query.bias = nn.Parameter(torch.ones(n_mixed * width))

    def forward(self, tokens: Tensor, bank: Tensor) -> Tensor:
        """tokens (B, h, w, D), the bank (C, D) -> the increments of the LPs (B, h', w', D)."""
        if self.by_place:
            folded = content_map(dict(self.named_parameters()), bank)
            squares = space_to_depth(tokens, self.down)  # (B, .., E)
            mapped = F.linear(squares, folded["map.weight"][:, :, 0, 0], folded["map.bias"])
            return depth_to_space(mapped, self.up)
        return self.plain(tokens, bank)

    def plain(self, tokens: Tensor, bank: Tensor) -> Tensor:
        """As `forward`, by the formula: every LP has its query."""
        if self.source is not None:
            source = torch.as_tensor(self.source, device=tokens.device)
            values = self.value(_to_windows(tokens, self.side).index_select(2, source))
        else:
            values = self.value(space_to_depth(tokens, self.down))  # (B, .., J D)
        if self.up > 1:  # a token's values, for each of its LPs
            values = values.repeat_interleave(self.up, 1).repeat_interleave(self.up, 2)
        lattice = values.shape[1], values.shape[2]
        gates, shift = (
            spread(self.config, layer(bank), lattice) for layer in (self.query, self.shift)
        )
        taken: Tensor = (gates * values).unflatten(-1, (-1, shift.shape[-1])).sum(-2)
        return taken + shift

    def onto(self, lps: Tensor, tokens: Tensor, bank: Tensor) -> Tensor:
        """lps (B, h', w', D) plus `forward` of the tokens."""
        increment: Tensor = self(tokens, bank)
        return lps + increment


def space_to_depth(x: Tensor, factor: int) -> Tensor:
    """(B, h f, w f, D) -> (B, h, w, f f D), each square in raster order."""
    if factor == 1:
        return x
    x = x.unflatten(1, (-1, factor)).unflatten(3, (-1, factor))  # (B, h, f, w, f, D)
    return x.transpose(2, 3).flatten(3)


def depth_to_space(x: Tensor, factor: int) -> Tensor:
    """(B, h, w, f f D) -> (B, h f, w f, D), the inverse of `space_to_depth`."""
    if factor == 1:
        return x
    x = x.unflatten(3, (factor, factor, -1)).transpose(2, 3)  # (B, h, f, w, f, D)
    return x.flatten(3, 4).flatten(1, 2)


def _to_windows(x: Tensor, side: int) -> Tensor:
    x = x.unflatten(1, (-1, side)).unflatten(3, (-1, side))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (B, W, side side, D)


class Block(nn.Module):
    """Mixer over the interleaved sequence, feed-forward on each lattice, content for the LPs."""

    def __init__(self, config: GinrConfig, index: int) -> None:
        super().__init__()
        lp_kernel = config.kernel if window_plan(config).lp_side else 1
        scans = index % config.scan_every == 0
        self.norm = nn.LayerNorm(config.width) if scans else None
        self.mixer = MIXERS[config.mixer](config) if scans else None
        self.raw = config.values == "raw"
        self.token_ff = FeedForward(config, config.kernel)
        self.lp_ff = FeedForward(config, lp_kernel) if config.n_lp else None
        self.content = ContentPath(config, RESIDUAL_INIT) if config.content == "blocks" else None

    def forward(
        self, tokens: Tensor, lps: Tensor, bank: Tensor, layout: SequenceLayout
    ) -> tuple[Tensor, Tensor]:
        """tokens (B, h, w, D), lps (B, h', w', D) -> the same shapes; the bank is (C, D)."""
        if self.mixer is not None:
            tokens, lps = self.mix(tokens, lps, layout)
        tokens = self.token_ff(tokens, bank)
        if self.content is not None:
            lps = self.content.onto(lps, tokens, bank)
        if self.lp_ff is not None:
            lps = self.lp_ff(lps, bank)
        return tokens, lps

    def mix(self, tokens: Tensor, lps: Tensor, layout: SequenceLayout) -> tuple[Tensor, Tensor]:
        """tokens and lps, each plus the mixer's output."""
        assert self.norm is not None and self.mixer is not None
        sequence = layout.interleave(tokens, lps)  # (B W, T, D)
        values = sequence if self.raw else None
        mixed = self.mixer(self.norm(sequence), layout.positions, values)
        token_part, lp_part = layout.split(mixed)
        return tokens + token_part, lps + lp_part
