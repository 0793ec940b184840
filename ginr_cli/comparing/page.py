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
_MARKS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
}
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


def write_page(path: Path, before: Side, after: Side, *, overwrite: bool = False) -> None:
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
    for number, piece in enumerate(re.split(r"@(\w+)@", _TEMPLATE)):
        if number % 2 == 0:
            yield piece.encode()
        elif piece.endswith("_data"):
            side = before if piece == "before_data" else after
            yield f"data:{side.kind};base64,".encode()
            yield base64.b64encode(side.content)
        else:
            yield facts[piece]


_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>@before@ and @after@</title>
<style>
:root { color-scheme: light dark; }
body { margin: 0; height: 100vh; height: 100dvh; display: flex; flex-direction: column;
 font: 15px system-ui, sans-serif; color: #eee; background: #222;
 color: light-dark(#222, #eee); background: light-dark(#eee, #222); }
header { display: grid; grid-template-columns: 1fr auto; gap: 6px 12px; padding: 8px 12px; }
header span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
header span + span { text-align: right; }
#slider { grid-column: 1 / 3; width: 100%; margin: 0; }
nav { grid-column: 1 / 3; display: flex; flex-wrap: wrap; gap: 6px; }
button { font: inherit; }
main { flex: 1; min-height: 0; overflow: auto; }
#frame { position: relative; margin: 0 auto; --cut: 50%; }
#frame img { display: block; width: 100%; height: 100%; user-select: none; }
#before { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--cut)) 0 0); }
#line { position: absolute; top: 0; bottom: 0; left: var(--cut); width: 2px; margin-left: -1px;
 background: #fff; box-shadow: 0 0 3px #000; pointer-events: none; }
.pixels img { image-rendering: pixelated; }
</style>
</head>
<body>
<header>
<span title="@before@">@before@ (@before_size@)</span><span title="@after@">@after@
 (@after_size@)</span>
<input id="slider" type="range" min="0" max="100" step="0.5" value="50"
 aria-label="share of the picture before">
<nav><button id="fit">fit (f)</button><button id="whole">1:1 (1)</button><button id="in">larger
 (+)</button><button id="out">smaller (-)</button><button id="pixels">pixels (p)</button></nav>
</header>
<main id="room"><div id="frame"><img id="after" alt="@after@" src="@after_data@"><img id="before"
 alt="@before@" src="@before_data@"><div id="line"></div></div></main>
<script>
"use strict";
const at = id => document.getElementById(id), frame = at("frame"), slider = at("slider");
const room = at("room"), width = @width@, height = @height@;
let zoom = 1, fits = true;
const middle = (start, room, size) => size > room ? (start + room / 2) / size : 0.5;
const show = next => {
  const x = middle(room.scrollLeft, room.clientWidth, width * zoom);
  const y = middle(room.scrollTop, room.clientHeight, height * zoom);
  zoom = Math.min(16, Math.max(0.02, next));
  fits = false;
  frame.style.width = width * zoom + "px";
  frame.style.height = height * zoom + "px";
  frame.style.touchAction = width * zoom > room.clientWidth ? "auto" : "pan-y pinch-zoom";
  room.scrollTo(x * width * zoom - room.clientWidth / 2, y * height * zoom - room.clientHeight / 2);
};
const fit = () => {
  show(Math.min(room.offsetWidth / width, room.offsetHeight / height));
  fits = true;
};
const cut = share => { slider.value = share; frame.style.setProperty("--cut", slider.value + "%"); };
const follow = event => cut(100 * (event.clientX - frame.getBoundingClientRect().left)
  / frame.offsetWidth);
const acts = { f: fit, 1: () => show(1 / devicePixelRatio), "+": () => show(zoom * 1.25),
  "=": () => show(zoom * 1.25), "-": () => show(zoom / 1.25),
  p: () => frame.classList.toggle("pixels"),
  ArrowLeft: () => cut(+slider.value - 1), ArrowRight: () => cut(+slider.value + 1) };
slider.addEventListener("input", () => cut(slider.value));
frame.addEventListener("pointerdown", event => {
  follow(event);
  if (event.pointerType === "mouse") event.preventDefault();
});
frame.addEventListener("pointermove", event => { if (event.buttons) follow(event); });
for (const [id, key] of [["fit", "f"], ["whole", "1"], ["in", "+"], ["out", "-"], ["pixels", "p"]])
  at(id).addEventListener("click", acts[key]);
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === slider && event.key.startsWith("Arrow")) return;
  if (event.key in acts) { acts[event.key](); event.preventDefault(); }
});
addEventListener("resize", () => { if (fits) fit(); });
slider.focus();
fit();
</script>
</body>
</html>
"""
