"""Networks that the product cannot build, for experiments: LPs at two resolutions, learned positions, pruned LPs.

A variant changes how networks are made while its context is open.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from unittest.mock import patch

import numpy as np
import torch
from networks import TWO_LEVELS
from torch import Tensor, nn

import ginr.training.loop
from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import Index, LpPlan, WindowPlan, window_plan
from ginr.network.attention_decoder import AttentionDecoder, Surroundings
from ginr.network.model import Ginr

PRUNED = TWO_LEVELS + 1
"""A placement seed that stands for the positions of the LPs that are left."""
REACH = 8.0
"""LR pixels in a unit of a learned position, so that the usual rate moves it far enough."""


@dataclass(frozen=True)
class Placed:
    """Where LPs are put: tokens before each in the sequence, and the tokens it stands for."""

    before: Index  # (N,), not decreasing
    tokens: tuple[range, ...]

    @property
    def positions(self) -> Index:
        """As `LpPlan.positions`."""
        return self.before + np.arange(len(self.before))


def two_levels(n_token: int, n_fine: int, n_coarse: int) -> Placed:
    """LPs of small squares of tokens along the Morton curve, and of larger ones, each in the middle of its own."""
    shares = [(n_token // n * (2 * k + 1) // 2, range(n_token // n * k, n_token // n * (k + 1)))
              for n in (n_fine, n_coarse) for k in range(n)]  # fmt: skip
    shares.sort(key=lambda share: share[0])
    return Placed(np.array([before for before, _ in shares]), tuple(own for _, own in shares))


@contextmanager
def placed(seed: int, where: Placed) -> Iterator[None]:
    """Within the block, placement `random` with this seed puts the LPs there."""
    positions, anchors = LpPlan.__dict__["positions"].func, WindowPlan.__dict__["anchors"].func

    def place_positions(plan: LpPlan) -> Index:
        own = plan.placement == "random" and plan.seed == seed
        return where.positions if own else positions(plan)

    def place_anchors(window: WindowPlan) -> np.ndarray:
        if window.plan.placement != "random" or window.plan.seed != seed:
            return anchors(window)
        place = np.stack(np.divmod(window.curves[0], window.side), -1)  # (L, 2)
        return np.stack([place[list(own)].mean(0) for own in where.tokens])

    with ExitStack() as stack:
        for kind, name, function in (
            (LpPlan, "positions", place_positions), (WindowPlan, "anchors", place_anchors),
        ):  # fmt: skip
            changed = cached_property(function)
            changed.__set_name__(kind, name)
            stack.enter_context(patch.object(kind, name, changed))
        window_plan.cache_clear()
        yield
    window_plan.cache_clear()


@dataclass(frozen=True)
class MovingSurroundings(Surroundings):
    """Surroundings whose LPs stand where they have moved to."""

    moved: Tensor  # (N, 2)

    def within(self, rows: int, columns: int) -> Surroundings:
        found = super().within(rows, columns)
        anchor = torch.as_tensor(found.anchor).to(self.moved) + REACH * self.moved[found.number]
        return replace(found, anchor=anchor)


class MovingDecoder(AttentionDecoder):
    """The attention decoder with learned positions of the LPs; not for LPs on a lattice."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__(config)
        self.moved = nn.Parameter(torch.zeros(config.n_lp, 2))
        self.around = MovingSurroundings(**vars(self.around), moved=self.moved)


@contextmanager
def variant(name: str) -> Iterator[None]:
    """Within the block, networks are made as the variant, if there is one."""
    with ExitStack() as stack:
        if name == "two levels":
            stack.enter_context(placed(TWO_LEVELS, two_levels(256, 64, 16)))
        elif name == "learned positions":
            stack.enter_context(patch("ginr.network.model.AttentionDecoder", MovingDecoder))
        yield


def pruned(model: Ginr, kept: Index) -> Ginr:
    """The network with these of its LPs alone, in the order of the sequence; not for LPs on a lattice.

    Its decoder reaches as far as before. To be called within `placed` for its positions.
    """
    config = replace(model.config, n_lp=len(kept), placement="random", placement_seed=PRUNED)
    other = Ginr(config)
    other.load_state_dict({**model.state_dict(), "lps": model.lps.detach()[kept]})
    around = model.decoder.around
    new = np.full(model.config.n_lp, -1)
    new[kept] = np.arange(len(kept))
    held = new[around.number] >= 0
    other.decoder.around = replace(
        around, cell=around.cell[held], number=new[around.number[held]], anchor=around.anchor[held]
    )
    return other


@contextmanager
def starting_from(model: Ginr) -> Iterator[None]:
    """Within the block, training starts from this network and validates copies of it."""

    def made(config: GinrConfig) -> Ginr:
        other = Ginr(config)
        other.load_state_dict(model.state_dict())
        other.decoder.around = model.decoder.around
        return other

    with patch.object(ginr.training.loop, "Ginr", made):
        yield
