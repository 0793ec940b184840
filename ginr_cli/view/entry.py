"""A picture or saved field on a page: read and encoded when it is viewed.

Sizes are (H, W), boxes (top, left, bottom, right). Long work runs in the heavy lane.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ginr.errors import PictureError
from ginr.geometry.size import Box
from ginr_cli.load_network import LoadedNetwork, NetworkChoice, load_network, load_upscaler
from ginr_cli.restoring import Networks, choose, parse_detail, parse_restore

if TYPE_CHECKING:
    from PIL.Image import Image

    from ginr.checkpoints.checkpoint import Blend
    from ginr.checkpoints.tensors_file import Header
    from ginr.pictures import Picture, ReadRules
    from ginr.rendering.live_field import LiveField

Size = tuple[int, int]
Tell = Callable[[str, str], None]
"""Called with a kind of message and its text: `file` about what was read, `look` about what was restored,
`status` about what is being done."""
N_LOOK = 2
"""Looks whose fields are kept, to go back and forth between."""
SHARE = 4
"""A field may keep this fraction of the free memory, 1/4."""


@dataclass(frozen=True)
class Settings:
    """The command line's settings for all pictures."""

    rules: "ReadRules"
    checkpoint: str | None = None
    device: str = "auto"
    loaded: "dict[tuple[str, Blend | None], LoadedNetwork]" = field(
        default_factory=dict, repr=False
    )
    """Networks by their checkpoints, shared by all pictures."""

    def load(self, choice: NetworkChoice, say: Callable[[str], None]) -> LoadedNetwork:
        """`load_upscaler`, once."""
        key = choice.checkpoint, choice.blend
        if key not in self.loaded:
            self.loaded[key] = load_upscaler(choice, say)
        return self.loaded[key]


@dataclass(frozen=True)
class Look:
    """How the sliders are set: each setting has a field of its own."""

    restore: float | None = None
    """The strength of restoration from 0 to 1, None for as much as the picture needs."""

    detail: float | None = None
    """How much detail to invent, from 0 to 1; None for up to 0.6, depending on the damage."""

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> "Look":
        """Raises `UsageError` for values that are not numbers."""
        return cls(
            parse_restore(values.get("restore", "auto"), None),
            parse_detail(values.get("detail", "auto")),
        )

    def choice(self, settings: Settings) -> NetworkChoice:
        """The networks for this look. Raises `UsageError` for a checkpoint that cannot restore."""
        plain, restorer = choose(settings.checkpoint, self.restore, None, self.detail)
        return NetworkChoice(
            plain, settings.device, restorer=restorer, restore=self.restore, detail=self.detail
        )


