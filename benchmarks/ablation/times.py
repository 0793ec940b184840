"""Times of networks next to each other: in rounds, so that other work on the machine slows all alike."""

from dataclasses import dataclass
from pathlib import Path

import torch
from networks import Comparison, n_weight
from report import keep, kept_in
from trials import SIDES, clock_of

from ginr.network.model import Ginr

N_CROP, N_QUERY = 4, 256  # of a training step
SIZE = SIDES[-1], SIDES[-1]


@dataclass(frozen=True)
class Times:
    """The least times of a network over the rounds, of all threads on the CPU."""

    table: str
    arm: str
    n_weight: int
    ms: float = float("inf")
    """To encode a crop of 32x32 and render it at 128x128."""
    step_ms: float = float("inf")
    """For the forward and backward passes of a training step."""


def times(comparison: Comparison, device: torch.device, n_round: int, file: Path) -> list[Times]:
    """The times of every network of a table, taken together if those of any are missing in `file`."""
    wanted = {(comparison.title, arm.key, n_weight(arm.config)): arm for arm in comparison.arms}
    found = {(one.table, one.arm, one.n_weight): one for one in kept_in(file, Times)}
    if not wanted.keys() <= found.keys():
        found = {key: Times(*key) for key in wanted}
        models = {key: Ginr(arm.config).to(device) for key, arm in wanted.items()}
        for _ in range(n_round):
            for key, model in models.items():
                before = found[key]
                ms, step_ms = min(before.ms, _render(model)), min(before.step_ms, _step(model))
                found[key] = Times(*key, ms, step_ms)
        keep(file, list(found.values()))
    return [found[key] for key in wanted]


@torch.inference_mode()
def _render(model: Ginr) -> float:
    pixels, clock = (
        torch.rand(1, 3, SIDES[0], SIDES[0], device=model.device),
        clock_of(model.device),
    )
    start = clock()
    model.encode(pixels).render(SIZE)
    return 1e3 * (clock() - start)


def _step(model: Ginr) -> float:
    device, clock = model.device, clock_of(model.device)
    pixels = torch.rand(N_CROP, 3, SIDES[0], SIDES[0], device=device)
    coords = torch.rand(N_CROP, N_QUERY, 2, device=device) * 2 - 1
    cells = torch.full((N_CROP, 1, 2), 2 / SIDES[1], device=device)
    start = clock()
    model(pixels, coords, cells).square().mean().backward()
    passed = 1e3 * (clock() - start)
    model.zero_grad()
    return passed
