"""Mixers: they exchange information between the steps of a sequence.

Letters: B sequences, T = L + N steps, D width, E inner width, C channels of a convolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.network.layers import RESIDUAL_INIT, Pointwise
from ginr.network.scan import causal_conv_silu

Pair = tuple[Tensor, Tensor]
"""What the forward and the backward scan read or return."""


class Mixer(nn.Module):
    """The interface of mixers, which are made from a GinrConfig."""

    backend: str | None = None
    """Backend of its scans; None selects the device's fastest."""

    def forward(self, sequence: Tensor, positions: Tensor, values: Tensor | None = None) -> Tensor:
        """sequence (B, T, D) -> (B, T, D).

        `positions` (T, 2) are the places of the steps in the window, in tokens, y first. What is mixed
        is read from `values` (B, T, D), by default the sequence.
        """
        raise NotImplementedError


class BidirectionalScan(Mixer):
    """The gated mean of a forward and a backward scan: H = (E-> + E<-)/2.

    The projections are shared; each direction has its own convolution, decay, step and skip.
    """

    def __init__(self, config: GinrConfig, n_channel: int) -> None:
        super().__init__()
        self.to_packed = Pointwise(config.width, n_channel, bias=False)
        self.to_gate = Pointwise(config.width, config.inner, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(2, config.n_tap, n_channel))
        self.conv_bias = nn.Parameter(torch.zeros(2, n_channel))
        self.add_scan(config)
        self.out = Pointwise(config.inner, config.width, gain=RESIDUAL_INIT, bias=False)
        nn.init.uniform_(self.conv_weight, -(config.n_tap**-0.5), config.n_tap**-0.5)

    def add_scan(self, config: GinrConfig) -> None:
        """Adds the parameters of the scans."""
        raise NotImplementedError

    def scans(self, sequence: Tensor, convolved: Pair, values: Pair | None = None) -> Pair:
        """The scans (B, T, E) of `convolved` (B, T, C), forward and backward.

        The inner channels that are scanned are those of `values` (B, T, C), if given.
        """
        raise NotImplementedError

    def normalised(self, mixed: Tensor) -> Tensor:
        """What goes into the last projection, (B, T, E)."""
        return mixed

    def forward(self, sequence: Tensor, positions: Tensor, values: Tensor | None = None) -> Tensor:
        """As `Mixer.forward`; the order of the steps is all that a scan knows of positions."""
        raw = None if values is None else self.convolved(values)
        forward, backward = self.scans(sequence, self.convolved(sequence), raw)
        mixed = (forward + backward) * F.silu(self.to_gate(sequence)) * 0.5  # (B, T, E)
        out: Tensor = self.out(self.normalised(mixed))
        return out

    def convolved(self, sequence: Tensor) -> Pair:
        """The sequence (B, T, D) projected and convolved, (B, T, C), forward and backward."""
        packed = self.to_packed(sequence)
        return self._convolved(packed, 0), self._convolved(packed, 1)

    def _convolved(self, packed: Tensor, direction: int) -> Tensor:
        weight, bias = self.conv_weight[direction], self.conv_bias[direction]
        return causal_conv_silu(packed, weight, bias, reverse=direction == 1, backend=self.backend)


def initial_steps(*shape: int) -> Tensor:
    """Biases before the softplus whose steps spread over 0.001..0.1, as in the papers' code."""
    step = torch.exp(torch.empty(*shape).uniform_(-6.9, -2.3))
    return step + torch.log(-torch.expm1(-step))  # softplus^-1
