"""A page with a slider between two pictures: one HTML file that needs no network.

The slider is a range input, so the arrow keys, Home and End move it.
"""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ginr.errors import visible

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 200_000_000
"""Pixels beyond which browsers show nothing, and a sheet needs gigabytes."""
_MARKS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
"""First bytes of files that every browser shows as they are."""


class Side(NamedTuple):
    """One of the two pictures: its name, and its file as it is embedded."""

    name: str
    size: tuple[int, int]  # H, W
    kind: str
    content: bytes


def page_of(picture: Path) -> Path:
    """The default name of the page for a picture: photo_x2_compare.html for photo_x2.png."""
    return picture.with_name(f"{picture.stem}_compare.html")


def side_of(path: Path, displayed: "Callable[[], Image]") -> Side:
    """The file of a picture itself if every browser shows it, otherwise a PNG."""
    from ginr.pictures import ReadRules, probe_picture

    content = path.read_bytes()
    kind = next((kind for mark, kind in _MARKS.items() if content.startswith(mark)), None)
    if kind is None:
        return side_of_part(path.name, displayed())
    header = probe_picture(path, ReadRules(allow_large=True))
    return Side(path.name, (header.height, header.width), kind, content)


def side_of_part(name: str, image: "Image") -> Side:
    """A picture as a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return Side(name, (image.height, image.width), "image/png", buffer.getvalue())


def write_page(path: Path, before: Side, after: Side, *, overwrite: bool) -> None:
    """Write the page for two pictures. Raises PictureError if it cannot be written."""
    from ginr.pictures.formats import check_place
    from ginr.pictures.writer import whole_file

    check_place(path, overwrite)
    with whole_file(path, overwrite) as file:
        for piece in _pieces(before, after):
            file.write(piece)


def _pieces(before: Side, after: Side) -> Iterator[bytes]:
    import base64
    import html

    facts = {"height": str(after.size[0]).encode(), "width": str(after.size[1]).encode()}
    for key, side in {"before": before, "after": after}.items():
        facts[key] = html.escape(visible(side.name)).encode()
        facts[f"{key}_size"] = f"{side.size[1]}x{side.size[0]}".encode()
    template = Path(__file__).with_name("page.html").read_text("utf-8")
    for number, piece in enumerate(re.split(r"@(\w+)@", template)):
        if number % 2 == 0:
            yield piece.encode()
        elif piece.endswith("_data"):
            side = before if piece == "before_data" else after
            yield f"data:{side.kind};base64,".encode()
            yield base64.b64encode(side.content)
        else:
            yield facts[piece]
