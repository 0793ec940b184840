"""`ginr inspect-lps`: the learnable position tokens of a checkpoint, in numbers."""

from dataclasses import asdict
from typing import Annotated

import typer

from ginr_cli import console
from ginr_cli.options import JsonOption


def inspect_lps(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="[NAME|FILE]", help="A shipped checkpoint or a .safetensors file."),
    ] = "small",
    as_json: JsonOption = False,
) -> None:
    """Show number, norms and diversity of a checkpoint's position tokens (LPs)."""
    from ginr.checkpoint import load_checkpoint
    from ginr.lps import HEALTHY_DIVERSITY, lp_report

    report = lp_report(load_checkpoint(checkpoint))
    if as_json:
        console.result_json(asdict(report))
    else:
        for key, value in asdict(report).items():
            text = (
                "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
            )
            console.result(f"{key.replace('_', ' '):<23} {text}")
    if not report.is_healthy:
        console.say(
            f"warning: a diversity of {report.diversity:.4f} is not above {HEALTHY_DIVERSITY}: "
            "the position tokens point much the same way"
        )
