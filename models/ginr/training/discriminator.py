"""The adversary of a perceptual training: distinguishes patches of the field from patches of photographs.

A small patch discriminator (Isola et al. 2017, arXiv 1611.07004) with spectral normalization (Miyato et
al. 2018, arXiv 1802.05957) and a relativistic loss of pairs (Jolicoeur-Martineau 2019, arXiv
1807.00734). Letters: B patches, P their side, p = P / 4.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ginr.training.config import TrainConfig
from ginr.training.processes import ProcessGroup

WIDTHS = (24, 48, 96)
LEAK = 0.2
BETAS = (0.5, 0.99)
PREFIX = "discriminator."
"""Of its tensors in a saved state."""
RATE = 1.0  # as a share of the network's


class Discriminator(nn.Sequential):
    """Patches (B, 3, P, P) in [0, 1] -> (B, 1, p, p): the higher, the more like a photograph."""

    def __init__(self) -> None:
        fine, middle, coarse = WIDTHS
        layers = (
            nn.Conv2d(3, fine, 3, padding=1),
            nn.Conv2d(fine, middle, 4, 2, padding=1),
            nn.Conv2d(middle, middle, 3, padding=1),
            nn.Conv2d(middle, coarse, 4, 2, padding=1),
            nn.Conv2d(coarse, coarse, 3, padding=1),
            nn.Conv2d(coarse, 1, 3, padding=1),
        )
        parts = [nn.Sequential(spectral_norm(layer), nn.LeakyReLU(LEAK)) for layer in layers[:-1]]
        super().__init__(*parts, spectral_norm(layers[-1]))

    def forward(self, patches: Tensor) -> Tensor:
        out: Tensor = super().forward(2 * patches - 1)  # type: ignore[no-untyped-call]
        return out


class Adversary:
    """A discriminator that trains alongside the network, and the adversarial loss."""

    def __init__(self, settings: TrainConfig, processes: ProcessGroup) -> None:
        self._processes, self._weight = processes, settings.adversarial_weight
        self._net = Discriminator().to(processes.device)
        self._rate = RATE * settings.rate
        self._parameters = list(self._net.parameters())
        self._optimizer = torch.optim.Adam(self._parameters, self._rate, BETAS)
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    def loss(self, fake: Tensor, real: Tensor, where: Tensor) -> Tensor:
        """The loss of patches (B, 3, P, P), weighted by `where`, (B, 1, P, P); keeps them for `backward`."""
        weight = F.avg_pool2d(where, 4)
        self._seen = fake.detach(), real, weight
        for parameter in self._parameters:
            parameter.requires_grad_(False)
        with torch.no_grad():
            of_real = self._net(real)
        lead = self._net(fake) - of_real
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        return self._weight * (weight * F.softplus(-lead)).mean()

    def backward(self, share: float) -> None:
        """Adds the discriminator's gradients for the last patches, times `share`."""
        assert self._seen is not None
        fake, real, weight = self._seen
        of_fake, of_real = self._net(torch.cat([fake, real])).chunk(2)
        (share * (weight * F.softplus(of_fake - of_real)).mean()).backward()
        self._seen = None

    def step(self, rate: float) -> None:
        """Updates the discriminator."""
        self._processes.average_gradients(self._parameters)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Weights, vectors of the spectral norms and the optimizer's moments."""
        found: dict[str, Tensor] = dict(self._net.state_dict())
        for k, moments in self._optimizer.state_dict()["state"].items():
            found |= {f"{name}.{k}": value for name, value in moments.items()}
        return {PREFIX + name: value for name, value in found.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `tensors` returned."""
        self._net.load_state_dict({n: tensors[PREFIX + n] for n in self._net.state_dict()})
        moments = {
            k: {name: tensors[f"{PREFIX}{name}.{k}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            for k in range(len(self._parameters))
            if f"{PREFIX}step.{k}" in tensors  # there are none before the first step
        }
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": moments})
