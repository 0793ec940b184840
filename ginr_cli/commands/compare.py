"""`ginr compare`: two pictures before and after, as a page with a slider or as a sheet."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ginr.errors import GinrError, printable
from ginr_cli import console, options
from ginr_cli.comparing.page import MAX_PIXELS, page_of, side_of, write_page
from ginr_cli.files import refuse_own_input
from ginr_cli.options import argument, option

if TYPE_CHECKING:
    from PIL.Image import Image

    from ginr.pictures import ReadRules

_PAGES = (".html", ".htm")
Before = Annotated[Path, argument("BEFORE", "The original picture.")]
After = Annotated[
    Path, argument("AFTER", "The same picture afterwards: enlarged, or of the same size.")
]
Output = Annotated[
    Path | None,
    option(
        "--output -o FILE",
        "A page with a slider (.html), or a sheet (.png, .jpg, ...) with the four parts that "
        "differ most, enlarged. Default: photo_x2_compare.html next to photo_x2.png.",
    ),
]


@dataclass(frozen=True)
class _Picture:
    path: Path
    image: "Image"
    notes: tuple[str, ...]

    def drawn(self) -> "Image":
        """The image, where it stands for its file; says what is not read of that."""
        console.say_notes(self.path, self.notes)
        return self.image

    @property
    def size(self) -> str:
        return f"{self.image.width}x{self.image.height}"


def compare(
    before: Before,
    after: After,
    output: Output = None,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    allow_truncated: options.AllowTruncated = False,
    allow_large: options.AllowLarge = False,
    as_json: options.Json = False,
) -> None:
    """Show a picture before and after: a page with a slider, or a sheet of the parts that differ.

    The page is one file that needs no network. Arrow keys move its slider,
    + and - change the size, f fits it, 1 shows pixel for pixel. In a sheet, the
    original is enlarged by bicubic interpolation.
    """
    from ginr.pictures import WRITABLE, ReadRules, check_target
    from ginr.pictures.formats import check_place

    path = output or page_of(after)
    is_page = path.suffix.lower() in _PAGES
    if not is_page and path.suffix.lower() not in WRITABLE:
        known = ", ".join(sorted(WRITABLE))
        raise console.UsageError(f"-o {printable(path)}: is neither .html nor one of {known}")
    if is_page:
        check_place(path, overwrite)
    else:
        check_target(path, 1, 1, overwrite=overwrite)
    for source in (before, after):
        refuse_own_input(source, path)
    rules = ReadRules(strict, allow_truncated, allow_large)
    pair = _read(before, rules), _read(after, rules)
    _check_shapes(*pair)
    boxes = _write(pair, path, is_page=is_page, overwrite=overwrite)
    if as_json:
        details = [[left, top, right - left, bottom - top] for left, top, right, bottom in boxes]
        console.result_json({
            "before": str(before), "after": str(after), "output": str(path), "details": details,
        })  # fmt: skip
    else:
        console.result_path(str(path))


def _read(path: Path, rules: "ReadRules") -> _Picture:
    from ginr.pictures import probe_picture, read_picture
    from ginr.pictures.display import displayed

    header = probe_picture(path, rules)
    if header.height * header.width > MAX_PIXELS:
        raise GinrError(
            f"{printable(path)}: {header.width}x{header.height} is over {MAX_PIXELS // 10**6} "
            "megapixels, more than a browser shows: compare a part, see ginr upscale --box"
        )
    picture = read_picture(path, rules)
    return _Picture(path, displayed(picture), picture.notes)


def _check_shapes(before: _Picture, after: _Picture) -> None:
    """Raises GinrError unless one can be an enlargement of the other."""
    names = f"{printable(before.path)} {before.size} and {printable(after.path)} {after.size}"
    scale = after.image.width / before.image.width
    if after.image.width < before.image.width or after.image.height < before.image.height:
        raise GinrError(f"{names}: the second is smaller: name the enlarged picture second")
    unlike = abs(before.image.height * scale - after.image.height)
    if unlike > max(1 + scale, 0.01 * after.image.height):
        raise GinrError(f"{names} differ in shape: compare a picture with its enlargement")


def _write(
    pair: tuple[_Picture, _Picture], path: Path, *, is_page: bool, overwrite: bool
) -> list[tuple[int, int, int, int]]:
    """Write the page or the sheet; returns the parts that the sheet shows."""
    before, after = pair
    if is_page:
        sides = side_of(before.path, before.drawn), side_of(after.path, after.drawn)
        write_page(path, *sides, overwrite=overwrite)
        return []
    import numpy as np
    from PIL.Image import Resampling

    from ginr.pictures import Picture, write_picture
    from ginr_cli.comparing.sheet import details, sheet

    large = before.drawn().resize(after.image.size, Resampling.BICUBIC)
    boxes = details(large, after.drawn())
    if not boxes:
        console.say("the pictures are equal: the sheet shows no parts")
    drawn = sheet(large, after.image, (before.path.name, after.path.name), boxes)
    write_picture(Picture(np.ascontiguousarray(drawn)), path, overwrite=overwrite)
    return boxes
