"""The network that a command runs: checked early, then built on its device."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ginr.errors import visible
from ginr_cli import console
from ginr_cli.options import NumberFormat
from ginr_cli.parsing import usage

if TYPE_CHECKING:
    from ginr.architecture.config import GinrConfig
    from ginr.checkpoints.checkpoint import Blend
    from ginr.device import Precision as PrecisionName
    from ginr.engine.model import CpuGinr
    from ginr.kernels.available import Device
    from ginr.network.model import Ginr


@dataclass(frozen=True)
class NetworkChoice:
    """The network that the command line asks for."""

    checkpoint: str
    device: str
    precision: NumberFormat = NumberFormat.AUTO
    tile: int = 0  # side of a tile; 0 lets the library choose
    ensemble: bool = False
    restorer: str | None = None
    """The checkpoint for damaged pictures; None if pictures are not examined."""
    restore: float | None = None
    """The strength of restoration, from 0 to 1; None for as much as each picture needs."""
    bank: str | None = None
    """The bank of LPs, see `ginr.checkpoints.banks`; None for the network's own."""
    detail: float | None = None
    """How much detail to invent, from 0 to 1; None for an amount that depends on the damage."""
    blend: "Blend | None" = None
    """How far to go from the checkpoint to another one."""


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with its settings, and what reports say about it."""

    model: "Ginr | CpuGinr"
    checkpoint: str
    device: str
    tile: int | None
    precision: "PrecisionName"
    bank: str | None = None


@dataclass(frozen=True)
class LoadedTorchNetwork(LoadedNetwork):
    """A network that can render more than regular grids."""

    model: "Ginr"


def check_network(choice: NetworkChoice) -> None:
    """Raises an error for an unavailable device, checkpoint or bank, before any output is created."""
    from ginr.checkpoints.banks import check_bank
    from ginr.checkpoints.checkpoint import peek
    from ginr.device import choose_device

    if choice.device not in ("auto", "cpu"):  # always available: no need to load torch
        with usage("--device"):
            choose_device(choice.device)
    header = peek(choice.checkpoint)
    if choice.bank is not None:
        with usage("--bank"):
            check_bank(choice.bank, header)


def in_plain_torch(place: "Device", config: "GinrConfig") -> str:
    """The part of a network's mixer that has no kernel here, and why; empty if there is none."""
    from ginr.kernels.available import slow_mixer

    slow = slow_mixer(place, config.mixer)  # imports the fast scan
    what = "attention" if config.mixer == "transformer" else "slow scan"
    return f"{what} in plain torch: {slow}" if slow else ""


def announce_compilation(place: "Device", say: Callable[[str], None] = console.say) -> None:
    """Print a line if kernels have to be compiled for the CPU."""
    from ginr.kernels.available import slow_reason

    if place.type == "cpu" and not slow_reason(place):
        from ginr.kernels.cache import cache_place, compiles

        if trouble := cache_place().trouble:
            say(trouble)
        if how_often := compiles():
            say(f"compiling for this processor ({how_often}): up to a minute")


@contextmanager
def _loading() -> Iterator[None]:
    """Suspends garbage collection and exempts what is loaded from it.

    Torch creates 200,000 objects; searching them for cycles again and again takes 0.7 s.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@_loading()
def load_network(
    choice: NetworkChoice, say: Callable[[str], None] = console.say
) -> LoadedTorchNetwork:
    """Build the network and print where it runs."""
    from ginr.checkpoints.checkpoint import load_checkpoint
    from ginr.device import choose_device

    loaded = load_checkpoint(choice.checkpoint)
    if choice.bank is not None:
        loaded = loaded.with_bank(choice.bank)
    if choice.blend is not None:
        loaded = loaded.blended(choice.blend)
    place, reason = choose_device(choice.device)
    plain = in_plain_torch(place, loaded.config)
    named = _named(loaded.name, choice)
    say(f"{named} on {place} ({reason})" + (f", {plain}" if plain else ""))
    announce_compilation(place, say)
    if loaded.config.n_trait and choice.restorer is None:
        say(f"{loaded.name} does not restore here: only ginr upscale and ginr evaluate do")
    model = loaded.build(place)
    if choice.ensemble:
        from ginr.network.ensemble import Ensemble

        with usage(f"--ensemble, {loaded.name}"):
            model = Ensemble(model)
    return LoadedTorchNetwork(
        model, loaded.name, str(place), choice.tile or None, choice.precision.value, choice.bank
    )


def _named(name: str, choice: NetworkChoice) -> str:
    if choice.blend is not None:
        share = choice.blend.share
        return f"{share:g} {choice.blend.checkpoint} + {1 - share:g} {name}"
    return name if choice.bank is None else f"{name}, bank {visible(choice.bank)},"


@_loading()
def load_upscaler(choice: NetworkChoice, say: Callable[[str], None] = console.say) -> LoadedNetwork:
    """As `load_network`, without torch where possible: loading it takes longer than enlarging."""
    from ginr.checkpoints.checkpoint import load_cpu_network, needs_torch, peek
    from ginr.device import HOST, reason_for_cpu

    reason, header = reason_for_cpu(choice.device), peek(choice.checkpoint)
    is_plain = not choice.ensemble and choice.precision is not NumberFormat.BFLOAT16
    if not (reason and is_plain) or needs_torch(header):
        return load_network(choice, say)
    say(f"{_named(header.name, choice)} on {HOST} ({reason})")
    announce_compilation(HOST, say)
    model = load_cpu_network(choice.checkpoint, choice.bank, choice.blend)
    return LoadedNetwork(
        model, header.name, str(HOST), choice.tile or None, choice.precision.value, choice.bank
    )
