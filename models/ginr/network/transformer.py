"""The mixer `transformer`: every step attends to all steps of its window (arXiv 1706.03762).

Positions are added once, to tokens and LPs (`sinusoidal`, `learned`), or turn queries and keys in
every mixer (`rope`, arXiv 2104.09864, one half of a head by y and the other by x).

Letters: B batch or sequences, L tokens and N LPs of a window, T = L + N steps, D width, E inner width,
M heads, K channels per head.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import places, window_plan
from ginr.network.layers import RESIDUAL_INIT, Pointwise
from ginr.network.mixer import Mixer
from ginr.network.sequences import repeated

SLOWEST = {"sinusoidal": 10_000.0, "rope": 100.0}
"""Longest wavelength over the shortest, which is 2 pi tokens; windows have 4 to 64 tokens a side."""


class Attention(Mixer):
    """Multi-head self-attention, in both directions alike."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.turns = config.positions == "rope"
        self.query, self.key, self.value = (
            Pointwise(config.width, config.inner, bias=False) for _ in range(3)
        )
        self.out = Pointwise(config.inner, config.width, gain=RESIDUAL_INIT, bias=False)

    def forward(self, sequence: Tensor, positions: Tensor, values: Tensor | None = None) -> Tensor:
        mixed = sequence if values is None else values
        query, key, value = (
            layer(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2)  # (B, M, T, K)
            for layer, x in ((self.query, sequence), (self.key, sequence), (self.value, mixed))
        )
        if self.turns:
            angles = phases(positions.float(), query.shape[-1], SLOWEST["rope"])  # (T, K / 2)
            query, key = turned(query, angles), turned(key, angles)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class PositionTable(nn.Module):
    """A vector for each token and each LP of a window, learned or of sines and cosines, (L + N, D)."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__()
        window = window_plan(config)
        self.side, self.lp_side = window.side, window.lp_side
        if config.positions == "learned":
            table = torch.randn(config.seq_len + config.n_lp, config.width) * 0.02
            self.table = nn.Parameter(table)
        else:
            where = torch.from_numpy(np.concatenate(places(config))).float()
            angles = phases(where, config.width, SLOWEST["sinusoidal"])
            table = torch.cat([angles.sin(), angles.cos()], -1)
            self.register_buffer("table", table, persistent=False)

    def forward(self, tokens: Tensor, lps: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, h, w, D) and lps (B, h', w', D), without a lattice (B, W, N, D), at their places."""
        own, of_lps = self.table.split([self.side**2, len(self.table) - self.side**2])
        if self.lp_side is not None:
            of_lps = of_lps.unflatten(0, (self.lp_side, self.lp_side))
        own = own.unflatten(0, (self.side, self.side))
        return tokens + repeated(own, tokens.shape[1:3]), lps + repeated(of_lps, lps.shape[1:3])


def phases(positions: Tensor, width: int, slowest: float) -> Tensor:
    """positions (T, 2) as angles (T, width / 2): a quarter of the width by y, then one by x."""
    n = width // 4
    rates = slowest ** -(torch.arange(n, device=positions.device) / n)
    return (positions[:, :, None] * rates).flatten(1)


def turned(x: Tensor, angles: Tensor) -> Tensor:
    """x (..., T, K), its pairs k and k + K / 2 turned by angles (T, K / 2)."""
    one, other = x.chunk(2, -1)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], -1)
