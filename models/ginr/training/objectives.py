"""Losses: the difference of colours, alone or with perceptual terms.

Letters: B crops, Q queries per crop, P the side of a patch, Q = P^2.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ginr.errors import GinrError
from ginr.geometry.coords import to_lattice
from ginr.measuring.perceptual import Lpips
from ginr.measuring.perceptual_weights import load_weights, weights_path
from ginr.training.config import TrainConfig
from ginr.training.discriminator import Adversary
from ginr.training.processes import ProcessGroup
from ginr.training.ripples import ripples
from ginr.training.samples import Batch
from ginr.training.texture import detailed

JITTER = 8  # pixels: LPIPS reads every fourth, and patches are shifted so that it reads all of them


class Objective:
    """The mean difference of colours."""

    can_be_recorded = True
    """Whether every step consists of the same operations, so that a GPU can replay it."""

    def __init__(self, kind: str) -> None:
        """`kind` is `l1`, `charbonnier` or `mse`."""
        self._kind = kind

    def __call__(self, colours: Tensor, batch: Batch) -> Tensor:
        """colours (B, Q, 3) at the queries of a batch -> the loss, a scalar."""
        return loss_of(colours - batch.target, self._kind)

    def backward(self, share: float) -> None:
        """Adds the gradients of any second network, scaled by the `share` of the step's crops."""

    def step(self, rate: float) -> None:
        """Updates any second network; `rate` is relative to its peak."""

    def tensors(self) -> dict[str, Tensor]:
        """What a run resumes from."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `tensors` returned."""


class PerceptualObjective(Objective):
    """L1, LPIPS of patches (Zhang et al. 2018), their ripples, and an adversarial loss.

    As in ESRGAN (Wang et al. 2018, arXiv 1809.00219), with another loss and another adversary. LPIPS
    is computed on patches that are shifted and mirrored at random (as in E-LPIPS, Kettunen et al. 2019,
    arXiv 1906.03973), since a network exploits what a fixed grid does not see. Smooth areas, text and
    line art are judged by L1 alone, with more weight, since invented detail is wrong there: for the
    other terms the original replaces them.
    """

    can_be_recorded = False

    def __init__(self, settings: TrainConfig, processes: ProcessGroup) -> None:
        """Raises CheckpointError without the weights of LPIPS."""
        super().__init__("l1")
        self._side = patch_side(settings)
        self._weight, self._ripple_weight = settings.perceptual_weight, settings.ripple_weight
        self._smooth_weight = settings.smooth_weight
        device = processes.device
        self._lpips = Lpips({k: v.to(device) for k, v in load_weights(weights_path()).items()})
        self._adversary: Adversary | None = None
        if settings.loss == "perceptual+adversarial":
            self._adversary = Adversary(settings, processes)
        self._random = torch.Generator().manual_seed(settings.seed)

    def __call__(self, colours: Tensor, batch: Batch) -> Tensor:
        """As `Objective.__call__`; the queries of a crop form a patch, row by row."""
        square = self._side, self._side
        # (B, 3, P, P)
        fake, real = (v.transpose(1, 2).unflatten(2, square) for v in (colours, batch.target))
        places = to_lattice(batch.coords, batch.pixels.shape[2]).unflatten(1, square)
        where = detailed(real)  # (B, 1, P, P)
        loss: Tensor = ((fake - real).abs() * (1 + self._smooth_weight * (1 - where))).mean()
        loss = loss + self._ripple_weight * ripples(fake, real, places)
        loss = loss + self._weight * self._distance(real.lerp(fake, where), real).mean()
        if self._adversary is not None:
            loss = loss + self._adversary.loss(fake, real, where)
        return loss

    def _distance(self, fake: Tensor, real: Tensor) -> Tensor:
        """LPIPS (B,) of patches (B, 3, P, P), shifted and mirrored at random."""
        top, left, *mirrored = torch.randint(JITTER, (4,), generator=self._random).tolist()
        axes = [axis for axis, number in zip((2, 3), mirrored, strict=True) if number % 2]
        pair = (v[..., top:, left:].flip(axes) for v in (fake, real))
        return self._lpips.distance(*pair)

    def backward(self, share: float) -> None:
        if self._adversary is not None:
            self._adversary.backward(share)

    def step(self, rate: float) -> None:
        if self._adversary is not None:
            self._adversary.step(rate)

    def tensors(self) -> dict[str, Tensor]:
        own = {"random": self._random.get_state()}
        return own if self._adversary is None else own | self._adversary.tensors()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self._random.set_state(tensors["random"])
        if self._adversary is not None:
            self._adversary.restore(tensors)


def objective_of(settings: TrainConfig, processes: ProcessGroup, max_scale: float) -> Objective:
    """The loss that `settings.loss` names.

    Raises GinrError if a crop at `max_scale` has no room for a patch, CheckpointError without the
    weights that a perceptual loss needs.
    """
    if not settings.is_perceptual:
        return Objective(settings.loss)
    side = patch_side(settings)
    if side >= settings.crop * max_scale:
        raise GinrError(
            f"n_query is {settings.n_query}, a patch of {side}x{side} pixels: a crop of "
            f"{settings.crop} has {settings.crop * max_scale:.0f} a side at x{max_scale:g}: "
            "lower it, or enlarge the crop"
        )
    return PerceptualObjective(settings, processes)


def patch_side(settings: TrainConfig) -> int:
    """The side of the patch that the queries of a crop form; 0 if they are single places."""
    return math.isqrt(settings.n_query) if settings.is_perceptual else 0


def loss_of(error: Tensor, kind: str) -> Tensor:
    """The mean loss of colour differences of any shape: `l1`, `charbonnier` or `mse`."""
    if kind == "mse":
        return error.square().mean()
    if kind == "charbonnier":
        return (error.square() + 1e-6).sqrt().mean()
    return error.abs().mean()
