"""Where patches of a photograph have texture, so that some may be invented.

Letters: B patches, C channels, P their side.
"""

import torch.nn.functional as F
from torch import Tensor

AROUND = 13  # pixels a side of the square that is looked at for detail
FINE = 5  # pixels a side of the square whose mean is no detail
SMOOTH, ROUGH = 1.0 / 255, 2.5 / 255  # mean distance from it: below no texture, above only texture
WIDE = 33  # pixels a side of the square in which neighbours are compared
DRAWN, GRAINED = 0.5, 0.3  # share of equal ones: above text or line art, below a photograph


def detailed(patches: Tensor) -> Tensor:
    """How much of patches (B, 3, P, P) is texture: (B, 1, P, P) from 0 to 1.

    It is 0 where they are smooth, out of focus, text or line art.
    """
    fine = (patches - mean_around(patches, FINE)).abs().mean(1, keepdim=True)
    texture = (mean_around(fine, AROUND) - SMOOTH) / (ROUGH - SMOOTH)
    step = (patches - patches.roll(1, 3)).abs().amax(1, keepdim=True)
    equal = mean_around((step < 0.5 / 255).to(patches), WIDE)
    return texture.clamp(0, 1) * ((DRAWN - equal) / (DRAWN - GRAINED)).clamp(0, 1)


def mean_around(x: Tensor, side: int) -> Tensor:
    """The mean of the square of `side` pixels, odd, around each place of x (B, C, P, P)."""
    return F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)
