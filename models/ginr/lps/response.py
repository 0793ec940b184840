"""The encoded LPs of one picture: their measures, what each affects and what each depends on.

The effect of an LP is the change of the render when its encoded feature is set to zero. Its sight is
the gradient of its feature with respect to the pixels: the squares of the Jacobian, estimated
without bias by random signs (Hutchinson 1990). Both are summed as squares by the distance from the
LP, over LPs of the middle window.

Letters: H W the measured part in LR pixels, M its encoded LPs, D width.
"""

from collections.abc import Callable, Iterator, Mapping
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
from ginr.lps.reach import Reach, ReachSum
from ginr.lps.report import lp_places
from ginr.measuring.benchmark import reference
from ginr.measuring.held_out import middle, pixels_of, validate
from ginr.network.model import Ginr
from ginr.pictures import Picture

N_AROUND = 3  # windows on each side of the middle one for effect and sight
MAGNIFICATION = 4  # scale of the renders that are compared
N_REMOVED, N_LOOKED = 256, 16  # most LPs whose effect and whose sight are measured
FORGETS = 16.0  # log_decay whose state is gone after any step
N_SIGN = 2  # random sign vectors per LP for its sight
CHANGED_SCALE = 2.0  # scale at which a changed network is measured
CHANGES = ("equal_lps", "shuffled_lps", "no_scan", "no_memory")
"""All learned vectors set to their mean; each given to another; mixers that add nothing; scans whose
state forgets everything at each step (not for a transformer, which has no state)."""


@dataclass(frozen=True)
class PictureReport:
    """The encoded LPs of one picture, the input of the decoder, in numbers."""

    picture: str
    box: Box
    """The measured part: top, left, bottom, right in pixels."""
    notes: tuple[str, ...]
    """What was left out, such as alpha."""
    n_encoded: int
    norm_min: float
    norm_mean: float
    norm_max: float
    diversity: float
    diversity_off_diagonal: float | None
    effective_rank: float
    window_diversity: tuple[float, float, float]
    """Diversity within a window: smallest, mean and largest over the windows."""
    within_windows: float
    """Share of the variance that is within windows; the rest is between their means."""
    changed_db: Mapping[str, float]
    """Gain in PSNR-Y at x2 when a part of the network is changed, negative if the part helps, by the
    names of `CHANGES`; empty for a picture too small to be halved."""
    effect: Reach
    """Change of the render when the feature of an LP is set to zero."""
    sight: Reach
    """Gradient of the feature of an LP with respect to the pixels."""
    places: Doubles = field(repr=False)
    """(M, 2) places of the encoded LPs in the part, in LR pixels, y first."""
    norms: Doubles = field(repr=False)
    """(M,)"""
    pitch: float
    """LR pixels between the encoded LPs of a lattice, or between tokens without one."""
    part: Image = field(repr=False)
    """(H, W, 3)"""


