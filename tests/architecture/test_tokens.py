"""Where LPs stand, along which curve, and that what goes into a sequence comes out of it.

Run: pytest tests/architecture/test_tokens.py
"""

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch

from ginr.architecture.config import GinrConfig, Order, Placement
from ginr.architecture.tokens import LpPlan, WindowPlan, window_plan
from ginr.network.sequences import SequenceLayout, sequence_layout

PLACEMENTS = get_args(Placement)
ORDERS = get_args(Order)
LENGTHS = (1, 2, 7, 16, 25)
CPU = torch.device("cpu")

BASE = GinrConfig(width=16, head_dim=8, n_blocks=1)
SPARSE = dataclasses.replace(BASE, patch=1, window=16, n_lp=64, placement="equidistant")
DENSE = dataclasses.replace(BASE, patch=2, window=8, n_lp=64, placement="n_group", group=4)
ONE_EACH = dataclasses.replace(BASE, patch=2, window=8, n_lp=16, placement="equidistant")
NO_LATTICE = dataclasses.replace(BASE, patch=2, window=8, n_lp=5, placement="random")


def plans(length: int, placement: Placement) -> list[LpPlan]:
    groups = (1, 3, 4) if placement == "n_group" else (1,)
    return [
        LpPlan(placement, n, length, group, seed=n)
        for n in range(1, 4 * length + 1)
        for group in groups
    ]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_positions_rise_and_stay_inside(placement: Placement, length: int) -> None:
    for plan in plans(length, placement):
        assert plan.positions.shape == (plan.n_lp,)
        assert plan.positions[0] >= 0
        assert plan.positions[-1] < length + plan.n_lp
        assert (np.diff(plan.positions) > 0).all()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_taken_tokens_are_the_lps_and_pixels_keep_their_order(
    placement: Placement, length: int
) -> None:
    for plan in plans(length, placement):
        tokens = torch.arange(length, dtype=torch.float32)[:, None].expand(2, -1, 3)
        lps = 1000 + torch.arange(plan.n_lp, dtype=torch.float32)[:, None].expand(2, -1, 3)
        sequence = plan.interleave(tokens, lps)
        assert sequence.shape == (2, length + plan.n_lp, 3)
        assert torch.equal(sequence[..., plan.positions, :], lps)
        is_token = torch.ones(length + plan.n_lp, dtype=torch.bool)
        is_token[torch.as_tensor(plan.positions)] = False
        assert torch.equal(sequence[:, is_token], tokens)


@pytest.mark.parametrize("length", LENGTHS)
def test_middle_is_one_run_between_two_halves(length: int) -> None:
    for plan in plans(length, "middle"):
        before = plan.positions[0]
        assert np.array_equal(plan.positions, before + np.arange(plan.n_lp))
        assert 0 <= before - (length - before) <= 1


