"""Read, write and list files by URL; failures that may pass are tried again."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import ENAMETOOLONG
from pathlib import Path
from shutil import copyfileobj
from typing import Any, NamedTuple, TypeVar

from ginr.errors import GinrError, PictureError, printable
from ginr.part_files import part_of
from ginr.stores.urls import name_of, shown

T = TypeVar("T")

PIECE = 1 << 20
"""Bytes copied at a time."""
TRIES = 5
_WAIT_S = 0.2
"""Before the second try; four times as long before each later one."""
_FINAL = (
    FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError,
    NotImplementedError, ImportError, ValueError, TypeError, AttributeError,
)  # fmt: skip


_FLAT = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss"}
"""Stores without folders, where a bucket would be made instead, for which few have the right."""


class Entry(NamedTuple):
    """A file in a store."""

    url: str
    n_bytes: int


def fetch(url: str, path: Path, *, n_bytes: int | None = None) -> None:
    """Copy a file, or its first bytes, to a path. Raises PictureError."""

    def copy() -> None:
        fs, place = _opened(url)
        with part_of(path) as part:
            with fs.open(place, "rb", block_size=_block(fs), cache_type="readahead") as file:
                if n_bytes is None:
                    copyfileobj(file, part.file, PIECE)
                else:
                    part.file.write(file.read(n_bytes))
            part.rename()

    _tried(copy, url, "read")


def put(path: Path, url: str) -> None:
    """Copy a file to a URL, which holds all of it or what it held before. Raises PictureError."""

    def copy() -> None:
        fs, place = _opened(url)
        if _FLAT.isdisjoint([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol):
            with suppress(NotImplementedError, FileExistsError):
                fs.makedirs(fs._parent(place), exist_ok=True)
        with path.open("rb") as file, fs.transaction, fs.open(place, "wb") as target:
            copyfileobj(file, target, PIECE)

    _tried(copy, url, "written")


def size_of(url: str) -> int | None:
    """Bytes of a file; None if there is none. Raises PictureError."""

    def ask() -> int | None:
        fs, place = _opened(url)
        fs.invalidate_cache(fs._parent(place))
        try:
            found = fs.info(place)
        except FileNotFoundError:
            return None
        return int(found.get("size") or 0) if found["type"] == "file" else None

    return _tried(ask, url, "looked up")


def is_folder(url: str) -> bool:
    """Whether there are files below a URL. Raises PictureError."""

    def ask() -> bool:
        fs, place = _opened(url)
        return bool(fs.isdir(place))

    return url.endswith("/") or _tried(ask, url, "looked up")


def files_below(folder: str) -> Iterator[Entry]:
    """The files in a folder and its subfolders, less hidden ones. Raises PictureError.

    S3 is read page by page, in the order of the keys. Of other stores one folder is read at a time,
    in the order of the names.
    """
    fs, place = _tried(lambda: _opened(folder), folder, "listed")
    place = place.rstrip("/")
    found = _pages(fs, place, folder) if hasattr(fs, "_iterdir") else _tree(fs, place, folder)
    start = folder if folder.endswith("://") else folder.rstrip("/") + "/"
    for info in found:
        inside = info["name"][len(place) :].removeprefix("/")  # S3 has names that start with one
        if inside and not any(part.startswith(".") for part in inside.split("/")):
            yield Entry(start + inside, int(info.get("size") or 0))


def _pages(fs: Any, place: str, folder: str) -> Iterator[dict[str, Any]]:
    """The objects below a prefix, as s3fs lists them: a page of a thousand in memory."""
    from fsspec.asyn import sync

    bucket, _, prefix = place.partition("/")
    found = fs._iterdir(bucket, delimiter="", prefix=prefix and f"{prefix}/")
    end = object()

    async def following() -> Any:
        return await anext(found, end)

    while True:  # s3fs tries each page again by itself
        info = _tried(lambda: sync(fs.loop, following), folder, "listed", tries=1)
        if info is end:
            return
        if info["type"] == "file" and not info["name"].endswith("/"):
            yield info


def _tree(fs: Any, place: str, folder: str) -> Iterator[dict[str, Any]]:
    """The files below a folder, one folder in memory at a time."""
    found = _tried(lambda: fs.ls(place, detail=True, refresh=True), folder, "listed")
    for info in sorted(found, key=lambda info: info["name"]):
        if info["type"] == "directory":
            if not name_of(info["name"]).startswith("."):
                yield from _tree(fs, info["name"].rstrip("/"), folder)
        elif info["type"] == "file":
            yield info


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    try:
        import fsspec
    except ImportError:
        raise GinrError(f'{shown(url)} needs fsspec: pip install "ginr[stores]"') from None
    if "::" in url:
        raise PictureError(f"{printable(shown(url))} is a chain of stores: name a plain URL")
    fs, place = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return fs, place


def _block(fs: Any) -> int:
    return int(getattr(fs, "blocksize", 0) or 5 << 20)


def _tried(action: Callable[[], T], url: str, done: str, *, tries: int = TRIES) -> T:
    """The result of an action on a store, tried again where that may help. Raises PictureError."""
    name = printable(shown(url))
    for n_left in range(tries - 1, -1, -1):
        try:
            return action()
        except GinrError:
            raise
        except Exception as raised:  # each store has its own
            error = _failure(raised)
            if isinstance(error, FileNotFoundError):
                raise PictureError(f"{name} does not exist: check the name") from None
            failed = f"{name} cannot be {done} ({_reason(error)})"
            if isinstance(error, PermissionError) or _status(error) in (401, 403):
                raise PictureError(f"{failed}: check your credentials") from error
            if isinstance(error, _FINAL) or getattr(error, "errno", None) == ENAMETOOLONG:
                raise PictureError(f"{failed}: check the URL") from error
            if not n_left:
                raise PictureError(f"{failed}: try again later") from error
            time.sleep(_WAIT_S * 4 ** (tries - 1 - n_left))
    raise AssertionError("unreachable: the last try returns or raises")


def _failure(error: Exception) -> Exception:
    """An error, or what made fsspec's HTTP call a file missing: any request that fails."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(cause, Exception):
        return error
    return cause if isinstance(cause, OSError) or _status(cause) not in (None, 404, 410) else error


def _status(error: Exception) -> int | None:
    """The HTTP status that an error of aiohttp states."""
    return getattr(error, "status", None)


def _reason(error: Exception) -> str:
    return shown(" ".join(str(error).split())) or type(error).__name__
