"""Muon: matrices move along the nearest orthogonal matrix to their momentum, the rest by AdamW.

K. Jordan et al., Muon: An optimizer for hidden layers in neural networks (2024). Updates are scaled
as in J. Liu et al., Muon is Scalable for LLM Training (arXiv 2502.16982), so learning rates are
those of Adam.
"""

from collections import defaultdict

import torch
from torch import Tensor

MOMENTUM = 0.95
UPDATE_RMS = 0.2  # of the entries of an update, as with Adam
QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest at zero; singular values end between 0.7 and 1.2
N_ITERATION = 5


class Muon(torch.optim.AdamW):
    """AdamW, except for groups marked `matrices`: weights (n_out, n_in, ...), flattened to 2-D.

    Their momentum is the `exp_avg` of their state.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates all weights that have a gradient, and removes the gradients of the matrices."""
        for group in self.param_groups:
            if group.get("matrices"):
                self._step_matrices(group["params"], group["lr"], group["weight_decay"])
        super().step()

    def _step_matrices(self, parameters: list[Tensor], rate: float, decay: float) -> None:
        moved, gradients, momenta = list[Tensor](), list[Tensor](), list[Tensor]()
        for parameter in parameters:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["exp_avg"] = torch.zeros_like(parameter)
            moved.append(parameter)
            gradients.append(parameter.grad)
            momenta.append(state["exp_avg"])
            parameter.grad = None  # else AdamW would use it
        if not moved:
            return
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        updates = list(torch._foreach_lerp(gradients, momenta, MOMENTUM))  # Nesterov
        by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for k, update in enumerate(updates):
            by_shape[update.flatten(1).shape].append(k)
        for shape, members in by_shape.items():
            stacked = torch.stack([updates[k].flatten(1) for k in members])
            scaled = orthogonal(stacked).mul_(rate * UPDATE_RMS * max(shape) ** 0.5)
            for k, update in zip(members, scaled, strict=True):
                updates[k] = update.view_as(moved[k])
        torch._foreach_mul_(moved, 1 - rate * decay)
        torch._foreach_sub_(moved, updates)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (..., m, n) with singular values near 1, by the Newton-Schulz iteration.

    Each iteration multiplies X by a polynomial in X X^T. These commute, so their product is computed
    on the short side, and X is multiplied once.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    square = x @ x.mT
    factor = product = _polynomial(square)
    for _ in range(N_ITERATION - 1):
        square = factor @ square @ factor
        factor = _polynomial(square)
        product = factor @ product
    x = product @ x
    return x.mT if tall else x


def _polynomial(square: Tensor) -> Tensor:
    """a I + b S + c S^2 of S = X X^T."""
    a, b, c = QUINTIC
    factor: Tensor = b * square + c * square @ square
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor
