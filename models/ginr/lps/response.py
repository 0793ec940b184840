"""What LPs hold of one picture, how far each reaches into the result, and how far it looks.

Two questions are answered by measuring. What does an LP answer for? Its encoded feature is set to
zero, and the render is compared with the whole one. What does it see? The gradient of its feature
by the pixels: the squares of the Jacobian, estimated without bias by random signs (Hutchinson
1990). Both are summed over LPs of the middle window, as squares by distance from the LP's place.

Letters: H W the measured part in LR pixels, M its encoded LPs, D width.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import Index, window_plan
from ginr.array_types import Doubles, Image
from ginr.checkpoints.checkpoint import Checkpoint
from ginr.geometry.size import Box
from ginr.lps.measures import diversity, diversity_off_diagonal, effective_rank
from ginr.lps.report import lp_places
from ginr.lps.spread import Spread, Spreading
from ginr.measuring.benchmark import reference
from ginr.measuring.held_out import validate
from ginr.network.model import Ginr
from ginr.pictures import Picture

PART = 256
"""Most LR pixels along a side of the part that is encoded, the middle of the picture."""
N_AROUND = 3
"""Windows kept on each side of the middle one for what its LPs reach and see."""
MAGNIFICATION = 4
"""Scale of the renders that are compared."""
N_REMOVED, N_LOOKED = 256, 16
"""LPs of the middle window that are removed, and looked through, at the most."""
N_SIGN = 2
"""Random signs for each that is looked through."""
EQUAL_SCALE = 2.0
"""Scale at which learned LPs are held against equal ones."""


@dataclass(frozen=True)
class PictureReport:
    """The encoded LPs of one picture, all that the decoder reads, in numbers."""

    picture: str
    box: Box
    """The part that was measured: top, left, bottom, right in pixels."""
    notes: tuple[str, ...]
    """What the part was measured without."""
    n_encoded: int
    norm_min: float
    norm_mean: float
    norm_max: float
    diversity: float
    diversity_off_diagonal: float | None
    effective_rank: float
    window_diversity: tuple[float, float, float]
    """Diversity of the encoded LPs of one window: smallest, mean and largest of the windows."""
    within_windows: float
    """Share of the encoded LPs' variance inside windows; the rest is between windows' means."""
    equal_lps_db: float | None
    """PSNR-Y at x2 gained when all learned vectors are made equal, which is below 0 if knowing
    its place helps an LP; None for a part too small to be halved."""
    effect: Spread
    """Where the render changes when the feature of an LP is set to zero."""
    sight: Spread
    """Where the pixels lie that the feature of an LP follows."""
    places: Doubles = field(repr=False)
    """(M, 2): where the encoded LPs stand in the part, in LR pixels, y first."""
    norms: Doubles = field(repr=False)
    """(M,)"""
    pitch: float
    """LR pixels between the encoded LPs of a lattice, or between tokens where there is none."""
    part: Image = field(repr=False)
    """(H, W, 3)"""


def picture_report(
    checkpoint: Checkpoint,
    picture: Picture,
    name: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PictureReport:
    """The report on a picture, on the CPU; `progress` hears how many LPs are done, of how many."""
    model = checkpoint.build()
    samples, notes = reference(picture)
    box = _middle(samples.shape[0], samples.shape[1])
    part = np.ascontiguousarray(samples[box[0] : box[2], box[1] : box[3]].repeat(
        3 // samples.shape[2], axis=2
    ))  # fmt: skip
    with torch.inference_mode():
        encoded = model.encode(_pixels(part)).features
    window = window_plan(model.config)
    places = encoded_places(model.config, *part.shape[:2])
    features = encoded.flatten(0, -2).float()  # (M, D)
    windows = _by_window(features, places, model.config.window)
    inside = sum(float((w - w.mean(0)).square().sum()) for w in windows)
    variance = float((features - features.mean(0)).square().sum())
    each = [diversity(one) for one in windows]
    norms = features.norm(dim=-1)
    effect, sight = _responses(model, part, progress)
    return PictureReport(
        picture=name,
        box=box,
        notes=notes,
        n_encoded=features.shape[0],
        norm_min=float(norms.min()),
        norm_mean=float(norms.mean()),
        norm_max=float(norms.max()),
        diversity=diversity(features),
        diversity_off_diagonal=diversity_off_diagonal(features),
        effective_rank=effective_rank(features),
        window_diversity=(min(each), sum(each) / len(each), max(each)),
        within_windows=inside / variance if variance else 0.0,
        equal_lps_db=_equal_lps(checkpoint, model, part),
        effect=effect,
        sight=sight,
        places=places,
        norms=norms.double().numpy(),
        pitch=model.config.window / (window.lp_side or window.side),
        part=part,
    )


def encoded_places(config: GinrConfig, height: int, width: int) -> Doubles:
    """Where the encoded LPs of a height x width picture stand, in LR pixels, y first: (M, 2).

    In the order of `Field.features`: row by row on a lattice, else window by window.
    """
    side = window_plan(config).lp_side
    if side is not None:
        counts = (-(-n * side // config.window) for n in (height, width))
        return _grid(*((np.arange(n) + 0.5) * config.window / side - 0.5 for n in counts))
    corners = _grid(*(np.arange(0, n, config.window) for n in (height, width)))
    return (corners[:, None] + lp_places(config)).reshape(-1, 2)


def _responses(
    model: Ginr, part: Image, progress: Callable[[int, int], None]
) -> tuple[Spread, Spread]:
    """What the LPs of the middle window change, and what they see."""
    window = model.config.window
    corner = [max(0, -(-n // window) - 1) // 2 * window for n in part.shape[:2]]
    first = [max(0, n - N_AROUND * window) for n in corner]  # whole windows, as in the picture
    near = part[
        first[0] : corner[0] + (N_AROUND + 1) * window,
        first[1] : corner[1] + (N_AROUND + 1) * window,
    ]
    top, left = (corner[k] - first[k] for k in (0, 1))
    own = (top, left, top + window, left + window)
    places = encoded_places(model.config, *near.shape[:2])
    y, x = places.T
    members = np.flatnonzero(
        (top - 0.5 <= y) & (y < own[2] - 0.5) & (left - 0.5 <= x) & (x < own[3] - 0.5)
    )
    removed, looked = (
        members[np.linspace(0, len(members) - 1, min(n, len(members))).astype(int)]
        for n in (N_REMOVED, N_LOOKED)
    )
    total = len(removed) + len(looked) * N_SIGN
    sight = Spreading(own, per_pixel=1, reach=(N_AROUND + 1) * window // 2)
    for done, (index, square) in enumerate(_gradients(model, near, looked)):
        sight.add(square, places[index])
        progress(done + 1, total)
    effect = Spreading(own, per_pixel=MAGNIFICATION, reach=4)
    for done, (index, square) in enumerate(_changes(model, near, removed)):
        effect.add(square, places[index])
        progress(len(looked) * N_SIGN + done + 1, total)
    return effect.spread(len(removed)), sight.spread(len(looked))


def _gradients(model: Ginr, near: Image, chosen: Index) -> Iterator[tuple[int, Doubles]]:
    """LPs and the squares (H, W) of random projections of their features' gradients."""
    random = torch.Generator().manual_seed(0)
    pixels = _pixels(near).requires_grad_()
    with torch.enable_grad():
        features = model.encode(pixels).features.flatten(0, -2)  # (M, D)
        for index in chosen.tolist():
            for _ in range(N_SIGN):
                sign = torch.randint(2, features.shape[1:], generator=random) * 2.0 - 1
                (gradient,) = torch.autograd.grad(features[index] @ sign, pixels, retain_graph=True)
                yield index, gradient[0].double().square().sum(0).numpy()


