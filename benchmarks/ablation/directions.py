"""Experiments of their own: pruning of LPs, and banks of LPs for several kinds of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from networks import Arm
from PIL import Image as Images
from report import spread
from rich import box
from rich.table import Table
from safetensors.torch import load_file
from trials import Effort, Keeper, crops_of, pixels_of, psnr_by_side
from variants import PRUNED, Placed, placed, pruned, starting_from

from ginr.architecture.tokens import window_plan
from ginr.array_types import Doubles, Image
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.measuring.held_out import validate
from ginr.network.model import Ginr
from ginr.training.collect import picture_files
from ginr.training.config import TrainConfig
from ginr.training.loop import train
from ginr.training.settings import Layer, resolve

COUNTS = 48, 32, 16  # LPs that are left
TUNED = 3  # fine-tuning takes this share of the steps of training


@dataclass(frozen=True)
class Pruning:
    """A network with fewer LPs than it was trained with."""

    n_lp: int
    seed: int
    trained: int
    """Steps before LPs were dropped."""
    steps: int
    """Of fine-tuning; 0 without."""
    psnr: dict[str, float]


def prune(arm: Arm, settings: TrainConfig, effort: Effort) -> list[Pruning]:
    """A network of LPs without a lattice, trained and pruned to each of COUNTS, with and without fine-tuning."""
    weights = load_file(train(arm.config, settings, keeper := Keeper()))
    model = Ginr(arm.config)
    model.load_state_dict(weights)
    crops = crops_of(list(keeper.held_out), effort.n_crop)
    use = uses(model, crops[: effort.n_looked])
    trained = settings.steps or 0
    found = [Pruning(len(use), settings.seed, trained, 0, psnr_by_side(model, crops))]
    plan, steps = window_plan(arm.config).plan, max(1, trained // TUNED)
    for n in COUNTS:
        kept = np.sort(use.argsort()[-n:])
        # An LP stands where it stood: after as many tokens, for the same ones.
        where = Placed(
            plan.before[kept], tuple(range(row[0], row[-1] + 1) for row in plan.block[kept])
        )
        with placed(PRUNED, where):
            smaller = pruned(model, kept)
            found.append(Pruning(n, settings.seed, trained, 0, psnr_by_side(smaller, crops)))
            with starting_from(smaller):
                tuned = replace(
                    settings, run=settings.run.with_name(f"{settings.run.name},_{n}_left"),
                    steps=steps, rate=settings.rate / 3,
                )  # fmt: skip
                weights = load_file(train(smaller.config, tuned, Keeper()))
            smaller.load_state_dict(weights)
            found.append(Pruning(n, settings.seed, trained, steps, psnr_by_side(smaller, crops)))
    return found


@torch.inference_mode()
def uses(model: Ginr, crops: Sequence[Image]) -> Doubles:
    """How much a render changes without each of the LPs: mean squares, (N,)."""
    size = crops[0].shape[0] // 2, crops[0].shape[1] // 2
    found = np.zeros(model.config.n_lp)
    for crop in crops:
        whole = model.encode(pixels_of([crop], model.device))
        before = whole.render(size)
        for index in range(model.config.n_lp):
            features = whole.features.clone()
            features.flatten(0, -2)[index] = 0
            change = replace(whole, features=features).render(size) - before
            found[index] += float(change.square().mean())
    return found


def pruning_table(found: Sequence[Pruning]) -> Table:
    """PSNR by the number of LPs left."""
    made = Table(title="The least used LPs dropped", box=box.MARKDOWN)
    for heading in (
        "LPs left",
        "fine-tuning",
        *(f"PSNR at {side}" for side in found[0].psnr),
        "seeds",
    ):
        made.add_column(heading)
    for n_lp, steps in sorted({(-one.n_lp, one.steps) for one in found}):
        own = [one for one in found if (one.n_lp, one.steps) == (-n_lp, steps)]
        scores = (spread([one.psnr[side] for one in own]) for side in own[0].psnr)
        made.add_row(str(-n_lp), f"{steps} steps" if steps else "none", *scores, str(len(own)))
    return made


@dataclass(frozen=True)
class BankScore:
    """What a bank gains over bicubic at x2 on the held-out pictures of a kind, in dB."""

    bank: str
    kind: str
    seed: int
    trained: int
    """Steps."""
    gain: float


def bank_scores(
    folders: dict[str, Path], output: Path, seed: int, steps: int, effort: Effort
) -> list[BankScore]:
    """The banks of `small`, its own and one trained on each folder, on the pictures of all folders."""
    small, held_out = load_checkpoint("small"), {}
    banks = {"main": small}
    for name, folder in folders.items():
        layer = {
            "bank": name, "init": "small", "folders": [str(folder)], "steps": steps, "seed": seed,
            "run": str(output / "runs" / f"bank_{name},_seed_{seed}"), "device": "cpu",
            "n_held_out": effort.n_held_out,
        }  # fmt: skip
        config, settings = resolve([Layer("ablation", layer)])
        path = train(config, settings, keeper := Keeper())
        held_out[name], banks[name] = keeper.held_out, small.with_bank(str(path))
    return [
        BankScore(
            bank, kind, seed, steps, validate(checkpoint.build(), pictures, (2.0,)).gain["x2"]
        )
        for bank, checkpoint in banks.items()
        for kind, pictures in held_out.items()
    ]


def grey_copies(folder: Path, output: Path) -> Path:
    """A folder of the same pictures with a single channel."""
    output.mkdir(parents=True, exist_ok=True)
    for path in picture_files([folder]):
        if not (copy := output / f"{path.stem}.png").exists():
            Images.open(path).convert("L").save(copy)
    return output


def bank_table(found: Sequence[BankScore]) -> Table:
    """Banks by rows, kinds of pictures by columns."""
    kinds = list(dict.fromkeys(one.kind for one in found))
    made = Table(title="Gain of small at x2 with other banks", box=box.MARKDOWN)
    for heading in ("bank", *kinds):
        made.add_column(heading)
    for bank in dict.fromkeys(one.bank for one in found):
        own = [one for one in found if one.bank == bank]
        made.add_row(bank, *(spread([o.gain for o in own if o.kind == kind], 3) for kind in kinds))
    return made
