"""From pixels to one sequence and back: curves, the places of the LPs, and whole-picture indices.

Letters: L tokens and N position tokens (LPs) of a window, T = L + N, W windows, D width.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from ginr.architecture.config import GinrConfig, Order, Placement
from ginr.array_api import Array, namespace
from ginr.array_types import Doubles

Index = NDArray[np.intp]


@dataclass(frozen=True)
class LpPlan:
    """Where N LPs stand among the L tokens of a window; both directions read this one object."""

    placement: Placement
    n_lp: int
    seq_len: int
    group: int = 1
    seed: int = 0

    @cached_property
    def positions(self) -> Index:
        """Place of every LP in the sequence, (N,), strictly rising in [0, L + N)."""
        n, length = np.arange(self.n_lp), self.seq_len
        if self.placement == "random":
            random = Random(self.seed)  # only random() is the same on every Python
            keys = [random.random() for _ in range(length + self.n_lp)]
            return np.sort(np.argsort(keys, kind="stable")[: self.n_lp])
        if self.placement == "middle":
            before = np.full(self.n_lp, -(-length // 2))
        else:
            # Spread `n_group` groups evenly: group i follows ceil((2 i + 1) L / (2 n_group)) tokens.
            # Counting the tokens before each LP, not rounding its place, cannot collide.
            group = self.group if self.placement == "n_group" else 1
            n_group = -(-self.n_lp // group)
            before = -(-((2 * (n // group) + 1) * length) // (2 * n_group))
        positions: Index = n + before
        return positions

    @cached_property
    def before(self) -> Index:
        """How many tokens come before each LP, (N,)."""
        return self.positions - np.arange(self.n_lp)

    @cached_property
    def order(self) -> Index:
        """The sequence (T,) as indices into tokens followed by LPs."""
        order = np.full(self.seq_len + self.n_lp, -1)
        order[self.positions] = self.seq_len + np.arange(self.n_lp)
        order[order < 0] = np.arange(self.seq_len)
        return order

    @cached_property
    def block(self) -> Index:
        """The tokens each LP stands for, (N, m): an even share of the window, or its neighbour.

        LPs that are spread evenly share out the tokens exactly: m = L / N tokens each, or the one
        token that N / L of them follow. Any other LP has the token just before it.
        """
        length, n = self.seq_len, np.arange(self.n_lp)
        if length % self.n_lp == 0:
            share = length // self.n_lp
            block = n[:, None] * share + np.arange(share)
            if np.all((block[:, 0] <= self.before) & (self.before <= block[:, -1] + 1)):
                return block
        if self.n_lp % length == 0 and np.array_equal(self.before, n * length // self.n_lp + 1):
            return (n * length // self.n_lp)[:, None]
        return np.clip(self.before - 1, 0, length - 1)[:, None]

    def interleave(self, tokens: Array, lps: Array) -> Array:
        """tokens (..., L, D) and lps (..., N, D) as one sequence (..., T, D)."""
        return namespace(tokens).concatenate([tokens, lps], -2)[..., self.order, :]

    def take(self, sequence: Array) -> Array:
        """The LPs (..., N, D) of a sequence (..., T, D)."""
        return sequence[..., self.positions, :]


@dataclass(frozen=True)
class WindowPlan:
    """One window: its curve, its LPs, and the lattice the LPs form if they are spread evenly."""

    plan: LpPlan
    side: int
    """Tokens along one side of the window."""
    lp_side: int | None
    """LPs along one side if they form a square lattice, else None."""
    curves: tuple[Index, Index]
    """Raster index of the token visited at each step (L,): the curve and its transpose."""
    lp_curves: tuple[Index, Index]
    """Raster index on the LP lattice of each LP (N,), or just 0..N-1 without a lattice."""

    @property
    def tokens_per_lp(self) -> int:
        """Tokens along each axis that an LP of a lattice covers, 1 without a lattice."""
        return max(1, self.side // (self.lp_side or self.side))

    @property
    def lps_per_token(self) -> int:
        """LPs of a lattice along each axis of a token, 1 without a lattice."""
        return max(1, (self.lp_side or 0) // self.side)

    @cached_property
    def anchors(self) -> Doubles:
        """Mean position of the tokens each LP stands for, (N, 2) in units of tokens, y first."""
        if self.lp_side:
            place = np.stack(np.divmod(self.lp_curves[0], self.lp_side), -1)
            anchors: Doubles = (place + 0.5) * (self.side / self.lp_side) - 0.5
            return anchors
        block = self.curves[0][self.plan.block]  # (N, m)
        anchors = np.stack(np.divmod(block, self.side), -1).mean(1)
        return anchors


@lru_cache(maxsize=16)
def window_plan(config: GinrConfig) -> WindowPlan:
    """The window that `config` describes."""
    side = config.window // config.patch
    plan = LpPlan(
        config.placement, config.n_lp, config.seq_len, config.group, config.placement_seed
    )
    lp_side = _lattice_side(plan, side, config.order)
    finest = max(side, lp_side or side)
    path = _curve(finest, config.order)  # (finest^2, 2)
    step = (finest // side) ** 2
    tokens = path[::step] // (finest // side)
    curves = _raster(tokens, side), _raster(tokens[:, ::-1], side)
    if lp_side:
        lps = path[:: (finest // lp_side) ** 2] // (finest // lp_side)
        lp_curves = _raster(lps, lp_side), _raster(lps[:, ::-1], lp_side)
    else:
        # The place of an LP without a lattice is its place on the curve: keep one curve.
        curves = curves[0], curves[0]
        lp_curves = np.arange(plan.n_lp), np.arange(plan.n_lp)
    return WindowPlan(plan, side, lp_side, curves, lp_curves)


def _lattice_side(plan: LpPlan, side: int, order: Order) -> int | None:
    """Side of the LP lattice if every LP covers one square of a recursive curve, else None."""
    lp_side = round(plan.n_lp**0.5)
    square = lp_side**2 == plan.n_lp and lp_side & (lp_side - 1) == 0
    share = np.bincount(plan.block.ravel(), minlength=plan.seq_len)  # LPs that stand for a token
    evenly = share.min() == share.max()
    recursive = order != "raster" or lp_side == side
    return lp_side if square and evenly and recursive else None


def _curve(side: int, order: Order) -> Index:
    """Cells (side^2, 2), y first, in the order of the curve; each quarter is one square."""
    index = np.arange(side * side)
    if order == "raster":
        return np.stack(np.divmod(index, side), -1)
    y, x = np.zeros_like(index), np.zeros_like(index)
    rest, size = index.copy(), 1
    while size < side:
        high, low = (rest >> 1) & 1, rest & 1
        if order == "hilbert":
            # Each level is the level below, turned so that its ends meet its neighbours' ends.
            low = high ^ low
            flip, swap = (low == 0) & (high == 1), low == 0
            y, x = np.where(flip, size - 1 - y, y), np.where(flip, size - 1 - x, x)
            y, x = np.where(swap, x, y), np.where(swap, y, x)
            y, x = y + size * low, x + size * high
        else:
            y, x = y + size * high, x + size * low
        rest, size = rest >> 2, size * 2
    return np.stack([y, x], -1)


def _raster(cells: Index, side: int) -> Index:
    index: Index = cells[:, 0] * side + cells[:, 1]
    return index


@dataclass(frozen=True)
class PicturePlan:
    """The windows of one picture as one index: how rows of tokens, then rows of LPs, become sequences."""

    n_window: int
    token_shape: tuple[int, int]
    """Of the lattice of tokens: h, w."""
    lp_shape: tuple[int, int]
    """Of the lattice of LPs, h' and w', or windows and N without one."""
    order: Index
    """(W T,) indices into the rows of tokens, then of LPs."""


@lru_cache(maxsize=16)
def picture_plan(config: GinrConfig, height: int, width: int, transposed: bool) -> PicturePlan:
    """The plan of a picture of height x width pixels, whole windows."""
    window = window_plan(config)
    down, across = height // config.window, width // config.window
    curve, lp_curve = window.curves[transposed], window.lp_curves[transposed]
    tokens = _whole(curve, window.side, down, across)  # (W, L)
    token_shape = (down * window.side, across * window.side)
    if window.lp_side:
        lps = _whole(lp_curve, window.lp_side, down, across)  # (W, N)
        lp_shape = (down * window.lp_side, across * window.lp_side)
    else:
        lps = np.arange(down * across * config.n_lp).reshape(-1, config.n_lp)
        lp_shape = (down * across, config.n_lp)
    order: Index = window.plan.interleave(tokens[..., None], tokens.size + lps[..., None]).ravel()
    return PicturePlan(down * across, token_shape, lp_shape, order)


def _whole(curve: Index, side: int, down: int, across: int) -> Index:
    """Raster indices of a window's cells as raster indices of the whole picture, (W, cells)."""
    y, x = np.divmod(curve, side)
    corner = np.stack(np.divmod(np.arange(down * across), across), -1) * side  # (W, 2)
    index: Index = (corner[:, :1] + y) * (across * side) + corner[:, 1:] + x
    return index
