"""Which network enlarges a picture, and how much of its damage is undone: `--restore`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ginr_cli import console
from ginr_cli.load_network import LoadedNetwork, NetworkChoice, load_upscaler

if TYPE_CHECKING:
    from ginr.assessing.assessment import Assessment
    from ginr.pictures import Picture

PLAIN, RESTORER = "small", "photo"
"""The networks that enlarge undamaged and damaged pictures, unless `--checkpoint` names one."""


def parse_restore(text: str | None, bank: str | None) -> float | None:
    """The strength of `--restore`: 0 to 1, or None for as much as each picture needs.

    The default depends on `--bank`: LPs chosen by hand are not moved.
    """
    if text is None:
        text = "auto" if bank is None else "off"
    words = {"auto": None, "off": 0.0}
    if text.lower() in words:
        return words[text.lower()]
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= 1:
        raise console.UsageError(f"--restore {text}: use auto, off, or a number from 0 to 1")
    return strength


def choose(
    checkpoint: str | None, restore: float | None, bank: str | None
) -> tuple[str, str | None]:
    """The checkpoints for undamaged and for damaged pictures; None if nothing is restored."""
    from ginr.checkpoints.checkpoint import peek

    if checkpoint is None:
        if bank is not None and restore != 0:
            raise console.UsageError(
                "--restore chooses between two networks, and --bank is for one: "
                "name it with --checkpoint, or leave --restore out"
            )
        return PLAIN, None if restore == 0 else RESTORER
    if n_trait := peek(checkpoint).config.n_trait:
        from ginr.assessing.assessment import TRAITS

        if n_trait != len(TRAITS):
            raise console.UsageError(
                f"{checkpoint}: is told {n_trait} traits, but this ginr estimates {len(TRAITS)}: "
                "use another checkpoint"
            )
        return checkpoint, checkpoint
    if restore:
        raise console.UsageError(
            f"--restore {restore:g}: {checkpoint} was not trained to restore: "
            f"leave --checkpoint out, or use {RESTORER}"
        )
    return checkpoint, None


def recipe(choice: NetworkChoice) -> dict[str, str]:
    """What outputs say of the options that they were made with."""
    from importlib.metadata import version

    from ginr.checkpoints.checkpoint import peek

    names = dict.fromkeys(filter(None, (choice.checkpoint, choice.restorer)))
    headers = [peek(name) for name in names]
    strength = "auto" if choice.restore is None else f"{choice.restore:g}"
    return {
        "version": version("ginr"),
        "checkpoint": " and ".join(f"{header.name} {header.sha256[:8]}" for header in headers),
        "restore": "off" if choice.restorer is None else strength,
        "ensemble": "on" if choice.ensemble else "off",
    }


@dataclass(frozen=True)
class Restoration:
    """What was seen in a picture and done about it."""

    assessment: "Assessment"
    strength: float

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        seen = self.assessment
        return {
            "strength": round(self.strength, 3),
            "needed": round(seen.strength, 3),
            "noise": round(seen.noise, 2),
            "compression": round(seen.compression, 2),
            "jpeg_quality": seen.jpeg_quality,
            "blur": round(seen.blur, 2),
            "is_drawn": seen.is_drawn,
        }

    def __str__(self) -> str:
        if self.strength == 0:
            return f"{self.assessment}: enlarged as it is"
        return f"{self.assessment}: restored with strength {self.strength:.2f}"


class Networks:
    """The networks of a device, for undamaged and for damaged pictures, each loaded when needed."""

    def __init__(
        self,
        choice: NetworkChoice,
        say: Callable[[str], None] = console.say,
        load: Callable[[NetworkChoice, Callable[[str], None]], LoadedNetwork] = load_upscaler,
    ) -> None:
        self._choice, self._say, self._load = choice, say, load
        if choice.restorer in (None, choice.checkpoint):
            _ = self.plain  # every picture needs it: errors come before the first is begun

    @cached_property
    def plain(self) -> LoadedNetwork:
        """The network for undamaged pictures."""
        return self._load(self._choice, self._say)

    @cached_property
    def restorer(self) -> LoadedNetwork:
        """The network for damaged pictures."""
        checkpoint = self._choice.restorer or self._choice.checkpoint
        if checkpoint == self._choice.checkpoint:
            return self.plain
        return self._load(replace(self._choice, checkpoint=checkpoint), self._say)

    def suited(self, picture: "Picture") -> tuple[LoadedNetwork, Restoration | None]:
        """The network for a picture, and what it does to it; None if pictures are not looked at."""
        choice = self._choice
        if choice.restorer is None:
            return self.plain, None
        from ginr.assessing.assessment import assess

        seen = assess(picture)
        strength = seen.strength if choice.restore is None else choice.restore
        done = Restoration(seen, strength)
        if strength == 0 and choice.restorer != choice.checkpoint:
            return self.plain, done
        model = self.restorer.model.adapted(seen.traits_for(strength))
        return replace(self.restorer, model=model), done
