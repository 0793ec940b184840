"""The pages that are open: each with its pictures, its queue, and the events that it is sent.

Everything here runs in the server's thread, but for what is given to a lane.
"""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ginr_cli.console import describe
from ginr_cli.view.entry import Entry, Look, Settings, Tell
from ginr_cli.view.lane import Lane, Urgency
from ginr_cli.view.saving import Order, save

if TYPE_CHECKING:
    from ginr.geometry.size import Box
    from ginr.rendering.live_field import LiveField

T = TypeVar("T")
MAX_LOADED = 2
"""Pictures of a page whose pixels and fields are in memory: those looked at last."""
MAX_ENTRIES = 500
"""Pictures on a page."""


class StoppedError(Exception):
    """Nobody waits for the result any longer."""


@dataclass
class Saving:
    """A picture in the queue."""

    number: int
    entry: Entry
    order: Order
    output: Path
    file_name: str
    """The name of the download."""
    future: "Future[Any] | None" = None
    is_stopped: bool = False
    notes: list[str] = field(default_factory=list)
    is_done: bool = False


class Session:
    """An open page. `emit` may be called by any thread."""

    def __init__(self, settings: Settings, heavy: Lane, light: Lane, folder: Path) -> None:
        self._settings, self._heavy, self._light = settings, heavy, light
        self._loop = asyncio.get_running_loop()
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.entries, self.savings = dict[int, Entry](), dict[int, Saving]()
        self.events: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self.is_open, self.n_stream = True, 0
        self._numbers, self._loaded = itertools.count(1), list[Entry]()

    def emit(self, event: str, **values: Any) -> None:
        """Send an event to the page."""
        with suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(self.events.put_nowait, (event, values))

    def close(self) -> None:
        """Free all that the page holds."""
        self.is_open = False
        for saving in self.savings.values():
            self._stop(saving)
        for entry in self.entries.values():
            entry.forget()
        self.entries.clear()
        self.savings.clear()
        self._loaded.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_path(self, suffix: str) -> Path:
        """A path of our own making in the session's folder."""
        return self.folder / f"{next(self._numbers)}{suffix}"

    async def open(self, name: str, path: Path) -> Entry:
        """Add a picture. Raises GinrError."""
        number = next(self._numbers)
        entry: Entry = await self.run(
            self._light, Urgency.VIEW, Entry, number, name, path, self._settings
        )
        self.entries[number] = entry
        self.emit_entry(entry)
        return entry

    def remove(self, entry: Entry) -> None:
        """Take a picture off the page; what is saved of it goes on."""
        del self.entries[entry.number]
        entry.forget()
        if entry in self._loaded:
            self._loaded.remove(entry)
        if not any(saving.entry is entry for saving in self.savings.values()):
            self._discard(entry.path)

    def emit_entry(self, entry: Entry) -> None:
        """Send what the list shows of a picture."""
        height, width = entry.size
        self.emit(
            "entry", id=entry.number, name=entry.name, width=width, height=height,
            is_field=entry.is_field,
        )  # fmt: skip

    async def run(self, lane: Lane, urgency: Urgency, work: Callable[..., T], *values: object) -> T:
        """The result of work in a lane; if its request is given up, it is not begun."""
        result: T = await asyncio.wrap_future(lane.submit(urgency, work, *values))
        return result

    async def rendered(self, entry: Entry, look: Look, out: tuple[int, int], box: "Box") -> bytes:
        """A box of a picture at size `out` by its field, as RGBA. The cores it needs go first."""
        live = await self.field(entry, look)
        entry.middle = (box[0] + box[2]) / (2 * out[0]), (box[1] + box[3]) / (2 * out[1])
        for core in live.missing(out, box):
            await self.run(self._heavy, Urgency.VIEW, live.encode, core)
            self._emit_progress(entry, live)
        pixels = await self.run(self._light, Urgency.VIEW, entry.render, live, out, box)
        for core in live.under(out, box):
            self._heavy.submit(Urgency.AHEAD, live.prepare, core)
        return pixels

    async def interpolated(self, entry: Entry, out: tuple[int, int], box: "Box") -> bytes:
        """The same by bicubic interpolation."""
        while True:
            if not entry.is_loaded:
                await self.run(self._heavy, Urgency.VIEW, self._load, entry)
            pixels = await self.run(self._light, Urgency.VIEW, entry.interpolate, out, box)
            if pixels is not None:
                return pixels

    async def field(self, entry: Entry, look: Look) -> "LiveField":
        """The field of a picture; the rest of it is encoded when nothing else is to be done."""
        live = entry.current(look)  # if there is one, it need not wait for what is encoded ahead
        if live is None:
            live = await self.run(self._heavy, Urgency.VIEW, self._field, entry, look)
        return live

    async def lps(self, entry: Entry, look: Look, place: tuple[int, int]) -> dict[str, object]:
        """The LPs of the token at a pixel (y, x)."""
        live = await self.field(entry, look)
        for core in live.missing(entry.size, (*place, place[0] + 1, place[1] + 1)):
            await self.run(self._heavy, Urgency.VIEW, live.encode, core)
        return await self.run(self._light, Urgency.VIEW, entry.lps, live, place)

    def _load(self, entry: Entry) -> None:
        if not self.is_open:
            raise StoppedError
        entry.load(self._teller(entry))
        with suppress(ValueError):
            self._loaded.remove(entry)
        self._loaded.append(entry)
        for other in self._loaded[:-MAX_LOADED]:
            other.forget()
        del self._loaded[:-MAX_LOADED]

    def _field(self, entry: Entry, look: Look) -> "LiveField":
        self._load(entry)
        live, is_new = entry.field(look, self._teller(entry))
        if is_new:
            self._heavy.submit(Urgency.AHEAD, self._encode_ahead, entry, look, live)
        return live

    def _encode_ahead(self, entry: Entry, look: Look, live: "LiveField") -> None:
        """Encode the core nearest to what was looked at last, then queue up again."""
        if not self.is_open or entry.current(look) is not live:
            return
        self._emit_progress(entry, live)
        try:
            is_more = live.advance(entry.middle)
        except Exception as problem:
            self.emit("problem", text=self.words(problem))
            return
        if is_more:
            self._heavy.submit(Urgency.AHEAD, self._encode_ahead, entry, look, live)

    def _emit_progress(self, entry: Entry, live: "LiveField") -> None:
        self.emit("encoded", id=entry.number, done=live.n_encoded, all=len(live.cores))

    def _teller(self, entry: Entry) -> Tell:
        def tell(kind: str, text: str) -> None:
            self.emit("note", id=entry.number, kind=kind, text=self.named(text))

        return tell

    def enqueue(self, entry: Entry, order: Order) -> Saving:
        """Save a picture when it is its turn. Raises SizeError."""
        number, output = next(self._numbers), self.new_path(order.suffix)
        saving = Saving(number, entry, order, output, order.file_name(entry))
        self.savings[number] = saving
        self.emit_saving(saving, "waiting")
        saving.future = self._heavy.submit(Urgency.SAVE, self._save, saving)
        return saving

    def emit_saving(self, saving: Saving, state: str, **values: Any) -> None:
        """Send what the queue shows of a picture."""
        self.emit(
            "saving", id=saving.number, name=saving.file_name, entry=saving.entry.number,
            state=state, notes=saving.notes, **values,
        )  # fmt: skip

    def drop(self, saving: Saving) -> None:
        """Take a picture out of the queue, also while it is being made."""
        self._stop(saving)
        del self.savings[saving.number]
        self._discard(saving.output)
        self.emit_saving(saving, "gone")

    def _stop(self, saving: Saving) -> None:
        saving.is_stopped = True
        if saving.future is not None:
            saving.future.cancel()

    def _save(self, saving: Saving) -> None:
        def progress(done: int, total: int) -> None:
            if saving.is_stopped:
                raise StoppedError
            self.emit_saving(saving, "working", share=done / total)
            self._heavy.make_way()

        def note(text: str) -> None:
            saving.notes.append(self.named(text).removeprefix(f"{saving.entry.name}: "))

        try:
            progress(0, 1)
            save(saving.entry, saving.order, saving.output, note, progress)
            saving.is_done = True
            self.emit_saving(saving, "done")
        except StoppedError:
            self._discard(saving.output)
        except Exception as problem:
            self.emit_saving(saving, "failed", error=self.words(problem))

    def words(self, problem: BaseException, path: Path | None = None, name: str = "") -> str:
        """An error in one line, with the user's names of files in place of ours."""
        return self.named(describe(problem), path, name)

    def named(self, text: str, path: Path | None = None, name: str = "") -> str:
        """A text with the user's names of files in place of ours; `path` is not known yet."""
        names = {str(entry.path): entry.name for entry in self.entries.values()}
        names |= {str(saving.output): saving.file_name for saving in self.savings.values()}
        for own, shown in (names | {str(path): name}).items():
            text = text.replace(own, shown)
        return text

    def _discard(self, path: Path) -> None:
        """Delete a file, if it is ours."""
        if path.parent == self.folder:
            path.unlink(missing_ok=True)