class Entry:
    """A picture or a saved field, by the name that the user knows it by."""

    def __init__(self, number: int, name: str, path: Path, settings: Settings) -> None:
        """Reads the header. Raises GinrError."""
        from ginr.pictures import probe_picture
        from ginr.rendering.field_file import is_field, peek_field

        self.number, self.name, self.path, self.settings = number, name, path, settings
        self.is_field = is_field(path)
        self.middle = 0.5, 0.5
        """The place that was viewed last, as shares of height and width."""
        self._picture: Picture | None = None
        self._shown: Image | None = None
        self._icc: bytes | None = None
        self._fields = OrderedDict[Look, tuple["LiveField", str]]()
        """The fields of the looks asked for last, each with what was restored."""
        if self.is_field:
            self.size: Size = peek_field(path).size
        else:
            header = probe_picture(path, settings.rules)
            self.size = header.height, header.width

    @property
    def is_loaded(self) -> bool:
        """Whether its pixels are in memory."""
        return self._picture is not None

    def load(self, tell: Tell) -> None:
        """Read the pixels, unless that has been done. Raises GinrError."""
        from ginr.pictures import read_picture
        from ginr.pictures.display import displayed
        from ginr.rendering.live_field import LiveSavedField

        if self.is_loaded:
            return
        if self.is_field:
            from ginr.rendering.field_file import load_field

            choice = NetworkChoice(str(self.maker.path), self.settings.device)
            network = load_network(choice, partial(tell, "status"))
            field = load_field(self.path)
            self._check_size(field.size)
            height, width = self.size
            picture = field.render(network.model, height=height, width=width)
            self._fields[Look()] = LiveSavedField(field, network.model), ""
        else:
            picture = read_picture(self.path, self.settings.rules)
            self._check_size((picture.height, picture.width))
            for note in picture.notes:
                tell("file", note)
        self._shown, self._icc = displayed(picture), picture.icc
        self._picture = picture

    def _check_size(self, size: Size) -> None:
        """Raises PictureError for a file that is another one than was opened."""
        if size != self.size:
            raise PictureError(
                f"{self.path} has another size than when it was opened: open it again"
            )

    @property
    def maker(self) -> "Header":
        """The checkpoint that made a saved field. Raises CheckpointError."""
        from ginr.rendering.field_file import checkpoint_of, peek_field

        return checkpoint_of(peek_field(self.path), self.settings.checkpoint)

    def forget(self) -> None:
        """Free the memory; the pixels are read again when they are needed."""
        self._picture = self._shown = None
        self._fields.clear()

    def field(self, look: Look, tell: Tell) -> "tuple[LiveField, bool]":
        """The field for a look, and whether it is new. Raises GinrError."""
        import psutil

        from ginr.rendering.live_field import LivePicture

        picture = self.picture(tell)
        look = Look() if self.is_field else look
        is_new = look not in self._fields
        if is_new:
            choice = look.choice(self.settings)
            networks = Networks(choice, partial(tell, "status"), self.settings.load)
            network, restoration = networks.suited(picture)
            live = LivePicture(
                picture,
                network.model,
                most_bytes=psutil.virtual_memory().available // SHARE,
                precision=network.precision,
            )
            self._fields[look] = live, "" if restoration is None else str(restoration)
        if is_new or next(reversed(self._fields)) != look:
            tell("look", self._fields[look][1])
        self._fields.move_to_end(look)
        while len(self._fields) > N_LOOK:
            self._fields.popitem(last=False)
        return self._fields[look][0], is_new

    def picture(self, tell: Tell) -> "Picture":
        """The picture itself; for a saved field, its render at the original size."""
        self.load(tell)
        assert self._picture is not None
        return self._picture

    def current(self, look: Look) -> "LiveField | None":
        """The field of a look, if that is the one asked for last."""
        for last, (live, _) in reversed(self._fields.items()):
            return live if last == (Look() if self.is_field else look) else None
        return None

    def render(self, field: "LiveField", out: Size, box: Box) -> bytes:
        """A box of the picture at size `out` by the field, for the screen: RGBA, row by row."""
        from ginr.pictures import Picture
        from ginr.pictures.display import displayed

        return _rgba(displayed(Picture(field.render(out, box), icc=self._icc)))

    def lps(self, field: "LiveField", place: tuple[int, int]) -> dict[str, object]:
        """The LPs of the token at a pixel (y, x), for JSON."""
        from ginr.lps.spot import spot

        found = spot(*field.around(place), field.config, place)
        return {
            "places": found.places.tolist(),
            "alike": found.alike.round(3).tolist(),
            "changes": found.changes.round(2).tolist(),
            "box": found.box,
        }

    def interpolate(self, out: Size, box: Box) -> bytes | None:
        """The same by bicubic interpolation, averaged where it shrinks; None if it is not loaded."""
        from PIL import Image

        if (shown := self._shown) is None:
            return None
        top, left, bottom, right = box
        y, x = self.size[0] / out[0], self.size[1] / out[1]
        part = left * x, top * y, min(right * x, self.size[1]), min(bottom * y, self.size[0])
        size, kind = (right - left, bottom - top), Image.Resampling.BICUBIC
        return _rgba(shown.resize(size, kind, part))


def _rgba(image: "Image") -> bytes:
    return image.convert("RGBA").tobytes()
