"""The server of `ginr view`: the page and its requests. Errors are JSON: {"error": one line}."""

import asyncio
import ctypes
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ginr.errors import visible
from ginr.geometry.size import Scale
from ginr_cli.console import UsageError
from ginr_cli.view.entry import Entry, Look, Settings
from ginr_cli.view.guard import Guard
from ginr_cli.view.lane import Lane, Urgency
from ginr_cli.view.requests import body, numbers, receive, unless_gone, whole
from ginr_cli.view.saving import FORMATS, Order
from ginr_cli.view.sessions import MAX_ENTRIES, Saving, Session

T = TypeVar("T")
Answer = Callable[[Request], Awaitable[Response]]
MAX_UPLOAD = 1 << 30
"""Bytes of a file: a JPEG of a gigapixel, the largest picture that is read."""
MAX_PART = 1 << 22
"""Pixels of one answer: a screen of 4K in four."""
MAX_SCALE = 240.0
MAX_SESSIONS = 4
"""Pages at once: each takes one of the six connections that browsers allow."""
GRACE_S = 5.0
"""Time for a page to resume its stream before its memory is freed."""
PULSE_S = 15.0


class Viewer:
    """What the pages share. One heavy job runs at a time, and renders run next to it."""

    def __init__(self, settings: Settings, given: list[Path], folder: Path) -> None:
        """`given` are the files of the command line, `folder` is for uploads and results."""
        self.settings, self.given, self.folder = settings, given, folder
        self.heavy, self.light = Lane("heavy"), Lane("light")
        self.sessions = dict[str, Session]()

    def app(self, host: str | None = None, token: str | None = None) -> Starlette:
        """The ASGI application; `host` and `token` are those of `Guard`."""
        read = (self._events, self._part, self._lps, self._result)
        changed = (self._open, self._remove, self._ahead, self._size, self._save, self._drop)
        routes = [
            Route(f"/{answer.__name__[1:]}", self._in_words(answer), methods=[method])
            for method, answers in {"GET": read, "POST": changed}.items()
            for answer in answers
        ]
        page = StaticFiles(directory=Path(__file__).parent / "page", html=True)
        return Starlette(
            routes=[*routes, Mount("/", page)],
            middleware=[Middleware(Guard, host=host, token=token)],
            exception_handlers={HTTPException: _refused},
        )

    async def _events(self, request: Request) -> Response:
        """The stream of a page's events; the page stays open as long as its stream."""
        key = request.query_params.get("session", "")
        if not 16 <= len(key) <= 64:
            raise HTTPException(400, "session: give 16 to 64 characters of your own")
        session, is_new = self.sessions.get(key), False
        if session is None:
            if len(self.sessions) >= MAX_SESSIONS:
                raise HTTPException(503, f"{MAX_SESSIONS} pages are open: close one first")
            session, is_new = Session(self.settings, self.heavy, self.light, self.folder), True
            self.sessions[key] = session
        return StreamingResponse(self._stream(key, session, is_new), media_type="text/event-stream")

    async def _stream(self, key: str, session: Session, is_new: bool) -> AsyncIterator[str]:
        session.n_stream += 1
        try:
            yield _event("hello", is_new=is_new, **self._facts())
            if is_new:
                await self._open_given(session)
            while True:
                try:
                    event, values = await asyncio.wait_for(session.events.get(), PULSE_S)
                except TimeoutError:
                    yield ": still here\n\n"
                else:
                    yield _event(event, **values)
        finally:
            session.n_stream -= 1
            asyncio.get_running_loop().call_later(GRACE_S, self._close_unused, key)

    def _facts(self) -> dict[str, Any]:
        try:
            Look(restore=0.5).choice(self.settings)
            restores = True
        except UsageError:
            restores = False
        return {"restores": restores, "max_upload": MAX_UPLOAD, "max_scale": MAX_SCALE,
                "formats": FORMATS}  # fmt: skip

    async def _open_given(self, session: Session) -> None:
        for path in self.given:
            try:
                await session.open(visible(path.name), path)
            except Exception as problem:
                session.emit("problem", text=session.words(problem))

    def _close_unused(self, key: str) -> None:
        session = self.sessions.get(key)
        if session is not None and session.n_stream == 0:
            del self.sessions[key]
            session.close()
            if not self.sessions:
                self.settings.loaded.clear()
            self.heavy.submit(Urgency.AHEAD, _trim)  # after what it is doing

    async def _open(self, request: Request) -> Response:
        """Take an uploaded file, whose name is only shown."""
        session = self._session(request)
        if len(session.entries) >= MAX_ENTRIES:
            raise HTTPException(400, f"{MAX_ENTRIES} pictures are open: remove some first")
        name = visible(request.query_params.get("name", ""))[:255] or "picture"
        suffix = ".safetensors" if name.lower().endswith(".safetensors") else ""
        path = session.new_path(suffix)
        try:
            await receive(request, path, name, MAX_UPLOAD)
            entry = await session.open(name, path)
        except Exception as problem:
            path.unlink(missing_ok=True)
            if isinstance(problem, HTTPException):
                raise
            raise HTTPException(400, session.words(problem, path, name)) from None
        return JSONResponse({"id": entry.number})

    async def _remove(self, request: Request) -> Response:
        session, entry = self._entry(request)
        session.remove(entry)
        return JSONResponse({})

    async def _part(self, request: Request) -> Response:
        """A box of a picture at a scale, by its field or by bicubic interpolation: RGBA, row by row."""
        session, entry = self._entry(request)
        values = request.query_params
        scale = numbers(values.get("scale"), 1)[0]
        if not 0 < scale <= MAX_SCALE:
            raise HTTPException(400, f"scale {scale:g}: give more than 0, up to {MAX_SCALE:g}")
        out = Scale(scale, scale).whole(*entry.size)
        left, top, width, height = (int(n) for n in numbers(values.get("box"), 4))
        box = top, left, top + height, left + width
        if not (0 <= top < box[2] <= out[0] and 0 <= left < box[3] <= out[1]):
            raise HTTPException(
                400, f"box {left},{top},{width},{height} is not inside {out[1]}x{out[0]} pixels"
            )
        if width * height > MAX_PART:
            raise HTTPException(400, f"box of {width}x{height} pixels: ask for {MAX_PART} at most")
        if values.get("kind") == "ginr" and scale > 1:
            work = session.rendered(entry, Look.parse(values), out, box)
        else:
            work = session.interpolated(entry, out, box)
        pixels = await unless_gone(request, work)
        return Response(pixels, media_type="application/octet-stream")

    async def _ahead(self, request: Request) -> Response:
        """Begin to encode a picture before somebody zooms in."""
        session, entry = self._entry(request)
        await unless_gone(request, session.field(entry, Look.parse(request.query_params)))
        return JSONResponse({})

    async def _lps(self, request: Request) -> Response:
        """The LPs of the token at a pixel."""
        session, entry = self._entry(request)
        x, y = (int(n) for n in numbers(request.query_params.get("at"), 2))
        if not (0 <= x < entry.size[1] and 0 <= y < entry.size[0]):
            raise HTTPException(400, f"{x},{y} is outside the picture")
        work = session.lps(entry, Look.parse(request.query_params), (y, x))
        return JSONResponse(await unless_gone(request, work))

    async def _size(self, request: Request) -> Response:
        """The sizes of the pictures that would be saved."""
        order, entries = await _order(request, self._session(request))
        sizes = [order.view(entry).size for entry in entries]
        return JSONResponse({"sizes": [[width, height] for height, width in sizes]})

    async def _save(self, request: Request) -> Response:
        """Queue pictures up to be saved: all of them, or none if one has no such size."""
        session = self._session(request)
        order, entries = await _order(request, session)
        for entry in entries:
            order.view(entry)  # raises before any is in the queue
        return JSONResponse({"ids": [session.enqueue(entry, order).number for entry in entries]})

    async def _result(self, request: Request) -> Response:
        """A saved picture."""
        _, saving = self._saving(request)
        if not saving.is_done:
            raise HTTPException(404, f"{saving.file_name} is not done yet")
        return FileResponse(saving.output, filename=saving.file_name)

    async def _drop(self, request: Request) -> Response:
        session, saving = self._saving(request)
        session.drop(saving)
        return JSONResponse({})

    def _session(self, request: Request) -> Session:
        session = self.sessions.get(request.query_params.get("session", ""))
        if session is None:
            raise HTTPException(404, "this page is no longer known: reload it")
        return session

    def _entry(self, request: Request) -> tuple[Session, Entry]:
        session = self._session(request)
        return session, _found(
            session.entries, request, "picture is no longer open", "open it again"
        )

    def _saving(self, request: Request) -> tuple[Session, Saving]:
        session = self._session(request)
        return session, _found(
            session.savings, request, "is no longer in the queue", "save it again"
        )

    def _in_words(self, answer: Answer) -> Answer:
        """Turns errors into one line, with the user's names of files."""

        async def answered(request: Request) -> Response:
            try:
                return await answer(request)
            except HTTPException:
                raise
            except Exception as problem:
                raise HTTPException(400, self._session(request).words(problem)) from None

        return answered


def _found(known: Mapping[int, T], request: Request, fault: str, advice: str) -> T:
    found = known.get(whole(request.query_params.get("id")))
    if found is None:
        raise HTTPException(404, f"this {fault}: {advice}")
    return found


async def _order(request: Request, session: Session) -> tuple[Order, list[Entry]]:
    text = await body(request)
    try:
        values = json.loads(text)
        return Order.parse(values), [session.entries[number] for number in values["entries"]]
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise HTTPException(400, f"invalid request: {problem!r}") from None


def _trim() -> None:
    """Give freed memory back to the system: of glibc's, three quarters would stay."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _event(event: str, **values: Any) -> str:
    return f"event: {event}\ndata: {json.dumps(values)}\n\n"


async def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return JSONResponse({"error": problem.detail}, problem.status_code)
