"""The contents of requests. Raises HTTPException for invalid ones."""

import asyncio
import shutil
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

from ginr_cli.parsing import parse_numbers

T = TypeVar("T")


def whole(text: str | None) -> int:
    """A whole number, -1 for anything else."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() else -1


def numbers(text: str | None, count: int) -> list[float]:
    """Finite numbers, separated by commas. Raises `UsageError`."""
    return parse_numbers("number", text or "", count, ",".join("1234"[:count]))


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of work, which is cancelled if the browser no longer waits for it."""
    task = asyncio.ensure_future(work)

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watch = asyncio.ensure_future(gone())
    await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
    watch.cancel()
    if not task.done():
        task.cancel()
        raise HTTPException(499, "given up")
    return task.result()


async def receive(request: Request, path: Path, name: str, most: int) -> None:
    """Write an upload into a file. Raises HTTPException for one that is too large."""
    n_bytes = max(0, whole(request.headers.get("content-length")))
    with path.open("wb") as file:
        free = shutil.disk_usage(path.parent).free
        async for chunk in request.stream():
            n_bytes = max(n_bytes, file.tell() + len(chunk))
            if n_bytes > most:
                raise HTTPException(
                    413, f"{name} is over {most >> 30} GiB: name it on the command line"
                )
            if n_bytes > free:
                raise HTTPException(413, f"{name} does not fit onto the disk: free some space")
            file.write(chunk)


async def body(request: Request) -> bytes:
    """The body of a small request."""
    whole = b""
    async for chunk in request.stream():
        whole += chunk
        if len(whole) > 1 << 16:
            raise HTTPException(413, "the request is too long")
    return whole
