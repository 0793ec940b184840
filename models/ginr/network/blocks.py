"""The encoder: blocks of a bidirectional Mamba-2 mixer and convolutional feed-forwards.

Letters: B batch, C vectors of the bank, W windows, T = L + N steps, D width, E inner width, S state, M heads. Lattices
are channels-last tensors (B, h, w, D), so that a row of a lattice is a step of a sequence.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.architecture.folding import content_map, scaled_channels
from ginr.architecture.tokens import window_plan
from ginr.network.scan import causal_conv_silu, selective_scan
from ginr.network.sequences import SequenceLayout, spread

RESIDUAL_INIT = 0.1  # scales the initial weights of the last layer of every residual branch


class Pointwise(nn.Module):
    """A linear map of the last dimension, computed on the CPU as a 1x1 convolution.

    On the CPU, torch's convolution is twice as fast as its matrix product for long, narrow inputs.
    """

    def __init__(self, n_in: int, n_out: int, *, gain: float = 1.0, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        nn.init.normal_(self.weight, std=gain * n_in**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., n_in) -> (..., n_out)."""
        if x.device.type != "cpu":  # cuDNN does not support pictures of millions of rows
            return F.linear(x, self.weight.flatten(1), self.bias)
        rows = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # channels-last, no copy
        out = F.conv2d(rows, self.weight, self.bias)
        return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


class Conv(nn.Module):
    """A zero-padded 2-D convolution of a channels-last lattice (B, h, w, n_in)."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, *, stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel // 2 if padding is None else padding
        weight = torch.empty(n_out, n_in, kernel, kernel)
        nn.init.normal_(weight, std=(n_in * kernel**2) ** -0.5)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(
        self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """x (B, h, w, n_in) -> (B, h', w', n_out), by its own weights or those given."""
        weight = self.weight if weight is None else weight
        out = F.conv2d(
            x.permute(0, 3, 1, 2),
            weight.contiguous(memory_format=torch.channels_last),
            self.bias if bias is None else bias,
            stride=self.stride,
            padding=self.padding,
        )
        return out.permute(0, 2, 3, 1)


class BiMamba(nn.Module):
    """Bidirectional Mamba-2 (arXiv 2405.21060), the mean of both directions: H = (E-> + E<-)/2.

    The projections are shared; each direction has its own convolution, decay, step and skip.
    """

    backend: str | None = None
    """Backend of both scans, see `ginr.network.scan`; None selects the device's fastest."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__()
        inner, n_head = config.inner, config.n_head
        n_packed = inner + 2 * config.n_state
        self.n_state = config.n_state
        self.to_packed = Pointwise(config.width, n_packed, bias=False)
        self.to_gate = Pointwise(config.width, inner, bias=False)
        self.to_step = Pointwise(config.width, n_head, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(2, config.n_tap, n_packed))
        self.conv_bias = nn.Parameter(torch.zeros(2, n_packed))
        # Decay rates spread over 1..16 and steps over 0.001..0.1, as in the paper's code.
        self.log_decay = nn.Parameter(torch.empty(2, n_head).uniform_(1, 16).log())
        step = torch.exp(torch.empty(2, n_head).uniform_(-6.9, -2.3))
        self.step_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus^-1
        self.skip = nn.Parameter(torch.ones(2, n_head))
        self.norm = nn.Parameter(torch.ones(inner))
        self.out = Pointwise(inner, config.width, gain=RESIDUAL_INIT, bias=False)
        nn.init.uniform_(self.conv_weight, -(config.n_tap**-0.5), config.n_tap**-0.5)

    def forward(self, sequence: Tensor) -> Tensor:
        """sequence (B, T, D) -> (B, T, D)."""
        packed = self.to_packed(sequence)  # (B, T, E + 2 S)
        step = self.to_step(sequence).float()  # (B, T, M)
        forward, backward = (self._scan(packed, step, direction) for direction in (0, 1))
        mixed = (forward + backward) * F.silu(self.to_gate(sequence)) * 0.5  # (B, T, E)
        mixed = F.rms_norm(mixed, self.norm.shape, self.norm.to(mixed.dtype), 1e-5)
        out: Tensor = self.out(mixed)
        return out

    def _scan(self, packed: Tensor, step: Tensor, direction: int) -> Tensor:
        reverse = direction == 1
        mixed = causal_conv_silu(
            packed,
            self.conv_weight[direction],
            self.conv_bias[direction],
            reverse=reverse,
            backend=self.backend,
        )
        return selective_scan(
            mixed,
            F.softplus(step + self.step_bias[direction]),
            -self.log_decay[direction].exp(),
            self.skip[direction],
            self.n_state,
            reverse=reverse,
            backend=self.backend,
        )


class FeedForward(nn.Module):
    """x + W2 gelu(conv(norm(x))) on a lattice (B, h, w, D), its hidden channels scaled by the LPs if asked."""

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
        self.mixer = BiMamba(config) if scans else None
        self.token_ff = FeedForward(config, config.kernel)
        self.lp_ff = FeedForward(config, lp_kernel)
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
        return tokens, self.lp_ff(lps, bank)

    def mix(self, tokens: Tensor, lps: Tensor, layout: SequenceLayout) -> tuple[Tensor, Tensor]:
        """tokens and lps, each plus the mixer's output."""
        assert self.norm is not None and self.mixer is not None
        sequence = layout.interleave(tokens, lps)  # (B W, T, D)
        token_part, lp_part = layout.split(self.mixer(self.norm(sequence)))
        return tokens + token_part, lps + lp_part
