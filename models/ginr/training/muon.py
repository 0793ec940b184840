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
        moving: list[Tensor] = []
        gradients: list[Tensor] = []
        momenta: list[Tensor] = []
        alike: dict[torch.Size, list[int]] = defaultdict(list)
        for parameter in parameters:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["exp_avg"] = torch.zeros_like(parameter)
            alike[parameter.flatten(1).shape].append(len(moving))
            moving.append(parameter)
            gradients.append(parameter.grad)
            momenta.append(state["exp_avg"])
            parameter.grad = None  # not AdamW's
        if not moving:
            return
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)  # Nesterov's
        moves = list(ahead)
        for shape, members in alike.items():
            flat = torch.stack([ahead[k].flatten(1) for k in members])
            made = orthogonal(flat).mul_(rate * UPDATE_RMS * max(shape) ** 0.5)
            for k, move in zip(members, made, strict=True):
                moves[k] = move.view_as(moving[k])
        torch._foreach_mul_(moving, 1 - rate * decay)
        torch._foreach_sub_(moving, moves)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (..., m, n) with singular values brought near 1, by Newton and Schulz's iteration.

    It multiplies X by polynomials in X X^T, which all commute: their product is found on the short
    side alone, and X is multiplied once.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    square = x @ x.mT
    factor = product = _factor(square)
    for _ in range(N_ITERATION - 1):
        square = factor @ square @ factor
        factor = _factor(square)
        product = factor @ product
    x = product @ x
    return x.mT if tall else x


def _factor(square: Tensor) -> Tensor:
    """What a step multiplies X by, from X X^T."""
    a, b, c = QUINTIC
    factor: Tensor = b * square + c * square @ square
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor
