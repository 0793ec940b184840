"""The help of each command: with examples, and without the types of flags and arguments."""

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

EXAMPLES = {
    "upscale": (
        "ginr upscale photo.jpg --scale 3.7",
        "ginr upscale album/ -o large/ --size 3840x2160",
        "cat photo.png | ginr upscale - - --scale 2 > large.png",
    ),
    "view": ("ginr view photo.jpg", "ginr view photo.safetensors --port 8080 --no-browser"),
    "compare": (
        "ginr compare photo.jpg photo_x2.png",
        "ginr compare photo.jpg photo_x2.png -o sheet.png",
    ),
    "warp": ("ginr warp photo.jpg level.png --rotate -1.4 --scale 2",),
    "zoom": ("ginr zoom photo.jpg zoom.mp4 --to 40%,40%,20%,20%",),
    "reconstruct": ("ginr reconstruct photo.jpg copy.png",),
    "train": (
        "ginr train photos/ --run my_run --minutes 30",
        "ginr upscale photo.jpg --checkpoint my_run",
    ),
    "evaluate": ("ginr evaluate small photos/ --scales 2,3.7",),
    "inspect-lps": ("ginr inspect-lps small base --plot lps.png",),
    "models": ("ginr models --json",),
    "doctor": ("ginr doctor --json",),
}


def epilog(name: str) -> str:
    """The examples of a command."""
    return "\n\n".join(("Examples:", *EXAMPLES[name]))


class _WithoutTypes:
    """Leaves out the types of flags and arguments: `--json`, not `--json <bool>`."""

    if not TYPE_CHECKING:

        def get_params(self, context: Any) -> list[Any]:
            params = super().get_params(context)
            for param in params:
                if getattr(param, "is_flag", False) and param.metavar is None:
                    param.metavar = ""
                elif param.param_type_name == "argument":  # INPUT, not INPUT <list[str]>
                    param.display_type_rich = lambda ctx: None
            return params


class Command(_WithoutTypes, TyperCommand):
    """A command."""


class Group(_WithoutTypes, TyperGroup):
    """The program."""
