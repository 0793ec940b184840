"""Run a command that renders one picture into one output: load, show progress, report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ginr.errors import printable
from ginr_cli import console
from ginr_cli.defaults import say_ignored
from ginr_cli.files import clear_left_over
from ginr_cli.load_network import LoadedTorchNetwork, NetworkChoice, check_network, load_network
from ginr_cli.reports.pictures import Outcome, OutcomeReport, done, new_outcome

if TYPE_CHECKING:
    from ginr.pictures import Picture, ReadRules

Size = tuple[int, int]  # H, W
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rendering:
    """What a command makes of a picture."""

    output: Path
    size: Size
    make: "Callable[[Picture, LoadedTorchNetwork, Progress], Sequence[str]]"
    """Renders and writes the picture; returns what the output cannot hold of it."""
    n_frames: int = 1
    words: str = ""  # follows the sizes where they are announced


def probe_size(image: Path, rules: "ReadRules") -> Size:
    """H, W of a picture, from its header."""
    from ginr.pictures import probe_picture

    header = probe_picture(image, rules)
    return header.height, header.width


def render_one(
    image: Path,
    choice: NetworkChoice,
    as_json: bool,
    rules: "ReadRules",
    plan: Callable[[Size], Rendering],
) -> None:
    """Make and report the rendering that `plan` returns for the picture's size; exit code 1 if it fails.

    Before the network is loaded, `plan` raises an error if the output could not be written.
    """
    say_ignored()
    check_network(choice)
    report = OutcomeReport(as_json)
    try:
        outcome = _rendered(image, choice, rules, plan)
    except console.UsageError:
        raise
    except (KeyboardInterrupt, SystemExit) as end:
        console.say_end(end)
        raise
    except Exception as problem:
        report.fail(image, problem)
        raise typer.Exit(1) from None
    report.add(outcome)


def _rendered(
    image: Path, choice: NetworkChoice, rules: "ReadRules", plan: Callable[[Size], Rendering]
) -> Outcome:
    from ginr.pictures import network_losses, read_picture, without_place

    rendering = plan(probe_size(image, rules))
    height, width = rendering.size
    clear_left_over([rendering.output.parent])
    network = load_network(choice)
    start = time.perf_counter()
    picture = without_place(read_picture(image, rules))
    console.say(
        f"{printable(image)} {picture.width}x{picture.height} -> "
        f"{printable(rendering.output)} {width}x{height}{rendering.words}"
    )
    with console.Meter(rendering.n_frames * height * width) as meter:
        meter.begin(image.name, 0)
        lost = rendering.make(picture, network, meter.advance)
    notes = (*picture.notes, *network_losses(picture), *lost)
    console.say_notes(image, notes)
    outcome = new_outcome(image, rendering.output, (picture.height, picture.width), rendering.size)
    return done(outcome, network, None, start, notes)
