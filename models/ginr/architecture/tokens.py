"""Token order: curves through a window, positions of LPs, and indices for whole pictures.

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
    """Positions of N LPs among the L tokens of a window; `order` interleaves them."""

    placement: Placement
    n_lp: int
    seq_len: int
    group: int = 1
    seed: int = 0

    @cached_property
    def positions(self) -> Index:
        """Index of every LP in the sequence, (N,), strictly increasing in [0, L + N)."""
        n, length = np.arange(self.n_lp), self.seq_len
        if self.placement == "random":
            random = Random(self.seed)  # of its methods only random() is the same on every Python
            keys = [random.random() for _ in range(length + self.n_lp)]
            return np.sort(np.argsort(keys, kind="stable")[: self.n_lp])
        if self.placement == "middle":
            before = np.full(self.n_lp, -(-length // 2))
        else:
            # n_group groups, evenly spaced: group i follows ceil((2 i + 1) L / (2 n_group)) tokens.
            # Counting the tokens before each LP, instead of rounding its index, avoids collisions.
            group = self.group if self.placement == "n_group" else 1
            n_group = -(-self.n_lp // group)
            before = -(-((2 * (n // group) + 1) * length) // (2 * n_group))
        positions: Index = n + before
        return positions

    @cached_property
    def before(self) -> Index:
        """Number of tokens before each LP, (N,)."""
        return self.positions - np.arange(self.n_lp)

    @cached_property
    def order(self) -> Index:
        """The sequence (T,) as indices into the tokens followed by the LPs."""
        order = np.full(self.seq_len + self.n_lp, -1)
        order[self.positions] = self.seq_len + np.arange(self.n_lp)
        order[order < 0] = np.arange(self.seq_len)
        return order

    @cached_property
    def block(self) -> Index:
        """The tokens each LP represents, (N, m): an equal share of the window, or one neighbour.

        Evenly spaced LPs divide the tokens among them, m = L / N tokens each, or N / L of them
        represent the one token they follow. Any other LP represents the token just before it.
        """
        length, n = self.seq_len, np.arange(self.n_lp)
        if self.n_lp and length % self.n_lp == 0:
            share = length // self.n_lp
            block = n[:, None] * share + np.arange(share)
            if np.all((block[:, 0] <= self.before) & (self.before <= block[:, -1] + 1)):
                return block
        if self.n_lp % length == 0 and np.array_equal(self.before, n * length // self.n_lp + 1):
            return (n * length // self.n_lp)[:, None]
        return np.clip(self.before - 1, 0, length - 1)[:, None]

    def interleave(self, tokens: Array, lps: Array) -> Array:
        """Joins tokens (..., L, D) and lps (..., N, D) into a sequence (..., T, D)."""
        return namespace(tokens).concatenate([tokens, lps], -2)[..., self.order, :]


@dataclass(frozen=True)
class WindowPlan:
    """One window: its curve, its LPs, and the lattice they form if they are evenly spaced."""

    plan: LpPlan
    side: int  # tokens along one side of the window
    lp_side: int | None  # LPs along one side if they form a square lattice, else None
    curves: tuple[Index, Index]
    """Raster index of the token at each step of the curve (L,), and of its transpose."""
    lp_curves: tuple[Index, Index]
    """Raster index of each LP on the LP lattice (N,), or 0..N-1 without a lattice."""

    @property
    def decoded_side(self) -> int | None:
        """Side of the lattice that is decoded: of the LPs, or of the tokens if there are no LPs."""
        return self.lp_side if self.plan.n_lp else self.side

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
        """Mean position of the tokens each LP represents, (N, 2) in units of tokens, y first."""
        if self.lp_side:
            place = np.stack(np.divmod(self.lp_curves[0], self.lp_side), -1)
            anchors: Doubles = (place + 0.5) * (self.side / self.lp_side) - 0.5
            return anchors
        block = self.curves[0][self.plan.block]  # (N, m)
        anchors = np.stack(np.divmod(block, self.side), -1).mean(1)
        return anchors


@lru_cache(maxsize=16)
def window_plan(config: GinrConfig) -> WindowPlan:
    """The plan of a window of this configuration."""
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
        if plan.n_lp:
            # Without a lattice the position of an LP is defined by the curve: use one curve only.
            curves = curves[0], curves[0]
        lp_curves = np.arange(plan.n_lp), np.arange(plan.n_lp)
    return WindowPlan(plan, side, lp_side, curves, lp_curves)


def bank_size(config: GinrConfig) -> int:
    """Vectors of the bank, C."""
    return int(lattice_of_bank(config).max(initial=-1)) + 1


def lattice_of_bank(config: GinrConfig) -> Index:
    """The vector of each LP on a window's lattice (n, n), in raster order; (N,) without a lattice.

    With one vector for each place, those of a token's square are in raster order.
    """
    window = window_plan(config)
    n, side = window.lps_per_token, window.lp_side
    if config.bank == "window":
        order = window.lp_curves[0].argsort()
    elif side:
        y, x = np.divmod(np.arange(config.n_lp), side)
        order = y % n * n + x % n
    else:
        order = np.zeros(config.n_lp, np.intp)
    return order.reshape(side, side) if side else order


def places(config: GinrConfig) -> tuple[Doubles, Doubles]:
    """Positions of the tokens (L, 2) and LPs (N, 2) of a window, in raster order, in tokens, y first."""
    window = window_plan(config)
    tokens = np.stack(np.divmod(np.arange(config.seq_len), window.side), -1).astype(float)
    return tokens, window.anchors[window.lp_curves[0].argsort()]


def step_places(config: GinrConfig, transposed: bool) -> Doubles:
    """Positions of the steps of a window's sequence, (T, 2), in tokens, y first."""
    window, (tokens, lps) = window_plan(config), places(config)
    steps: Doubles = window.plan.interleave(
        tokens[window.curves[transposed]], lps[window.lp_curves[transposed]]
    )
    return steps


