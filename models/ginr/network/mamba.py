"""The mixer `mamba`: bidirectional Mamba (arXiv 2312.00752), with a decay for each number of the state.

Letters: B sequences, T steps, D width, E inner width, S state, R rank of the steps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.network.channel_scan import channel_scan
from ginr.network.layers import Pointwise
from ginr.network.mixer import BidirectionalScan, Pair, initial_steps


class Mamba(BidirectionalScan):
    """Bidirectional Mamba; steps, B and C are read from the convolved channels."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__(config, config.inner)

    def add_scan(self, config: GinrConfig) -> None:
        inner, n_state, rank = config.inner, config.n_state, config.step_rank
        self.parts = [rank, n_state, n_state]
        self.to_scan = Pointwise(inner, sum(self.parts), bias=False)
        self.to_step = Pointwise(rank, inner, bias=False)
        self.log_decay = nn.Parameter(torch.arange(1.0, n_state + 1).log().repeat(2, inner, 1))
        self.step_bias = nn.Parameter(initial_steps(2, inner))
        self.skip = nn.Parameter(torch.ones(2, inner))

    def scans(self, sequence: Tensor, convolved: Pair, values: Pair | None = None) -> Pair:
        """As `BidirectionalScan.scans`; `convolved` (B, T, E)."""
        x = convolved if values is None else values
        return self._scan(x[0], convolved[0], 0), self._scan(x[1], convolved[1], 1)

    def _scan(self, x: Tensor, how: Tensor, direction: int) -> Tensor:
        low, b, c = self.to_scan(how).split(self.parts, dim=-1)  # (B, T, R), (B, T, S), (B, T, S)
        dt = F.softplus(self.to_step(low).float() + self.step_bias[direction])
        a, d = -self.log_decay[direction].exp(), self.skip[direction]
        return channel_scan(x, dt, a, b, c, d, reverse=direction == 1, backend=self.backend)