def picture_report(
    checkpoint: Checkpoint,
    picture: Picture,
    name: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PictureReport:
    """The report on a picture, on the CPU. `progress` counts LPs measured, and all of them."""
    model = checkpoint.build()
    samples, notes = reference(picture)
    part = np.ascontiguousarray(middle(samples).repeat(3 // samples.shape[2], axis=2))
    height, width = part.shape[:2]
    top, left = (samples.shape[0] - height) // 2, (samples.shape[1] - width) // 2
    with torch.inference_mode():
        encoded = model.encode(pixels_of(part)).features
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
        box=(top, left, top + height, left + width),
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
        changed_db=_changed(checkpoint, part),
        effect=effect,
        sight=sight,
        places=places,
        norms=norms.double().numpy(),
        pitch=model.config.window / (window.lp_side or window.side),
        part=part,
    )


def encoded_places(config: GinrConfig, height: int, width: int) -> Doubles:
    """Places of the encoded LPs of a height x width picture, in LR pixels, y first: (M, 2).

    In the order of `Field.features`: row by row on a lattice, otherwise window by window.
    """
    side = window_plan(config).lp_side
    if side is not None:
        counts = (-(-n * side // config.window) for n in (height, width))
        return _grid(*((np.arange(n) + 0.5) * config.window / side - 0.5 for n in counts))
    corners = _grid(*(np.arange(0, n, config.window) for n in (height, width)))
    return (corners[:, None] + lp_places(config)).reshape(-1, 2)


def _responses(
    model: Ginr, part: Image, progress: Callable[[int, int], None]
) -> tuple[Reach, Reach]:
    """Effect and sight of the LPs of the middle window."""
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
    sight = ReachSum(own, per_pixel=1, extent=(N_AROUND + 1) * window // 2)
    for done, (index, square) in enumerate(_gradients(model, near, looked)):
        sight.add(square, places[index])
        progress(done + 1, total)
    effect = ReachSum(own, per_pixel=MAGNIFICATION, extent=4)
    for done, (index, square) in enumerate(_changes(model, near, removed)):
        effect.add(square, places[index])
        progress(len(looked) * N_SIGN + done + 1, total)
    return effect.reach(len(removed)), sight.reach(len(looked))


def _gradients(model: Ginr, near: Image, chosen: Index) -> Iterator[tuple[int, Doubles]]:
    """Yields LPs with the squares (H, W) of random projections of their features' gradients."""
    random = torch.Generator().manual_seed(0)
    pixels = pixels_of(near).requires_grad_()
    with torch.enable_grad():
        features = model.encode(pixels).features.flatten(0, -2)  # (M, D)
        for index in chosen.tolist():
            for _ in range(N_SIGN):
                sign = torch.randint(2, features.shape[1:], generator=random) * 2.0 - 1
                (gradient,) = torch.autograd.grad(features[index] @ sign, pixels, retain_graph=True)
                yield index, gradient[0].double().square().sum(0).numpy()


@torch.inference_mode()
def _changes(model: Ginr, near: Image, chosen: Index) -> Iterator[tuple[int, Doubles]]:
    """Yields LPs with the squared change (H', W') of the magnified render without each."""
    whole = model.encode(pixels_of(near))
    size = (near.shape[0] * MAGNIFICATION, near.shape[1] * MAGNIFICATION)
    before = whole.render(size)
    for index in chosen.tolist():
        features = whole.features.clone()
        features.flatten(0, -2)[index] = 0
        change = replace(whole, features=features).render(size) - before
        yield index, change[0].double().square().sum(0).numpy()


def _changed(checkpoint: Checkpoint, part: Image) -> dict[str, float]:
    """Gain in PSNR-Y of each changed network, without back-projection, which makes up for a part."""
    scores = {}
    for change in ("", *CHANGES):
        weights = changed_weights(checkpoint.weights, change)
        if change == "no_memory" and not any(name.endswith("log_decay") for name in weights):
            continue
        network = replace(checkpoint, weights=weights).build()
        network.consistent = False
        scores[change] = validate(network, [part], (CHANGED_SCALE,)).psnr
    first = scores.pop("")
    return {name: score[scale] - first[scale] for name, score in scores.items() for scale in score}


def changed_weights(weights: Mapping[str, Tensor], change: str) -> dict[str, Tensor]:
    """The weights of a network with one of `CHANGES`."""
    lps, found = weights["lps"], dict(weights)
    if change == "equal_lps":
        found["lps"] = lps.mean(0).expand_as(lps)
    elif change == "shuffled_lps":
        found["lps"] = lps.roll(1, 0)
    for name, weight in weights.items():
        if change == "no_scan" and name.endswith("mixer.out.weight"):
            found[name] = torch.zeros_like(weight)
        elif change == "no_memory" and name.endswith("log_decay"):
            found[name] = torch.full_like(weight, FORGETS)
    return found


def _by_window(features: Tensor, places: Doubles, window: int) -> list[Tensor]:
    """Encoded LPs (M, D) by window."""
    y, x = np.floor((places + 0.5) / window).astype(int).T
    _, which = np.unique(y * (x.max() + 1) + x, return_inverse=True)
    return [features[torch.as_tensor(which == k)] for k in range(which.max() + 1)]


def _grid(y: NDArray[np.generic], x: NDArray[np.generic]) -> Doubles:
    """All pairs of y and x, (n, 2), row by row."""
    pairs: Doubles = np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2).astype(float)
    return pairs
