"""Saving on the page: as `ginr upscale` and `ginr reconstruct` do it, into a file to download."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ginr.geometry.size import Target, parse_print, parse_scale, parse_size
from ginr.geometry.view import BoxRule, View, ViewRule
from ginr_cli.batch.destination import Destination
from ginr_cli.batch.one_picture import enlarge
from ginr_cli.batch.plan import plan
from ginr_cli.batch.sources import Source
from ginr_cli.batch.work import Work
from ginr_cli.console import UsageError
from ginr_cli.files import Writing
from ginr_cli.restoring import Networks, recipe
from ginr_cli.view.entry import Entry, Look

if TYPE_CHECKING:
    from ginr.pictures.samples import Samples

FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WebP", "tif": "TIFF"}
ROWS = 256  # of a saved field, rendered at a time

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Order:
    """How to save pictures."""

    rule: ViewRule
    look: Look
    suffix: str
    quality: int | None
    dpi: float | None

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "Order":
        """From the page's form. Raises GinrError and `UsageError` for invalid values."""
        kind, wanted = values.get("size_by"), str(values.get("size", ""))[:100]
        dpi = _number(values, "dpi", 1, 65535)
        if kind == "print":
            dpi = dpi or 300.0
            target: Target = parse_print(wanted, dpi)
        else:
            target = parse_size(wanted) if kind == "size" else parse_scale(wanted)
        suffix = values.get("format", "png")
        if suffix not in FORMATS:
            raise UsageError(f"format {suffix!r} is not one of {', '.join(FORMATS)}")
        quality = _number(values, "quality", 1, 100)
        if suffix not in ("jpg", "webp"):
            quality = None
        box = values.get("box")
        if box is not None:
            if not (
                isinstance(box, list)
                and len(box) == 4
                and all(type(n) is int and n >= 0 for n in box)
            ):
                raise UsageError(f"box {box!r} is not four whole numbers from 0")
            x, y, width, height = map(Fraction, box)
            box = BoxRule(x, y, width, height)
        look = Look.parse({k: str(values.get(k, "auto")) for k in ("restore", "detail")})
        return cls(
            ViewRule(target, box),
            look,
            f".{suffix}",
            None if quality is None else round(quality),
            dpi if kind == "print" else None,
        )

    def view(self, entry: Entry) -> View:
        """The part and size to render of a picture. Raises SizeError."""
        return self.rule.resolve(*entry.size)

    def file_name(self, entry: Entry) -> str:
        """The name of the download. Raises SizeError."""
        own = PurePosixPath(entry.name.replace("\\", "/")).stem or "picture"
        return f"{own}_{self.rule.label(*entry.size)}{self.suffix}"


def _number(values: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = values.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not low <= number <= high:
        raise UsageError(f"{name} {value!r}: give a number from {low:g} to {high:g}")
    return number


def save(
    entry: Entry, order: Order, output: Path, say: Callable[[str], None], progress: Progress
) -> None:
    """Make the file `output`. Raises GinrError, and whatever `progress` raises to stop it."""
    if entry.is_field:
        _save_field(entry, order, output, say, progress)
        return
    choice = order.look.choice(entry.settings)
    writing = Writing(
        order.quality, overwrite=True, suffix=order.suffix, dpi=order.dpi, recipe=recipe(choice)
    )
    job = plan(
        Source(entry.path), order.rule, Destination(output), writing, (), entry.settings.rules,
        batch=False,
    )  # fmt: skip
    job = replace(job, name=entry.name)
    networks = Networks(choice, lambda text: None, entry.settings.load)
    with ExitStack() as until_reported:
        enlarge(Work(job, networks, writing, until_reported, say, progress))


def _save_field(
    entry: Entry, order: Order, output: Path, say: Callable[[str], None], progress: Progress
) -> None:
    from ginr.pictures import at_dpi, check_target, losses, write_bands

    view, (field, _) = order.view(entry), entry.field(Look(), lambda *_: None)
    check_target(output, *view.size, overwrite=True, quality=order.quality)
    like = entry.picture(lambda *_: None)
    if order.dpi is not None:
        like = at_dpi(like, order.dpi)
    for loss in losses(like, output):
        say(loss)
    top, left, bottom, right = view.box

    def bands() -> "Iterator[Samples]":
        for row in range(top, bottom, ROWS):
            end = min(row + ROWS, bottom)
            yield field.render(view.whole, (row, left, end, right))
            progress(end - top, bottom - top)

    write_bands(bands(), like, *view.size, output, overwrite=True, quality=order.quality)
