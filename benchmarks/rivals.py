"""Other networks in outline, for comparing times: their weights are random, which does not affect it.

Written from the papers' descriptions, for x4. Letters: B batch, C channels, Q queries.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Edsr(nn.Module):
    """EDSR-baseline (arXiv 1707.02921), 1.5 M parameters: (B, 3, H, W) -> (B, 3, 4 H, 4 W)."""

    def __init__(self, width: int = 64, n_block: int = 16) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        blocks = [_Residual(width) for _ in range(n_block)]
        self.body = nn.Sequential(*blocks, nn.Conv2d(width, width, 3, padding=1))
        stage = [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
        again = [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
        self.tail = nn.Sequential(*stage, *again, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.head(pixels)
        upscaled: Tensor = self.tail(x + self.body(x))
        return upscaled


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = x + self.body(x)
        return summed


class Smfa(nn.Module):
    """SMFANet (ECCV 2024), 0.2 M parameters: (B, 3, H, W) -> (B, 3, 4 H, 4 W)."""

    def __init__(self, width: int = 36, n_block: int = 8) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*(_Modulated(width) for _ in range(n_block)))
        self.tail = nn.Sequential(nn.Conv2d(width, 48, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.head(pixels)
        upscaled: Tensor = self.tail(x + self.body(x))
        return upscaled


class _Modulated(nn.Module):
    """A gate from pooled features next to local mixing, then a partly convolved feed-forward."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.split = nn.Conv2d(width, 2 * width, 1)
        self.pooled = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.gate = nn.Conv2d(width, width, 1)
        self.share = nn.Parameter(torch.zeros(2, width, 1, 1))
        self.local = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, padding=1, groups=width),
            nn.Conv2d(2 * width, 2 * width, 1),
            nn.GELU(),
            nn.Conv2d(2 * width, width, 1),
        )
        self.merge = nn.Conv2d(width, width, 1)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.partial = nn.Conv2d(width // 2, width // 2, 3, padding=1)
        self.narrow = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y, z = self.split(F.normalize(x, dim=1)).chunk(2, dim=1)
        small = [max(1, n // 8) for n in z.shape[2:]]
        level = self.pooled(F.adaptive_max_pool2d(z, small)) * self.share[0]
        level = level + z.var((2, 3), keepdim=True) * self.share[1]
        wide = F.interpolate(F.gelu(self.gate(level)), size=z.shape[2:], mode="nearest")
        x = x + self.merge(z * wide + self.local(y))
        hidden = F.gelu(self.widen(F.normalize(x, dim=1)))
        part, rest = hidden.split([hidden.shape[1] // 4, hidden.shape[1] * 3 // 4], dim=1)
        out: Tensor = x + self.narrow(torch.cat([F.gelu(self.partial(part)), rest], dim=1))
        return out


class LiifDecoder(nn.Module):
    """LIIF's decoder (arXiv 2012.09161): 3x3 features unfolded, four of them blended, a 5-layer MLP."""

    def __init__(self, width: int, hidden: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = 9 * width + 4
        for _ in range(4):
            layers += [nn.Linear(n_in, hidden), nn.ReLU(inplace=True)]
            n_in = hidden
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden, 3))

    def forward(self, features: Tensor, size: tuple[int, int], rows: int = 16) -> Tensor:
        """features (B, h, w, C) -> (B, 3, H', W'), some rows of the output at a time."""
        lattice = F.unfold(features.permute(0, 3, 1, 2), 3, padding=1)
        lattice = lattice.unflatten(2, features.shape[1:3])  # (B, 9 C, h, w)
        y, x = ((torch.arange(n) + 0.5) * 2 / n - 1 for n in size)
        parts = [self._rows(lattice, part, x, size) for part in y.split(rows)]
        return torch.cat(parts, dim=2)

    def _rows(self, lattice: Tensor, y: Tensor, x: Tensor, size: tuple[int, int]) -> Tensor:
        place = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)  # (h', W', 2), x first
        cell = place.new_tensor([2 / size[1], 2 / size[0]]).expand_as(place)
        total = weights = torch.zeros(())
        height, width = lattice.shape[2:]
        for dy in (-1, 1):
            for dx in (-1, 1):
                moved = place + place.new_tensor([dx / width, dy / height])
                near = F.grid_sample(lattice, moved[None], mode="nearest", align_corners=False)
                offset = (moved - place) * place.new_tensor([width, height])
                place_and_cell = torch.cat([offset, cell], -1).permute(2, 0, 1)[None]
                rgb = self.mlp(torch.cat([near, place_and_cell], 1).flatten(2).transpose(1, 2))
                weight = offset.prod(-1).abs().flatten()[:, None] + 1e-9
                total, weights = total + rgb * weight, weights + weight
        return (total / weights).transpose(1, 2).unflatten(2, place.shape[:2])
