"""Which network enlarges a picture, and how much of its damage is removed: `--restore`, `--detail`."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from ginr.assessing.restoration import CRISP, PLAIN, RESTORER, Restoration, restoration_of
from ginr_cli import console
from ginr_cli.load_network import LoadedNetwork, NetworkChoice, load_upscaler

if TYPE_CHECKING:
    from ginr.pictures import Picture


def parse_restore(text: str | None, bank: str | None) -> float | None:
    """The strength of `--restore`: 0 to 1, or None for as much as each picture needs.

    The default with `--bank` is off: LPs chosen by hand are not adapted to damage.
    """
    if text is None:
        text = "auto" if bank is None else "off"
    words = {"auto": None, "off": 0.0}
    if text.lower() in words:
        return words[text.lower()]
    return _share("--restore", text, "auto, off")


def parse_detail(text: str) -> float | None:
    """The value of `--detail`: 0 to 1, or None if it depends on the picture."""
    return None if text.lower() == "auto" else _share("--detail", text, "auto")


def _share(option: str, text: str, words: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise console.UsageError(f"{option} {text}: use {words}, or a number from 0 to 1")
    return share


def choose(
    checkpoint: str | None, restore: float | None, bank: str | None, detail: float | None = None
) -> tuple[str, str | None]:
    """The checkpoints for undamaged and for damaged pictures; None if pictures are not examined."""
    from ginr.checkpoints.checkpoint import peek

    if detail:
        for name, value in (("--checkpoint", checkpoint), ("--bank", bank)):
            if value is not None:
                raise console.UsageError(
                    f"--detail {detail:g} mixes {RESTORER} and {CRISP}: leave {name} out"
                )
        return PLAIN, RESTORER
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
                f"{checkpoint} needs {n_trait} traits, but this ginr estimates {len(TRAITS)}: "
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
    """What outputs record about the options they were made with."""
    from importlib.metadata import version

    from ginr.checkpoints.checkpoint import peek

    names = dict.fromkeys(filter(None, (choice.checkpoint, choice.restorer)))
    detail = "off"
    if _invents(choice):
        names[CRISP] = None
        detail = "auto" if choice.detail is None else f"{choice.detail:g}"
    headers = [peek(name) for name in names]
    strength = "auto" if choice.restore is None else f"{choice.restore:g}"
    return {
        "version": version("ginr"),
        "checkpoint": " and ".join(f"{header.name} {header.sha256[:8]}" for header in headers),
        "restore": "off" if choice.restorer is None else strength,
        "detail": detail,
        "ensemble": "on" if choice.ensemble else "off",
    }


def _invents(choice: NetworkChoice) -> bool:
    """Whether detail may be invented."""
    return choice.restorer not in (None, choice.checkpoint) and choice.detail != 0


class Networks:
    """The networks of a device, for undamaged and for damaged pictures, each loaded when needed."""

    def __init__(
        self,
        choice: NetworkChoice,
        say: Callable[[str], None] = console.say,
        load: Callable[[NetworkChoice, Callable[[str], None]], LoadedNetwork] = load_upscaler,
    ) -> None:
        self._choice, self._say, self._load = choice, say, load
        self._restorers: dict[float, LoadedNetwork] = {}  # by detail
        if choice.restorer in (None, choice.checkpoint):
            _ = self.plain  # every picture needs it: errors come before the first is begun

    @cached_property
    def plain(self) -> LoadedNetwork:
        """The network for undamaged pictures."""
        return self._load(self._choice, self._say)

    def restorer(self, detail: float) -> LoadedNetwork:
        """The network for damaged pictures, or between it and the one that invents detail."""
        choice = self._choice
        if choice.restorer in (None, choice.checkpoint):
            return self.plain
        if detail not in self._restorers:
            wanted = replace(choice, checkpoint=choice.restorer or "")
            if detail:
                from ginr.checkpoints.checkpoint import Blend, peek

                wanted = replace(wanted, checkpoint=CRISP, blend=Blend(RESTORER, 1 - detail))
            loaded = self._load(wanted, self._say)
            if detail:
                loaded = replace(loaded, checkpoint=peek(RESTORER).name)
            self._restorers[detail] = loaded
        return self._restorers[detail]

    def suited(
        self, picture: "Picture", *, is_moving: bool = False
    ) -> tuple[LoadedNetwork, Restoration | None]:
        """The network for a picture, and what it does to it; None if pictures are not examined."""
        choice = self._choice
        if choice.restorer is None:
            return self.plain, None
        detail = choice.detail if _invents(choice) else 0.0
        done = restoration_of(picture, choice.restore, detail, is_moving=is_moving)
        if not done.is_needed and choice.restorer != choice.checkpoint:
            return self.plain, done
        restorer = self.restorer(done.detail)
        return replace(restorer, model=restorer.model.adapted(done.traits)), done
