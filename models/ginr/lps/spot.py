"""The LPs of one token of an encoded picture: what each changes, and how alike they are.

Letters: N LPs of the token, D width, H W the pixels around it.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import window_plan
from ginr.array_types import Doubles, Floats
from ginr.errors import GinrError
from ginr.geometry.size import Box

MAGNIFICATION = 4  # scale of the renders that are compared


@dataclass(frozen=True)
class Spot:
    """The LPs of one token, row by row."""

    places: Doubles
    """(N, 2) in LR pixels of the picture, y first."""
    alike: Doubles
    """(N, N) cosine similarities of their features."""
    changes: Doubles
    """(N, H, W) change of the render when the feature of one is set to zero, magnified: the root of
    the mean square over the colours, in 8-bit levels."""
    box: Box
    """The part that `changes` shows, in LR pixels."""


def spot(field: Any, box: Box, config: GinrConfig, place: tuple[int, int]) -> Spot:
    """The LPs of the token at a pixel (y, x), in the `field` of a box around it.

    Raises GinrError for a network whose LPs do not form a lattice.
    """
    plan = window_plan(config)
    if config.decoder != "lattice" or plan.lp_side is None or not config.n_lp:
        raise GinrError("this network's LPs do not stand on a lattice: look at those of small")
    features, side = field.features, plan.lps_per_token
    pitch = config.window / plan.lp_side
    # The first LP of the token, counted in the lattice of the field.
    unit = int(side * pitch)
    first = [
        int((at // unit * unit - start) / pitch)
        for at, start in zip(place, field.origin, strict=True)
    ]
    members = [(first[0] + y, first[1] + x) for y in range(side) for x in range(side)]
    members = [(y, x) for y, x in members if y < features.shape[1] and x < features.shape[2]]
    vectors = np.stack([_host(features[0, y, x]) for y, x in members]).astype(np.float64)
    unit_vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    before, changes = _render(field, box), []
    for y, x in members:
        without = features * 1  # a copy, of arrays and tensors
        without[0, y, x] = 0
        difference = _render(replace(field, features=without), box) - before
        changes.append(255 * np.sqrt(np.mean(difference.astype(np.float64) ** 2, axis=0)))
    places = (np.array(members) + 0.5) * pitch - 0.5 + np.array(field.origin)
    return Spot(places, unit_vectors @ unit_vectors.T, np.stack(changes), box)


def _render(field: Any, box: Box) -> Floats:
    """The colours (3, H, W) of a box (LR pixels), magnified."""
    whole = tuple(n * MAGNIFICATION for n in field.size)
    top, left, bottom, right = (n * MAGNIFICATION for n in box)
    planes = field.begin_render(whole, (top, left, bottom, right))()
    colours: Floats = planes[0]
    return colours


def _host(vector: Any) -> Floats:
    """A vector (D,) as an array, wherever it is."""
    return np.asarray(vector.cpu() if hasattr(vector, "cpu") else vector, np.float32)
