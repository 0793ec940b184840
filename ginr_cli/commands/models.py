"""`ginr models`: the available checkpoints, and what each is for."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ginr.errors import CheckpointError, visible
from ginr_cli import console, options

if TYPE_CHECKING:
    from ginr.checkpoints.tensors_file import Header


class Role(NamedTuple):
    """The purpose of a shipped checkpoint, and its time for x2 on the CPU relative to `small`."""

    purpose: str
    relative_time: float


ROLES = {
    "small": Role("undamaged pictures; the default", 1.0),
    "base": Role("undamaged pictures, with more detail", 4.0),
    "photo": Role("damaged pictures; chosen automatically for them", 1.6),
    "crisp": Role("damaged photographs, with invented detail; mixed into photo by --detail", 1.6),
    "reconstruct": Role("ginr reconstruct: pictures as LP features alone", 4.0),
}


@dataclass(frozen=True)
class Entry:
    """A checkpoint, as `--json` prints it."""

    name: str
    path: str
    purpose: str | None = None
    relative_time: float | None = None
    n_parameter: int | None = None
    megabytes: float | None = None
    gain_db: dict[str, float] | None = None
    """PSNR on Y above that of bicubic, by scale, on held-out pictures of the kind trained on."""
    psnr_y: dict[str, dict[str, float]] | None = None
    """By benchmark and scale."""
    error: str | None = None


def models(as_json: options.Json = False) -> None:
    """List the checkpoints for --checkpoint: the shipped ones, and those in runs/.

    The gain over bicubic interpolation is in dB of PSNR, on pictures that were
    held out of the training.
    """
    entries = [_entry(name, path) for name, path in _found()]
    if as_json:
        for entry in entries:
            console.result_json(asdict(entry))
        return
    width = max((len(visible(entry.name)) for entry in entries), default=0)
    for entry in entries:
        name = visible(entry.name)
        console.result(f"{name:<{width}}  {entry.error or _described(entry)}")
    if not entries:
        console.say("no checkpoints: the shipped weights are missing: reinstall ginr")


def _found() -> Iterator[tuple[str, Path]]:
    from ginr.checkpoints.checkpoint import shipped_checkpoints

    shipped = shipped_checkpoints()
    yield from sorted(shipped.items(), key=lambda found: [*ROLES, found[0]].index(found[0]))
    for path in sorted(Path("runs").glob("*/model.safetensors")):
        yield str(path.parent), path


def _entry(name: str, path: Path) -> Entry:
    from ginr.checkpoints.checkpoint import peek

    role = ROLES.get(name)
    purpose, relative_time = role or (None, None)
    try:
        header: Header = peek(path)
        n_byte = path.stat().st_size
    except (CheckpointError, OSError) as problem:
        return Entry(name, str(path), purpose, error=console.describe(problem))
    return Entry(
        name, str(path), purpose, relative_time, header.n_parameter, round(n_byte / 1e6, 2),
        _numbers(header.facts.get("held_out_gain_over_bicubic_db")), header.facts.get("psnr_y"),
    )  # fmt: skip


def _numbers(value: object) -> dict[str, float] | None:
    """Numbers by scale; None for whatever else the facts of a file hold."""
    if not isinstance(value, dict) or not value:
        return None
    if not all(isinstance(number, int | float) for number in value.values()):
        return None
    return {str(scale): round(float(number), 2) for scale, number in value.items()}


def _described(entry: Entry) -> str:
    parts = [entry.purpose] if entry.purpose else []
    if entry.gain_db:
        scale = "x2" if "x2" in entry.gain_db else next(iter(entry.gain_db))
        parts.append(f"{entry.gain_db[scale]:+.2f} dB over bicubic at {scale}")
    if entry.relative_time not in (None, 1):
        parts.append(f"{entry.relative_time:g} x the time of small")
    parts.append(f"{(entry.n_parameter or 0) / 1e6:.2f} million parameters")
    parts.append(f"{entry.megabytes} MB")
    return ", ".join(parts)
