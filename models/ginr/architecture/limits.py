"""Limits that keep flat areas flat and grey pictures grey, computed from the LR pixels alone.

A network trained on photographs sharpens edges; beside a drawn edge this leaves a halo on the flat
area. A lower limit holds for a colour of an LR pixel if there is a flat patch (3x3 pixels of nearly
one value) within 3 pixels whose value is about the minimum of the surrounding 5x5 pixels: the field
may then fall at most one 8-bit level below that minimum. Upper limits are analogous. The far side of
an edge is not limited, so a thin line may become darker than any LR pixel. Where 5x5 pixels are grey,
the field is grey. Limits are interpolated bilinearly, so the field stays continuous.

Letters: B batch, H W the LR picture, h' w' a rendered grid, Q queries. A limit is eight numbers:
the lowest and highest value of each of three colours; COLOUR, the share of its saturation that the
field keeps; and ACTIVE, 1 where a limit applies.
"""

import numpy as np

from ginr.array_api import Array, framed, namespace

LEVEL = 1 / 255
FLAT = 2.5 * LEVEL  # a patch is flat if its values span less than this
NEAR = 3  # LR pixels: the distance within which flat patches count
ABOUT = 1 / 14  # tolerance as a share of the range, plus ALMOST: LR itself rings beside an edge
ALMOST = 1.25 * LEVEL
FREE = 2.0  # distance of a limit that has no effect: colours are clipped to [0, 1] in the end
COLOUR, ACTIVE, N_LIMIT = 6, 7, 8

STRIP = 64  # rows per pass over an array, to stay in the cache: 18 instead of 30 ms for 512x512


def find_limits(pixels: Array) -> Array:
    """pixels (B, 3, H, W) in [0, 1] -> limits (B, 8, H, W)."""
    if namespace(pixels) is not np:
        return _find(pixels)
    around = NEAR + 1  # rows on either side that a limit depends on
    strips = []
    for top in range(0, pixels.shape[2], STRIP):
        found = _find(pixels[:, :, max(0, top - around) : top + STRIP + around])
        strips.append(found[:, :, min(top, around) :][:, :, :STRIP])
    return np.concatenate(strips, 2)


def _find(pixels: Array) -> Array:
    ops = namespace(pixels)
    smaller, larger = ops.minimum, ops.maximum
    beyond = framed(pixels, 2)
    least, most = (_over_squares(extreme, beyond, 1, 1) for extreme in (smaller, larger))  # of 3x3
    is_flat = _over_colours(larger, (most - least)[..., 1:-1, 1:-1]) < FLAT
    ground = framed(ops.where(is_flat, pixels, FREE), NEAR)
    lowest = _over_squares(smaller, ground, 1, 2, 3)  # of the flat pixels among 7x7
    ground = framed(ops.where(is_flat, pixels, -FREE), NEAR)
    highest = _over_squares(larger, ground, 1, 2, 3)
    least, most = _over_squares(smaller, least, 2), _over_squares(larger, most, 2)  # of 5x5
    span = most - least
    slack, about = ops.clip(span, None, LEVEL), ABOUT * span + ALMOST
    is_low, is_high = lowest <= least + about, highest >= most - about
    tint = framed(_over_colours(larger, pixels) - _over_colours(smaller, pixels), 2)
    colour = ops.clip(_over_squares(larger, tint, 1, 1, 2) / (2 * LEVEL), None, 1)
    is_active = (is_low | is_high).any(1)[:, None] | (colour < 1)
    low = least - ops.where(is_low, slack, FREE)
    high = most + ops.where(is_high, slack, FREE)
    return ops.concatenate([low, high, colour, ops.zeros_like(colour) + is_active], 1)


def _over_squares(extreme: Array, x: Array, *steps: int) -> Array:
    """Extremes over all squares inside x (..., H, W) that are 1 + sum(steps) wide.

    Each step widens the squares from n to n + step, step <= n.
    """
    for step in steps:
        x = extreme(x[..., :-step, :], x[..., step:, :])
        x = extreme(x[..., :-step], x[..., step:])
    return x


def _over_colours(extreme: Array, x: Array) -> Array:
    """The extreme of x (B, 3, H, W) over its colours: (B, 1, H, W)."""
    return extreme(extreme(x[:, :1], x[:, 1:2]), x[:, 2:])
