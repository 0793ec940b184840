"""Ripples: texture that repeats with the LR pixels, which networks tend to invent.

The content of a picture is not aligned with its LR pixels, so its waves of their pitch, or of twice that,
have any phase; what a network invents for one LR pixel it repeats for the next, with the same phase.
Letters: B patches, P their side.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.training.texture import mean_around

WAVES = ((0.5, 0), (0, 0.5), (0.5, 0.5), (0.5, -0.5), (1, 0), (0, 1), (1, 1), (1, -1))
"""Cycles per LR pixel, y first: of the pitch of tokens and of pixels."""
FINE = 9  # pixels a side of the square whose mean is taken away
WINDOW, EVERY = 32, 8  # pixels a side of what a wave's amplitude is taken over, and between two


def ripples(fake: Tensor, real: Tensor, places: Tensor) -> Tensor:
    """By how much the waves of `fake` exceed those of `real`, both (B, 3, P, P): a scalar.

    `places` (B, P, P, 2) are in LR pixels, y first. The sum over `WAVES` of the mean excess.
    """
    found = torch.zeros((), device=fake.device)
    planes = [_detail(v) for v in (fake, real)]
    for wave in WAVES:
        phase = 2 * math.pi * (places @ places.new_tensor(wave))[:, None]  # (B, 1, P, P)
        of_fake, of_real = (_amplitude(plane, phase) for plane in planes)
        found = found + (of_fake - of_real).relu().mean()
    return found


def _detail(patches: Tensor) -> Tensor:
    """The grey (B, 1, P, P) of patches less its mean around each place."""
    grey = patches.mean(1, keepdim=True)
    return grey - mean_around(grey, FINE)


def _amplitude(plane: Tensor, phase: Tensor) -> Tensor:
    """Of a wave in windows of a plane (B, 1, P, P): (B, 1, n, n)."""
    waves = torch.cat([phase.cos(), phase.sin()], 1)
    means = F.avg_pool2d(plane * waves, WINDOW, EVERY)  # (B, 2, n, n)
    return (means.square().sum(1, keepdim=True) + 1e-10).sqrt()
