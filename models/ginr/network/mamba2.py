"""The mixer `mamba2`: bidirectional Mamba-2 (arXiv 2405.21060), whose heads decay as one.

Letters: B sequences, T steps, D width, E inner width, S state, M heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.network.layers import Pointwise
from ginr.network.mixer import BidirectionalScan, Pair, initial_steps
from ginr.network.scan import selective_scan


class Mamba2(BidirectionalScan):
    """Bidirectional Mamba-2 with an RMS norm before the last projection, unless its values are raw."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__(config, config.inner + 2 * config.n_state)

    def add_scan(self, config: GinrConfig) -> None:
        n_head = config.n_head
        self.n_state = config.n_state
        self.to_step = Pointwise(config.width, n_head, bias=False)
        # Decay rates spread over 1..16, as in the paper's code.
        self.log_decay = nn.Parameter(torch.empty(2, n_head).uniform_(1, 16).log())
        self.step_bias = nn.Parameter(initial_steps(2, n_head))
        self.skip = nn.Parameter(torch.ones(2, n_head))
        normalised = config.values == "normalised"
        self.norm = nn.Parameter(torch.ones(config.inner)) if normalised else None

    def scans(self, sequence: Tensor, convolved: Pair, values: Pair | None = None) -> Pair:
        """As `BidirectionalScan.scans`; `convolved` (B, T, E + 2 S)."""
        step = self.to_step(sequence).float()  # (B, T, M)
        if values is not None:
            n = self.out.weight.shape[1]
            forward, backward = (
                torch.cat([own[..., :n], how[..., n:]], -1)
                for own, how in zip(values, convolved, strict=True)
            )
            convolved = forward, backward
        return self._scan(convolved[0], step, 0), self._scan(convolved[1], step, 1)

    def normalised(self, mixed: Tensor) -> Tensor:
        if self.norm is None:
            return mixed
        return F.rms_norm(mixed, self.norm.shape, self.norm.to(mixed.dtype), 1e-5)

    def _scan(self, packed: Tensor, step: Tensor, direction: int) -> Tensor:
        dt, a = F.softplus(step + self.step_bias[direction]), -self.log_decay[direction].exp()
        inputs = packed, dt, a, self.skip[direction], self.n_state
        return selective_scan(*inputs, reverse=direction == 1, backend=self.backend)