@torch.inference_mode()
def _changes(model: Ginr, near: Image, chosen: Index) -> Iterator[tuple[int, Doubles]]:
    """LPs and the squared changes (H', W') of the render without each, MAGNIFICATION as large."""
    whole = model.encode(_pixels(near))
    size = (near.shape[0] * MAGNIFICATION, near.shape[1] * MAGNIFICATION)
    before = whole.render(size)
    for index in chosen.tolist():
        features = whole.features.clone()
        features.flatten(0, -2)[index] = 0
        change = replace(whole, features=features).render(size) - before
        yield index, change[0].double().square().sum(0).numpy()


def _equal_lps(checkpoint: Checkpoint, model: Ginr, part: Image) -> float | None:
    """PSNR-Y gained by making all learned vectors equal."""
    lps = checkpoint.weights["lps"]
    weights = {**checkpoint.weights, "lps": lps.mean(0).expand_as(lps)}
    networks = model, replace(checkpoint, weights=weights).build()
    learned, equal = (validate(network, [part], (EQUAL_SCALE,)).psnr for network in networks)
    return next((equal[scale] - learned[scale] for scale in learned), None)


def _by_window(features: Tensor, places: Doubles, window: int) -> list[Tensor]:
    """Encoded LPs (M, D) window by window."""
    y, x = np.floor((places + 0.5) / window).astype(int).T
    _, which = np.unique(y * (x.max() + 1) + x, return_inverse=True)
    return [features[torch.as_tensor(which == k)] for k in range(which.max() + 1)]


def _middle(height: int, width: int) -> Box:
    """The middle PART x PART pixels, or what there is."""
    top, left = (max(0, n - PART) // 2 for n in (height, width))
    return top, left, min(height, top + PART), min(width, left + PART)


def _pixels(part: Image) -> Tensor:
    """(H, W, 3) 8-bit samples as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(part.transpose(2, 0, 1).astype(np.float32) / 255)[None]


def _grid(y: NDArray[np.generic], x: NDArray[np.generic]) -> Doubles:
    """All pairs of y and x, (n, 2), x running first."""
    pairs: Doubles = np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2).astype(float)
    return pairs
