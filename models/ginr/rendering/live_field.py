"""A field for interactive viewing: encoded core by core, in any order, cached, and rendered in boxes.

For each core its LP features are kept in float16, with as much around them as its renders read. The
codes and bases of the cores rendered last are kept, too: computing them takes longer than a render.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from ginr.architecture.config import GinrConfig
from ginr.architecture.contract import EncodedField, Encoder
from ginr.architecture.tokens import window_plan
from ginr.array_api import as_type
from ginr.device import Precision
from ginr.geometry.size import Box, output_box
from ginr.pictures import Picture
from ginr.pictures.samples import Samples
from ginr.rendering.tile_size import whole_windows
from ginr.rendering.upscale import Tiles, area_under, begin_samples, canvas, cut_box

if TYPE_CHECKING:
    from ginr.network.model import Ginr
    from ginr.rendering.picture_field import PictureField

SIDE = 192
"""Side of a core in LR pixels: a smaller one is encoded sooner, a larger one wastes less on its margin."""
REACH = 8
"""LR pixels around a core that its renders read: 2 by the base's taps, 5 by back-projection."""
NEAR = 6
"""LR pixels around a token that `LiveField.around` includes."""
READY = 7 << 18
"""LR pixels whose codes and bases are kept, 0.6 KB each with `small`: the cores under 1280x800 pixels at x1."""
WIDE = 1.6
"""Width of a window in its heights: cores in it come first."""
SCALES = (2, 3, 4)
"""Scales that have a base of their own, see `ginr.kernels.consistency`."""


