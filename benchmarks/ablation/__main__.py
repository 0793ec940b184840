"""Position tokens (LPs) against their alternatives: count, placement, mixers, position encodings, recipes.

    python benchmarks/ablation photos/ -o ablation/ [--steps 500] [--seeds 0 1 2] [--tables counts ...] [--quick]

In most tables crops of 32x32 pixels are cut into 256 patches of 2x2, and a field without a base is learned
from them, which is rendered at 32x32, 64x64 and 128x128; in `photographs`, networks of the shape of the
preset `plain` enlarge by 2 to 4 and are compared with bicubic. The networks of a table have the same number
of weights within 5 %, by the width of their feed-forwards, and the same steps, batches and seeds. They are
measured on held-out pictures; times are those of all threads on the CPU. Seeds are trained one after
another for all tables. The same command resumes: the folder keeps the runs, and `results.jsonl` in it the
results.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from growth import FEW, TOKENS, draw, growth, growth_table
from measuring import Effort, run, settings_of
from networks import FIELD, PHOTOGRAPHS, Comparison, comparisons, n_weight
from report import saved, table
from rich.console import Console

from ginr.device import choose_device
from ginr.errors import GinrError

GROWTH = "growth"
QUICK = {"width": 16, "n_blocks": 2, "hidden": 32}


def main() -> None:
    """Trains and measures what is missing; prints the tables."""
    options = _options()
    fields = replace(FIELD, width=options.width, decoder=options.decoder)
    photographs = replace(PHOTOGRAPHS, width=options.width)
    effort = Effort()
    if options.quick:
        options.steps, options.seeds = 20, options.seeds[:1]
        fields, photographs = replace(fields, **QUICK), replace(photographs, **QUICK)
        effort = Effort(2, 4, 3, 4)
    found = comparisons(fields, photographs)
    names = options.tables or [*found, GROWTH]
    chosen = {name: picked(found[name], options.only) for name in names if name != GROWTH}
    output, say = options.output, Console(stderr=True)
    wanted = [
        (arm, settings_of(arm, seed, options.images, output, options.steps, options.device, effort))
        for seed in options.seeds
        for comparison in chosen.values()
        for arm in comparison.arms
    ]
    output.mkdir(parents=True, exist_ok=True)
    file = output / "results.jsonl"
    results = saved(file, options.steps)
    for arm, settings in wanted:
        own = [result for result in results if result.arm == arm.key]
        if any(result.seed == settings.seed for result in own):
            continue
        say.print(f"{arm.name}, seed {settings.seed}: {n_weight(arm.config)} weights")
        results.append(run(arm, settings, effort, own[0].mb if own else None))
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(results[-1])) + "\n")
    shown = [result for result in results if result.seed in options.seeds]
    for comparison in chosen.values():
        Console(width=250).print(table(comparison, shown))
    if GROWTH in names:
        n_tokens, device = FEW if options.quick else TOKENS, str(choose_device(options.device)[0])
        measured = growth(fields, device, n_tokens, output / "growth.jsonl")
        Console(width=250).print(growth_table(measured))
        draw(measured, output / "growth.png")


def picked(comparison: Comparison, only: Sequence[str]) -> Comparison:
    """A table with the networks whose names contain one of these words, or all without any."""
    arms = [arm for arm in comparison.arms if not only or any(word in arm.name for word in only)]
    return comparison._replace(arms=arms)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path, help="a folder of pictures")
    parser.add_argument("-o", "--output", type=Path, default=Path("ablation"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tables", nargs="+", choices=[*comparisons(FIELD, PHOTOGRAPHS), GROWTH])
    parser.add_argument("--only", nargs="+", default=[], help="networks whose names contain these")
    parser.add_argument("--width", type=int, default=FIELD.width, help="of tokens and LPs")
    parser.add_argument("--decoder", choices=["attention", "lattice"], default="attention")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="a small network, 20 steps, one seed")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (GinrError, ValueError) as error:
        raise SystemExit(str(error)) from None