@pytest.mark.parametrize("length", LENGTHS)
def test_equidistant_is_even_and_centred(length: int) -> None:
    for plan in plans(length, "equidistant"):
        gaps = np.diff(plan.before)
        assert np.isin(gaps, [length // plan.n_lp, -(-length // plan.n_lp)]).all()
        assert abs(plan.before[0] - (length - plan.before[-1])) <= 1


def test_equidistant_by_hand() -> None:
    assert LpPlan("equidistant", 4, 16).positions.tolist() == [2, 7, 12, 17]
    assert LpPlan("equidistant", 1, 7).positions.tolist() == [4]
    assert LpPlan("n_group", 4, 16, group=2).positions.tolist() == [4, 5, 14, 15]


@pytest.mark.parametrize("length", LENGTHS)
def test_groups_stand_where_single_lps_would(length: int) -> None:
    for plan in plans(length, "n_group"):
        n_group = -(-plan.n_lp // plan.group)
        single = LpPlan("equidistant", n_group, length)
        assert np.array_equal(plan.before, np.repeat(single.before, plan.group)[: plan.n_lp])


def test_random_is_fixed_by_its_seed() -> None:
    np.random.seed(1)
    first = LpPlan("random", 20, 64, seed=3).positions
    np.random.seed(2)
    assert np.array_equal(first, LpPlan("random", 20, 64, seed=3).positions)
    assert not np.array_equal(first, LpPlan("random", 20, 64, seed=4).positions)
    assert len(np.unique(np.diff(first))) > 3


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_lp_has_tokens_beside_it(placement: Placement, length: int) -> None:
    for plan in plans(length, placement):
        first, last = plan.block[:, 0], plan.block[:, -1]
        assert plan.block.min() >= 0
        assert plan.block.max() < length
        assert np.array_equal(plan.block, first[:, None] + np.arange(plan.block.shape[1]))
        # An LP after b tokens stands between tokens b - 1 and b: one of them is in its block.
        assert (first <= plan.before).all()
        assert (last >= plan.before - 1).all()


@pytest.mark.parametrize(("n_lp", "length"), [(1, 16), (4, 16), (16, 16), (5, 25), (7, 7)])
def test_even_shares_are_a_partition(n_lp: int, length: int) -> None:
    block = LpPlan("equidistant", n_lp, length).block
    assert np.array_equal(block.ravel(), np.arange(length))


@pytest.mark.parametrize("each", [2, 3, 4])
def test_lps_after_every_token_stand_for_that_token(each: int) -> None:
    plan = LpPlan("n_group", each * 9, 9, group=each)
    assert np.array_equal(plan.block, np.repeat(np.arange(9), each)[:, None])
    assert np.array_equal(plan.before, plan.block[:, 0] + 1)


@pytest.mark.parametrize("patch", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("order", ORDERS)
def test_a_curve_visits_every_token_once(order: Order, patch: int) -> None:
    window = window_plan(dataclasses.replace(BASE, patch=patch, window=16, n_lp=1, order=order))
    for curve in window.curves:
        assert np.array_equal(np.sort(curve), np.arange(window.side**2))


@pytest.mark.parametrize("config", [SPARSE, DENSE, ONE_EACH], ids=["sparse", "dense", "one each"])
@pytest.mark.parametrize("order", ["hilbert", "morton"])
def test_four_steps_are_a_square_and_hilbert_steps_are_neighbours(
    order: Order, config: GinrConfig
) -> None:
    window = window_plan(dataclasses.replace(config, order=order))
    assert window.lp_side is not None
    both = [(curve, window.side) for curve in window.curves]
    both += [(curve, window.lp_side) for curve in window.lp_curves]
    for curve, side in both:
        place = cells(curve, side)
        squares = (place // 2).reshape(-1, 4, 2)
        assert (squares == squares[:, :1]).all()
        if order == "hilbert":
            assert (np.abs(np.diff(place, axis=0)).sum(1) == 1).all()


@pytest.mark.parametrize("config", [SPARSE, DENSE, ONE_EACH], ids=["sparse", "dense", "one each"])
def test_the_second_curve_is_the_transpose(config: GinrConfig) -> None:
    window = window_plan(config)
    assert np.array_equal(
        cells(window.curves[0], window.side)[:, ::-1], cells(window.curves[1], window.side)
    )
    assert not np.array_equal(*window.curves)


@pytest.mark.parametrize("order", ["hilbert", "morton"])
def test_an_lp_sits_in_the_middle_of_its_four_tokens(order: Order) -> None:
    window = window_plan(dataclasses.replace(SPARSE, order=order))
    assert window.lp_side == 8
    for curve, lp_curve in zip(window.curves, window.lp_curves, strict=True):
        middle = cells(curve, 16)[window.plan.block].mean(1)  # (N, 2)
        assert np.array_equal(middle, 2 * cells(lp_curve, 8) + 0.5)
    assert np.array_equal(window.anchors, cells(window.curves[0], 16)[window.plan.block].mean(1))


@pytest.mark.parametrize("order", ["hilbert", "morton"])
def test_four_lps_sit_on_the_quarters_of_their_token(order: Order) -> None:
    window = window_plan(dataclasses.replace(DENSE, order=order))
    assert (window.side, window.lp_side) == (4, 8)
    for curve, lp_curve in zip(window.curves, window.lp_curves, strict=True):
        token = cells(curve, 4)[window.plan.block[:, 0]]  # (N, 2)
        assert np.array_equal(cells(lp_curve, 8) // 2, token)
    token = cells(window.curves[0], 4)[window.plan.block[:, 0]]
    assert (np.abs(window.anchors - token) == 0.25).all()
    assert len(np.unique(window.anchors, axis=0)) == 64


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (SPARSE, {"placement": "middle"}),
        (SPARSE, {"placement": "random"}),
        (SPARSE, {"n_lp": 63}),
        (SPARSE, {"n_lp": 32}),
        (SPARSE, {"order": "raster"}),
        (SPARSE, {"placement": "n_group", "group": 4}),
        (DENSE, {"group": 8}),
        (DENSE, {"group": 3}),
        (DENSE, {"group": 5}),
        (DENSE, {"group": 1, "placement": "middle"}),
        (DENSE, {"order": "raster"}),
    ],
)
def test_uneven_lps_form_no_lattice(config: GinrConfig, change: dict[str, object]) -> None:
    window = window_plan(dataclasses.replace(config, **change))  # type: ignore[arg-type]
    assert window.lp_side is None
    assert np.array_equal(window.curves[0], window.curves[1])
    assert window.anchors.shape == (window.plan.n_lp, 2)
    assert window.anchors.min() >= 0
    assert window.anchors.max() <= window.side - 1


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (16, 24)])
@pytest.mark.parametrize("config", [DENSE, ONE_EACH, NO_LATTICE], ids=["dense", "one", "random"])
def test_a_sequence_holds_one_window_in_the_order_of_its_plan(
    config: GinrConfig, size: tuple[int, int], transposed: bool
) -> None:
    layout = sequence_layout(config, *size, transposed, CPU)
    window = window_plan(config)
    across = size[1] // config.window
    tokens, lps = torch.rand(2, *layout.token_shape, 3), torch.rand(2, *layout.lp_shape, 3)
    sequence = layout.interleave(tokens, lps)  # (B W, T, D)
    assert sequence.shape == (2 * layout.n_window, config.seq_len + config.n_lp, 3)
    for b, w in np.ndindex(2, layout.n_window):
        one = window.plan.interleave(
            in_window(tokens[b], window.side, w, across)[window.curves[transposed]],
            lps_in_window(lps[b], window, w, across, transposed),
        )
        assert torch.equal(sequence[b * layout.n_window + w], one)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("config", [DENSE, ONE_EACH, NO_LATTICE], ids=["dense", "one", "random"])
def test_split_undoes_interleave(config: GinrConfig, transposed: bool) -> None:
    layout = sequence_layout(config, 16, 24, transposed, CPU)
    tokens, lps = torch.rand(2, *layout.token_shape, 3), torch.rand(2, *layout.lp_shape, 3)
    again = layout.split(layout.interleave(tokens, lps))
    assert torch.equal(again[0], tokens)
    assert torch.equal(again[1], lps)


def test_gradients_are_those_of_plain_indexing() -> None:
    layout = sequence_layout(DENSE, 8, 16, True, CPU)
    shapes = layout.token_shape, layout.lp_shape
    ours = [torch.rand(2, *shape, 3, requires_grad=True) for shape in shapes]
    plain = [v.detach().clone().requires_grad_() for v in ours]
    scale = torch.rand(2 * layout.n_window, DENSE.seq_len + DENSE.n_lp, 3)

    def loss(parts: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return (parts[0] ** 2).sum() + (parts[1] ** 3).sum()

    loss(layout.split(layout.interleave(*ours) * scale)).backward()
    loss(plain_round_trip(layout, plain, scale)).backward()
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def plain_round_trip(
    layout: SequenceLayout, parts: list[torch.Tensor], scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.cat([part.flatten(1, 2) for part in parts], 1)[:, layout.order]
    rows = (rows.reshape(scale.shape) * scale).reshape(rows.shape)[:, layout.inverse]
    tokens, lps = rows[:, : layout.n_token], rows[:, layout.n_token :]
    return tokens.unflatten(1, layout.token_shape), lps.unflatten(1, layout.lp_shape)


def cells(curve: np.ndarray, side: int) -> np.ndarray:
    return np.stack(np.divmod(curve, side), -1)


def in_window(lattice: torch.Tensor, side: int, window: int, across: int) -> torch.Tensor:
    """The cells of one window, row by row: (side side, D)."""
    top, left = side * (window // across), side * (window % across)
    return lattice[top : top + side, left : left + side].flatten(0, 1)


def lps_in_window(
    lps: torch.Tensor, window: WindowPlan, index: int, across: int, transposed: bool
) -> torch.Tensor:
    if window.lp_side is None:
        return lps[index]
    return in_window(lps, window.lp_side, index, across)[window.lp_curves[transposed]]
