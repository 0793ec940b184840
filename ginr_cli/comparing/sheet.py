"""A sheet with the parts where two pictures differ most, enlarged side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ginr.errors import visible

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

N_DETAIL = 4
_CELL = 320
"""Pixels of an enlarged part, about."""
_GAP, _LINE = 12, 26
_INK, _PAPER, _MARK = (230, 230, 230), (34, 34, 34), (255, 200, 0)

Box = tuple[int, int, int, int]
"""left, top, right, bottom, as in Pillow."""


def details(before: "Image", after: "Image") -> list[Box]:
    """Up to four square parts of two pictures of one size where they differ most, apart, in order."""
    import numpy as np

    apart = np.zeros((after.height, after.width), np.float32)
    for one, other in zip(before.split(), after.split(), strict=True):  # colour counts, too
        apart += np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32))
    side = detail_side(after)
    step = max(1, side // 4)
    height, width = (n_px // step * step for n_px in apart.shape)
    apart = apart[:height, :width]
    blocks = apart.reshape(height // step, step, width // step, step).sum((1, 3))
    k = side // step
    sums = np.lib.stride_tricks.sliding_window_view(blocks, (k, k)).sum((2, 3))
    found: list[Box] = []
    while len(found) < N_DETAIL and sums.max() > 0:
        row, column = np.unravel_index(int(sums.argmax()), sums.shape)
        left, top = int(column) * step, int(row) * step
        found.append((left, top, left + side, top + side))
        # No other part within two sides, or all would show one edge.
        sums[max(0, row - 2 * k) : row + 2 * k, max(0, column - 2 * k) : column + 2 * k] = 0
    return found


def detail_side(after: "Image") -> int:
    """Side of an enlarged part: an eighth of the picture, 16 to 160 pixels where it has as many."""
    shorter = min(after.size)
    return min(shorter, max(16, min(160, shorter // 8)) // 4 * 4)


def sheet(before: "Image", after: "Image", names: tuple[str, str], boxes: Sequence[Box]) -> "Image":
    """The sheet for two pictures of one size: the second one whole, and pairs of parts below."""
    from PIL import Image as Images
    from PIL import ImageDraw

    cell = max(1, _CELL // detail_side(after)) * detail_side(after)
    width = 4 * cell + 5 * _GAP
    scale = min((width - 2 * _GAP) / after.width, 2 * cell / after.height)
    whole = after.resize([max(1, round(side * scale)) for side in after.size])
    n_row = -(-len(boxes) // 2)
    height = _GAP + _LINE + whole.height + _GAP + n_row * (_LINE + cell + _GAP)
    page = Images.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(page)
    _write(draw, (_GAP, _GAP), f"before: {names[0]}   after: {names[1]}", width - 2 * _GAP)
    left, top = (width - whole.width) // 2, _GAP + _LINE
    page.paste(whole, (left, top))
    for number, box in enumerate(boxes, 1):
        corners = [
            left + box[0] * scale,
            top + box[1] * scale,
            left + box[2] * scale,
            top + box[3] * scale,
        ]
        draw.rectangle(corners, outline=_MARK, width=2)
        _write(draw, (corners[0] + 4, corners[1] + 2), str(number), cell, fill=_MARK)
    for index, box in enumerate(boxes):
        x = _GAP + (index % 2) * 2 * (cell + _GAP)
        y = top + whole.height + _GAP + index // 2 * (_LINE + cell + _GAP)
        _write(draw, (x, y), f"{index + 1}  before, after: {box[0]},{box[1]}", 2 * cell)
        for k, image in enumerate((before, after)):
            part = image.crop(box).resize((cell, cell), Images.Resampling.NEAREST)
            page.paste(part, (x + k * (cell + _GAP), y + _LINE))
    return page


def _write(
    draw: "ImageDraw",
    at: tuple[float, float],
    text: str,
    room: int,
    fill: tuple[int, int, int] = _INK,
) -> None:
    """Write a line, shortened to the room that there is."""
    from PIL import ImageFont

    font, text = ImageFont.load_default(16), visible(text)
    text = text.encode("latin-1", "replace").decode("latin-1")  # what the font has
    while len(text) > 4 and draw.textlength(text, font=font) > room:
        text = f"{text[:-4]}..."
    draw.text(at, text, fill=fill, font=font)
