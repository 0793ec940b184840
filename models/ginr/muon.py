"""Muon: matrices move along the nearest orthogonal matrix to their momentum, the rest by AdamW.

K. Jordan et al., Muon: An optimizer for hidden layers in neural networks (2024); the size of an
update after J. Liu et al., Muon is Scalable for LLM Training (arXiv 2502.16982), so that rates are
those of Adam.
"""

from collections import defaultdict

import torch
from torch import Tensor

MOMENTUM = 0.95
UPDATE_RMS = 0.2  # of a matrix's entries, as Adam's has it
QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest at zero, singular values end between 0.7 and 1.2
N_ITERATION = 5


class Muon(torch.optim.AdamW):
    """AdamW, but for the groups marked `matrices`: weights (n_out, n_in, ...), flattened to two axes.

    Their momentum is the `exp_avg` of their state.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all weights that have a gradient; those of matrices are gone afterwards."""
        for group in self.param_groups:
            if group.get("matrices"):
                self._move(group["params"], group["lr"], group["weight_decay"])
        super().step()

    def _move(self, parameters: list[Tensor], rate: float, decay: float) -> None:
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in parameters:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["exp_avg"] = torch.zeros_like(parameter)
            momentum = state["exp_avg"].lerp_(parameter.grad, 1 - MOMENTUM)
            ahead = parameter.grad.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov's
            alike[ahead.shape].append((parameter, ahead))
            parameter.grad = None  # not AdamW's
        for shape, members in alike.items():
            moves = orthogonal(torch.stack([ahead for _, ahead in members]))
            size = rate * UPDATE_RMS * max(shape) ** 0.5
            for (parameter, _), move in zip(members, moves, strict=True):
                parameter.mul_(1 - rate * decay).sub_(move.view_as(parameter), alpha=size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (..., m, n) with singular values brought near 1, by Newton and Schulz's iteration."""
    a, b, c = QUINTIC
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    for _ in range(N_ITERATION):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
