"""Position tokens (LPs) against their alternatives: count, placement, mixers, position encodings, recipes.

    python benchmarks/ablation photos/ -o ablation/ [--steps 300] [--seeds 0 1 2] [--tables counts ...] [--quick]

In most tables crops of 32x32 pixels are cut into 256 patches of 2x2, and a field without a base is learned
from them, which is rendered at 32x32, 64x64 and 128x128; in `photographs`, networks of the shape of the
preset `plain` enlarge by 2 to 4 and are compared with bicubic. The networks of a table have the same number
of weights within 5 %, by the width of their feed-forwards, and the same steps, batches and seeds. They are
measured on held-out pictures; times are those of all threads on the CPU. `growth` measures single mixers,
`pruning` drops the least used LPs, and `banks` trains LPs for other kinds of pictures. Seeds are trained one
after another for all tables. The same command resumes: the folder keeps the runs, and the results in `*.jsonl`.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from directions import (
    BankScore,
    Pruning,
    bank_scores,
    bank_table,
    grey_copies,
    prune,
    pruning_table,
)
from growth import FEW, TOKENS, draw, growth, growth_table
from networks import FIELD, PHOTOGRAPHS, Arm, Comparison, comparisons, n_weight
from report import keep, kept_in, of_arm, table
from rich.console import Console
from times import times
from trials import Effort, Result, run, settings_of

from ginr.device import choose_device
from ginr.errors import GinrError
from ginr.training.config import TrainConfig

WIDE, TOLD = Console(width=250), Console(stderr=True)

EXTRA = "growth", "pruning", "banks"
E = TypeVar("E", Pruning, BankScore)
QUICK: dict[str, Any] = {"width": 16, "n_blocks": 2, "hidden": 32}


def main() -> None:
    """Trains and measures what is missing; prints the tables."""
    options = _options()
    ours = replace(FIELD, width=options.width, decoder=options.decoder)
    photographs = replace(PHOTOGRAPHS, width=options.width)
    if options.quick:
        options.steps, options.seeds = 20, options.seeds[:1]
        ours, photographs = replace(ours, **QUICK), replace(photographs, **QUICK)
    found = comparisons(ours, photographs)
    names = options.tables or [*found, *EXTRA]
    chosen = [picked(found[name], options.only) for name in names if name not in EXTRA]
    wanted = [
        (arm, _settings(arm, seed, options))
        for seed in options.seeds
        for comparison in chosen
        for arm in comparison.arms
    ]
    options.output.mkdir(parents=True, exist_ok=True)
    results = _measured(wanted, options)
    shown = [result for result in results if result.seed in options.seeds]
    device, n_round = choose_device(options.device)[0], _effort(options).n_round
    for comparison in chosen:
        taken = times(comparison, device, n_round, options.output / "times.jsonl")
        WIDE.print(table(comparison, shown, taken))
    if "growth" in names:
        n_tokens = FEW if options.quick else TOKENS
        points = growth(ours, str(device), n_tokens, options.output / "growth.jsonl")
        WIDE.print(growth_table(points))
        draw(points, options.output / "growth.png")
    if "pruning" in names:
        (arm,) = (arm for arm in found["directions"].arms if arm.name == "row by row")
        WIDE.print(pruning_table(_prunings(arm, options)))
    if "banks" in names:
        WIDE.print(bank_table(_bank_scores(options)))


def _settings(arm: Arm, seed: int, options: argparse.Namespace) -> TrainConfig:
    given = options.images, options.output, options.steps, options.device, _effort(options)
    return settings_of(arm, seed, *given)


def _effort(options: argparse.Namespace) -> Effort:
    return Effort(2, 4, 3, 4) if options.quick else Effort()


def _measured(
    wanted: Sequence[tuple[Arm, TrainConfig]], options: argparse.Namespace
) -> list[Result]:
    """The results of the folder, with those that were missing."""
    file = options.output / "results.jsonl"
    results = [result for result in kept_in(file, Result) if result.steps == options.steps]
    for arm, settings in wanted:
        own = of_arm(results, arm)
        if any(result.seed == settings.seed for result in own):
            continue
        TOLD.print(f"{arm.name}, seed {settings.seed}: {n_weight(arm.config)} weights")
        result = run(arm, settings, _effort(options), own[0].mb if own else None)
        results.append(result)
        keep(file, [result])
    return results


def _prunings(arm: Arm, options: argparse.Namespace) -> list[Pruning]:
    def made(seed: int) -> list[Pruning]:
        return prune(arm, _settings(arm, seed, options), _effort(options))

    return _by_seed("pruning", Pruning, made, options)


def _bank_scores(options: argparse.Namespace) -> list[BankScore]:
    grey = grey_copies(options.images, options.output / "grey")
    folders = {"photographs": options.images, "single-channel": grey}
    if options.drawings is not None:
        folders["drawings"] = options.drawings

    def made(seed: int) -> list[BankScore]:
        return bank_scores(folders, options.output, seed, options.steps, _effort(options))

    return _by_seed("banks", BankScore, made, options)


def _by_seed(
    name: str, kind: type[E], made: Callable[[int], list[E]], options: argparse.Namespace
) -> list[E]:
    """What an experiment found for each seed; made where the folder has nothing of it yet."""
    file, found = options.output / f"{name}.jsonl", list[E]()
    kept = [one for one in kept_in(file, kind) if one.trained == options.steps]
    for seed in options.seeds:
        own = [one for one in kept if one.seed == seed]
        if not own:
            TOLD.print(f"{name}, seed {seed}")
            own = made(seed)
            keep(file, own)
        found += own
    return found


def picked(comparison: Comparison, only: Sequence[str]) -> Comparison:
    """A table with the networks whose names contain one of these words, or all without any."""
    arms = [arm for arm in comparison.arms if not only or any(word in arm.name for word in only)]
    return comparison._replace(arms=arms)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path, help="a folder of pictures")
    parser.add_argument("-o", "--output", type=Path, default=Path("ablation"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tables", nargs="+", choices=[*comparisons(FIELD, PHOTOGRAPHS), *EXTRA])
    parser.add_argument("--only", nargs="+", default=[], help="networks whose names contain these")
    parser.add_argument("--width", type=int, default=FIELD.width, help="of tokens and LPs")
    parser.add_argument("--decoder", choices=["attention", "lattice"], default="attention")
    parser.add_argument("--drawings", type=Path, help="a folder of them, for a bank")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="a small network, 20 steps, one seed")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (GinrError, ValueError) as error:
        raise SystemExit(str(error)) from None
