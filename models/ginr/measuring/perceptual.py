"""LPIPS and DISTS: how different two pictures look, by the features of networks that classify.

LPIPS: Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep features as
a perceptual metric", CVPR 2018 (arXiv 1801.03924), version 0.1 with AlexNet. DISTS: Ding, Ma, Wang
and Simoncelli, "Image quality assessment: unifying structure and texture similarity", IEEE TPAMI
44(5), 2022 (arXiv 2004.07728), with VGG16. Letters: B pictures, C channels, H and W pixels.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.array_types import Image
from ginr.errors import SizeError
from ginr.measuring.metrics import LPIPS_SIDE
from ginr.measuring.perceptual_weights import ALEXNET, DISTS_WIDTHS, VGG16

Convolution = tuple[Tensor, Tensor]  # (O, C, h, w), (O,)

# Mean and deviation of a channel: those LPIPS was trained with, for [-1, 1], and ImageNet's, for [0, 1].
_LPIPS_RANGE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_IMAGENET_RANGE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LEAST_NORM = 1e-10
_DISTS_C = 1e-6  # c1 and c2 of the paper
_STAGES = (2, 4, 7, 10)  # convolutions of VGG16 after a pooling
_GROUP = 8  # channels that DISTS compares at a time: copies of all would double its memory


class Lpips:
    """LPIPS with AlexNet: 0 for equal pictures, about 0.7 for a picture and noise."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """`weights` as from `load_weights`, on any device and of any floating type."""
        self._convolutions = _convolutions(weights, "alexnet", len(ALEXNET))
        self._heads = [weights[f"lpips.{k}"].view(1, -1, 1, 1) for k in range(len(ALEXNET))]

    def maps(self, pixels: Tensor) -> Iterator[Tensor]:
        """pixels (B, 3, H, W) in [0, 1] -> AlexNet's five maps after ReLU, (B, C, h, w) each.

        Raises SizeError if H or W is below 31: the second pooling would have no window.
        """
        height, width = pixels.shape[2:]
        if min(height, width) < LPIPS_SIDE:
            raise SizeError(
                f"{width}x{height} pixels are too few for LPIPS: at least {LPIPS_SIDE} a side"
            )
        x = _normalized(2 * pixels - 1, _LPIPS_RANGE)
        for k, (kernel, bias) in enumerate(self._convolutions):
            if k in (1, 2):
                x = F.max_pool2d(x, 3, stride=2)
            stride, padding = (4, 2) if k == 0 else (1, kernel.shape[2] // 2)
            x = torch.relu_(F.conv2d(x, kernel, bias, stride, padding))
            yield x

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1], or one for all of the other, -> (B,); differentiable.

        The channels of each place are scaled to a norm of 1; their squared differences are weighted,
        and averaged over the places (equation 1 of the paper). Raises SizeError as `maps` does.
        """
        parts = []
        for a, b, head in zip(self.maps(x), self.maps(y), self._heads, strict=True):
            difference = F.normalize(a, eps=_LEAST_NORM) - F.normalize(b, eps=_LEAST_NORM)
            parts.append((head * difference.square()).sum(1).mean((1, 2)))
        return torch.stack(parts).sum(0)


class Dists:
    """DISTS: 0 for equal pictures, at most about 1; forgives a texture's other grains."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """`weights` as for `Lpips`; alpha and beta sum to 1."""
        self._convolutions = _convolutions(weights, "vgg16", len(VGG16))
        self._alphas, self._betas = (
            weights[name].view(1, -1, 1, 1).split(DISTS_WIDTHS, 1)
            for name in ("dists.alpha", "dists.beta")
        )
        window = weights["vgg16.0.bias"].new_tensor(np.hanning(5)[1:-1])
        self._window = torch.outer(window, window) / window.sum() ** 2  # (3, 3)

    def maps(self, pixels: Tensor) -> Iterator[Tensor]:
        """pixels (B, 3, H, W) in [0, 1] -> themselves and the last map of VGG16's five stages."""
        yield pixels
        x = _normalized(pixels, _IMAGENET_RANGE)
        for k, (kernel, bias) in enumerate(self._convolutions):
            if k in _STAGES:
                yield x
                x = self._pooled(x)
            x = torch.relu_(F.conv2d(x, kernel, bias, padding=1))
        yield x

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1], or one for all of the other, -> (B,); differentiable.

        How far the similarities of every channel's means (texture, equation 6 of the paper) and
        deviations from them (structure, equation 7) are from 1, weighted.
        """
        parts = []
        for maps in zip(self.maps(x), self.maps(y), self._alphas, self._betas, strict=True):
            for few in zip(*(m.split(_GROUP, 1) for m in maps), strict=True):
                parts.append(_dissimilarity(*few))
        return torch.stack(parts).sum(0)

    def _pooled(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2)): root mean squares under a Hann window."""
        n_channel = x.shape[1]
        kernel = self._window.expand(n_channel, 1, 3, 3)
        squares = F.conv2d(x.square(), kernel, stride=2, padding=1, groups=n_channel)
        return (squares + 1e-12).sqrt()


def _dissimilarity(a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """(B, C, h, w) and weights (1, C, 1, 1) -> (B,), exactly 0 for equal maps."""
    mean_a, mean_b = (m.mean((2, 3), keepdim=True) for m in (a, b))  # (B, C, 1, 1)
    a, b = a - mean_a, b - mean_b
    squares = (a.square() + b.square()).mean((2, 3), keepdim=True)
    products = (a * b).mean((2, 3), keepdim=True)
    texture = (2 * mean_a * mean_b + _DISTS_C) / (mean_a**2 + mean_b**2 + _DISTS_C)
    structure = (2 * products + _DISTS_C) / (squares + _DISTS_C)
    return (alpha * (1 - texture) + beta * (1 - structure)).sum((1, 2, 3))


class PerceptualMeasures:
    """LPIPS and DISTS of 8-bit pictures: the `Perceptual` of `ginr.measuring.benchmark`."""

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device) -> None:
        """`weights` as from `load_weights`."""
        self._device = device
        placed = {name: weight.to(device) for name, weight in weights.items()}
        self._measures = Lpips(placed), Dists(placed)

    @torch.inference_mode()
    def __call__(self, original: Image, results: Sequence[Image]) -> list[tuple[float, float]]:
        """LPIPS and DISTS of each result, all (H, W, 3), or (H, W, 1) for grey, which counts as RGB.

        Raises SizeError for fewer than 31 pixels a side.
        """
        x, y = self._pixels([original]), self._pixels(results)
        lpips, dists = (measure.distance(x, y).tolist() for measure in self._measures)
        return list(zip(lpips, dists, strict=True))

    def _pixels(self, images: Sequence[Image]) -> Tensor:
        """(B, 3, H, W) in [0, 1]."""
        planes = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / 255
        return torch.from_numpy(planes).to(self._device).expand(-1, 3, -1, -1)


def _convolutions(weights: Mapping[str, Tensor], network: str, n: int) -> list[Convolution]:
    return [(weights[f"{network}.{k}.weight"], weights[f"{network}.{k}.bias"]) for k in range(n)]


def _normalized(x: Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    mean, deviation = (x.new_tensor(values).view(1, 3, 1, 1) for values in statistics)
    return (x - mean) / deviation
