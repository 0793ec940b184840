"""The networks that are compared, by table, and what was expected of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ginr.architecture.config import GinrConfig
from ginr.architecture.weights import shapes

TWO_LEVELS = 10_000
"""A placement seed that stands for the positions of the variant `two levels`."""
TOLERANCE = 0.05  # of the number of weights

FIELD = GinrConfig(
    window=32, n_lp=64, placement="equidistant", group=2, bank="window", content="none", order="morton",
    values="raw", width=32, n_blocks=3, scan_every=1, hidden=64, kernel=1, decoder="attention",
    n_frequency=16, base="none", max_scale=4.0,
)  # fmt: skip
"""64 LPs among the 256 tokens of a crop; nothing but the mixer connects its pixels, no base is added to."""
PHOTOGRAPHS = GinrConfig(content="none", order="morton", values="raw", n_blocks=4, scan_every=2)
"""`ginr train --preset plain` with fewer blocks: 256 LPs among 64 tokens, convolutions, bicubic as the base."""


class Expected(NamedTuple):
    """What was expected of a network when LPs were designed."""

    psnr: str = "-"
    ms: str = "-"
    rest: str = "-"


UNKNOWN = Expected()


@dataclass(frozen=True)
class Arm:
    """A network of a table, and what differs in its training."""

    name: str
    config: GinrConfig
    expected: Expected = UNKNOWN
    training: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""
    """One of `variants.variant`, if the product cannot build it."""

    @property
    def key(self) -> str:
        """Names the network and its training, whatever the table."""
        base = FIELD if self.config.base == "none" else PHOTOGRAPHS
        ours, theirs = vars(base), vars(self.config)
        free = {"hidden", "width", "n_blocks", "n_frequency"}  # those of all networks of a folder
        changes = {k: theirs[k] for k in ours if ours[k] != theirs[k] and k not in free}
        parts = [f"{k}={v}" for k, v in {**changes, **self.training}.items()]
        parts += [self.variant] * bool(self.variant)
        return " ".join(["field" if self.config.base == "none" else "photographs", *parts])


class Comparison(NamedTuple):
    """A table; its networks have as many weights as `config`."""

    title: str
    config: GinrConfig
    arms: list[Arm]


def comparisons(ours: GinrConfig, photographs: GinrConfig) -> dict[str, Comparison]:
    """All tables by name. Raises ValueError for a network that cannot be built, or not of this size.

    `ours` is the network with LPs and Mamba-2 of crops that are fields, `photographs` that of crops
    that are enlarged.
    """
    found = {
        "alternatives": Comparison("LPs and their alternatives", ours, _alternatives(ours)),
        "counts": Comparison("Number of LPs", ours, _counts(ours)),
        "placements": Comparison("Placement of the LPs", ours, _placements(ours)),
        "photographs": Comparison(
            "x2 to x4 of photographs", photographs, _photographs(photographs)
        ),
        "recipes": Comparison("Optimizer groups and initial vectors", ours, _recipes(ours)),
        "directions": Comparison("Two resolutions, and learned positions", ours, _directions(ours)),
    }
    return {name: one._replace(arms=_sized(one)) for name, one in found.items()}


def _alternatives(ours: GinrConfig) -> list[Arm]:
    usual: dict[str, Any] = {"values": "normalised"}  # which is better without LPs
    tokens: dict[str, Any] = {"n_lp": 0, **usual}
    attention: dict[str, Any] = {"mixer": "transformer"}
    return [
        *(
            Arm(f"tokens, {name}, transformer",
                replace(ours, **attention, positions=name, **tokens), Expected(psnr, ms, weights))
            for name, psnr, ms, weights in (
                ("sinusoidal", "30.2", "250", "15 M"), ("learned", "30.5", "260", "16 M"),
                ("rope", "30.8", "255", "15 M"),
            )
        ),
        Arm("tokens, Mamba-2", replace(ours, **tokens)),
        *(
            Arm(f"LPs, {name}, transformer", replace(ours, **attention, positions=name))
            for name in ("none", "sinusoidal", "learned", "rope")
        ),
        Arm("LPs, Mamba-1", replace(ours, mixer="mamba")),
        Arm("LPs, Mamba-2", ours, Expected("31.8", "115", "14 M")),
        Arm("LPs, Mamba-2, row by row", replace(ours, order="raster")),
        Arm("LPs, Mamba-2, normalised values", replace(ours, **usual)),
        Arm("LPs that query content, Mamba-2", replace(ours, content="blocks", **usual)),
    ]  # fmt: skip


def _counts(ours: GinrConfig) -> list[Arm]:
    expected = {16: ("28.5", "100", "1.2 GB"), 32: ("30.2", "105", "1.3 GB"),
                64: ("31.8", "115", "1.4 GB"), 128: ("32.1", "135", "1.6 GB"),
                256: ("32.0", "180", "2.0 GB")}  # fmt: skip
    return [Arm(f"{n} LPs", replace(ours, n_lp=n), Expected(*e)) for n, e in expected.items()]


def _placements(ours: GinrConfig) -> list[Arm]:
    expected = {"random": "29.5", "middle": "30.8", "equidistant": "31.8", "n_group": "31.5"}
    return [
        Arm(name, replace(ours, placement=name), Expected(psnr))  # type: ignore[arg-type]
        for name, psnr in expected.items()
    ]


def _photographs(plain: GinrConfig) -> list[Arm]:
    tokens: dict[str, Any] = {"n_lp": 0, "values": "normalised"}
    small: dict[str, Any] = {"content": "blocks", "order": "hilbert", "values": "normalised",
                             "lps_scale": True}  # fmt: skip
    return [
        *(
            Arm(f"tokens, {name}, transformer",
                replace(plain, mixer="transformer", positions=name, **tokens))
            for name in ("sinusoidal", "learned", "rope")
        ),
        Arm("tokens, Mamba-2", replace(plain, **tokens)),
        Arm("LPs, rope, transformer", replace(plain, mixer="transformer", positions="rope")),
        Arm("LPs, Mamba-1", replace(plain, mixer="mamba")),
        Arm("LPs, Mamba-2 (preset plain)", plain),
        Arm("LPs that query content, Mamba-2 (preset small)", replace(plain, **small)),
    ]  # fmt: skip


def _recipes(ours: GinrConfig) -> list[Arm]:
    adam: dict[str, Any] = {"optimizer": "adamw"}
    return [
        Arm("Muon and AdamW, one rate", ours, Expected("31.8")),
        Arm("AdamW, one rate, in one group or several", ours, training=adam),
        Arm("AdamW, LPs at 3 times the rate", ours, training={**adam, "rate_lps": 9e-3}),
        Arm("AdamW, LPs at a third of the rate", ours, training={**adam, "rate_lps": 1e-3}),
        Arm("AdamW, decoder at a third of the rate", ours, training={**adam, "rate_decoder": 1e-3}),
        Arm("Muon and AdamW, Xavier", replace(ours, lp_init="xavier")),
    ]


def _directions(ours: GinrConfig) -> list[Arm]:
    by_rows, learned = replace(ours, order="raster"), "learned positions"
    random = replace(ours, placement="random")
    two_levels = replace(ours, n_lp=80, placement="random", placement_seed=TWO_LEVELS)
    return [
        Arm("row by row", by_rows),
        Arm("row by row, learned positions", by_rows, variant=learned),
        Arm("random", random),
        Arm("random, learned positions", random, variant=learned),
        Arm("80 LPs, equidistant", replace(ours, n_lp=80)),
        Arm("80 LPs, 64 and 16 at two resolutions", two_levels, variant="two levels"),
    ]


def n_weight(config: GinrConfig) -> int:
    """Weights of a network. Raises ValueError if it cannot be built."""
    return sum(map(math.prod, shapes(config).values()))


def _sized(comparison: Comparison) -> list[Arm]:
    wanted, arms = n_weight(comparison.config), []
    for arm in comparison.arms:
        try:
            arms.append(replace(arm, config=of_size(arm.config, wanted)))
        except ValueError as error:
            raise ValueError(f"{comparison.title}, {arm.name}: {error}") from None
    return arms


def of_size(config: GinrConfig, wanted: int) -> GinrConfig:
    """The configuration with the feed-forward width whose number of weights is nearest to `wanted`.

    Raises ValueError if none is near enough.
    """
    choices = (replace(config, hidden=hidden) for hidden in range(8, 8 * config.hidden))
    best = min(choices, key=lambda choice: abs(n_weight(choice) - wanted))
    if abs(n_weight(best) - wanted) > TOLERANCE * wanted:
        raise ValueError(
            f"{n_weight(best)} weights at best, {wanted} wanted within {TOLERANCE:.0%}: "
            "give a larger width"
        )
    return best