class LiveField(ABC):
    """A picture's field, rendered box by box, of which nothing is missing. Threads may share it."""

    def __init__(
        self, config: GinrConfig, size: tuple[int, int], channels: int, depth: int, is_opaque: bool
    ) -> None:
        self.config, self.size, self._kind = config, size, (channels, depth, is_opaque)
        self.side = whole_windows(SIDE, config.window)
        self._ready, self._making_ready = OrderedDict[Box, EncodedField](), Lock()
        self._prepared, self._most_ready = set[Box](), max(4, READY // self.side**2)

    @property
    def cores(self) -> list[Box]:
        """All cores, row by row."""
        return list(cut_box((0, 0, *self.size), self.side))

    @abstractmethod
    def _part(self, core: Box) -> EncodedField:
        """The field of a core; its codes need not be computed."""

    def missing(self, out: tuple[int, int], box: Box) -> list[Box]:
        """The cores that a box of a render of size `out` needs and that are not encoded, middle first."""
        return []

    def next_missing(self, middle: tuple[float, float]) -> Box | None:
        """The core to encode next, the nearest to a place in shares of height and width.

        None if there is none, or no room for it.
        """
        return None

    @property
    def n_encoded(self) -> int:
        """Cores that are encoded."""
        return len(self.cores)

    def encode(self, core: Box) -> None:  # noqa: B027
        """Encode a core, unless that has been done."""

    def render(self, out: tuple[int, int], box: Box) -> Samples:
        """A box (top, left, bottom, right) of the picture at size `out`, with its own depth.

        The pixels are those of `upscale`, but for float16. Cores that are missing are encoded.
        """
        samples = canvas((box[2] - box[0], box[3] - box[1], self._kind[0]), f"uint{self._kind[1]}")
        for core in self.under(out, box):
            part = output_box(core, self.size, out)
            top, left = max(part[0], box[0]), max(part[1], box[1])
            bottom, right = min(part[2], box[2]), min(part[3], box[3])
            if top < bottom and left < right:
                place = samples[top - box[0] : bottom - box[0], left - box[1] : right - box[1]]
                seen = top, left, bottom, right
                place[:] = begin_samples(self.part(core), out, seen, *self._kind)()
        return samples

    def under(self, out: tuple[int, int], box: Box) -> Iterator[Box]:
        """The cores in which pixels of a box of a render of size `out` have their centres."""
        return cut_box(area_under(box, out, self.size, self.side), self.side)

    def part(self, core: Box) -> EncodedField:
        """The field of a core, with its codes computed."""
        with self._making_ready:
            if core not in self._ready:
                field = self._part(core)
                _ = field.codes
                self._ready[core] = field
            self._ready.move_to_end(core)
            while len(self._ready) > self._most_ready:
                self._ready.popitem(last=False)
            return self._ready[core]

    def prepare(self, core: Box) -> None:
        """Compute what renders of a core need at any scale, unless that has been done."""
        if core in self._prepared and core in self._ready:
            return
        field, (y, x) = self.part(core), core[:2]
        for n in SCALES:
            out = n * self.size[0], n * self.size[1]
            field.begin_render(out, (n * y, n * x, n * y + 1, n * x + 1))()
        self._prepared.add(core)

    def advance(self, middle: tuple[float, float]) -> bool:
        """Encode the core nearest to a place, in shares of height and width, and prepare it.

        Returns whether there was one to encode, and room for it.
        """
        core = self.next_missing(middle)
        if core is None:
            return False
        self.encode(core)
        if len(self._ready) < self._most_ready:
            self.prepare(core)
        return True

    def around(self, place: tuple[int, int]) -> tuple[EncodedField, Box]:
        """The field of a few pixels around a pixel (y, x), of a lattice decoder, and their box."""
        core = next(self.under(self.size, (*place, place[0] + 1, place[1] + 1)))
        field: Any = self.part(core)
        config, n = self.config, window_plan(self.config).decoded_side or 1
        unit = max(config.patch, config.window // n)
        starts = [at // unit * unit for at in place]
        box = (
            *(max(field.origin[k], starts[k] - NEAR) for k in (0, 1)),
            *(min(self.size[k], core[k + 2] + REACH, starts[k] + unit + NEAR) for k in (0, 1)),
        )
        rows = [count * config.window // n for count in field.features.shape[1:3]]
        read = (*field.origin, *(field.origin[k] + rows[k] for k in (0, 1)))
        return _cropped(field, box, read, config), box


class LivePicture(LiveField):
    """The field of a picture that is encoded as it is needed. At most `most_bytes` of features are kept."""

    def __init__(
        self,
        picture: Picture,
        model: Encoder[Any],
        *,
        most_bytes: int,
        precision: Precision = "auto",
    ) -> None:
        size = picture.height, picture.width
        super().__init__(model.config, size, picture.channels, picture.depth, picture.is_opaque)
        self._tiles, self._most = Tiles[Any](picture, model, precision), most_bytes
        self._kept, self._lock = OrderedDict[Box, Any](), Lock()
        self._n_bytes = 0

    def missing(self, out: tuple[int, int], box: Box) -> list[Box]:
        middle = (box[0] + box[2]) / (2 * out[0]), (box[1] + box[3]) / (2 * out[1])
        absent = [core for core in self.under(out, box) if core not in self._kept]
        return sorted(absent, key=lambda core: self._distance(core, middle))

    def next_missing(self, middle: tuple[float, float]) -> Box | None:
        if self._n_bytes * (len(self._kept) + 1) > self._most * max(1, len(self._kept)):
            return None
        absent = (core for core in self.cores if core not in self._kept)
        return min(absent, key=lambda core: self._distance(core, middle), default=None)

    @property
    def n_encoded(self) -> int:
        return len(self._kept)

    def _distance(self, core: Box, place: tuple[float, float]) -> float:
        y, x = (abs((core[k] + core[k + 2]) / 2 - place[k] * self.size[k]) for k in (0, 1))
        return max(WIDE * y, x)

    def encode(self, core: Box) -> None:
        with self._lock:
            if core in self._kept:
                return
            tiles = self._tiles
            field = _cropped(tiles.encode(core), core, tiles.read_box(core), tiles.model.config)
            self._kept[core] = field = replace(field, features=as_type(field.features, "float16"))
            self._n_bytes += field.features.nbytes
            while self._n_bytes > self._most and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._n_bytes -= oldest.features.nbytes

    def _part(self, core: Box) -> EncodedField:
        while (field := self._kept.get(core)) is None:
            self.encode(core)
        self._kept.move_to_end(core)
        whole: EncodedField = replace(field, features=as_type(field.features, "float32"))
        return whole


class LiveSavedField(LiveField):
    """A saved field."""

    def __init__(self, field: "PictureField", model: "Ginr") -> None:
        is_opaque = len(field.features) == 1
        super().__init__(model.config, field.size, field.channels, field.depth, is_opaque)
        self._field, self._model = field, model

    def _part(self, core: Box) -> EncodedField:
        return self._field.part(core, self._model)


def _cropped(field: Any, core: Box, read: Box, config: GinrConfig) -> Any:
    """The field of a tile (of the box `read`) with no more around its core than renders read."""
    n = window_plan(config).decoded_side
    if config.decoder != "lattice" or n is None:
        return field
    reach = REACH if REACH * n % config.window == 0 else config.window
    pixels, rows = [], []
    for k in (0, 1):
        first, end = max(read[k], core[k] - reach), min(read[k + 2], core[k + 2] + reach)
        pixels.append(slice(first - read[k], end - read[k]))
        rows.append(slice(*(-(-(at - read[k]) * n // config.window) for at in (first, end))))
    return replace(
        field,
        features=field.features[:, rows[0], rows[1]],
        base=None if field.base is None else copy(field.base[:, :, pixels[0], pixels[1]]),
        origin=(read[0] + pixels[0].start, read[1] + pixels[1].start),
    )