def _lattice_side(plan: LpPlan, side: int, order: Order) -> int | None:
    """Side of the LP lattice if every LP covers one square of a recursive curve, else None."""
    lp_side = round(plan.n_lp**0.5)
    square = lp_side > 0 and lp_side**2 == plan.n_lp and lp_side & (lp_side - 1) == 0
    share = np.bincount(plan.block.ravel(), minlength=plan.seq_len)  # LPs per token
    evenly = share.min() == share.max()
    recursive = order != "raster" or lp_side == side
    return lp_side if square and evenly and recursive else None


def _curve(side: int, order: Order) -> Index:
    """Cells (side^2, 2), y first, in the order of the curve; each quarter of it fills a square."""
    index = np.arange(side * side)
    if order == "raster":
        return np.stack(np.divmod(index, side), -1)
    y, x = np.zeros_like(index), np.zeros_like(index)
    rest, size = index.copy(), 1
    while size < side:
        high, low = (rest >> 1) & 1, rest & 1
        if order == "hilbert":
            # Each level repeats the one below, turned so that its ends meet those of its neighbours.
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
    """The windows of a picture as one index that orders all tokens and LPs into sequences."""

    n_window: int
    token_shape: tuple[int, int]  # h, w of the lattice of tokens
    lp_shape: tuple[int, int]  # h', w' of the lattice of LPs; without a lattice W, N
    order: Index  # (W T,) indices into the tokens in raster order, followed by the LPs


@lru_cache(maxsize=16)
def picture_plan(config: GinrConfig, height: int, width: int, transposed: bool) -> PicturePlan:
    """The plan of a picture of height x width pixels, both multiples of the window."""
    window = window_plan(config)
    down, across = height // config.window, width // config.window
    curve, lp_curve = window.curves[transposed], window.lp_curves[transposed]
    tokens = _whole(curve, window.side, down, across)  # (W, L)
    token_shape = (down * window.side, across * window.side)
    if window.lp_side:
        lps = _whole(lp_curve, window.lp_side, down, across)  # (W, N)
        lp_shape = (down * window.lp_side, across * window.lp_side)
    else:
        lps = np.arange(down * across * config.n_lp).reshape(down * across, config.n_lp)
        lp_shape = (down * across, config.n_lp)
    order: Index = window.plan.interleave(tokens[..., None], tokens.size + lps[..., None]).ravel()
    return PicturePlan(down * across, token_shape, lp_shape, order)


def _whole(curve: Index, side: int, down: int, across: int) -> Index:
    """Raster indices in a window as raster indices in the whole picture, (W, cells)."""
    y, x = np.divmod(curve, side)
    corner = np.stack(np.divmod(np.arange(down * across), across), -1) * side  # (W, 2)
    index: Index = (corner[:, :1] + y) * (across * side) + corner[:, 1:] + x
    return index
