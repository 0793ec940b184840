"""Layers of channels-last lattices and sequences: linear maps, convolutions.

Letters: B batch, h w a lattice.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
