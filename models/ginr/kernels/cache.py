"""Where compiled kernels are kept on disk: only in a folder that nobody else can write to.

They are machine code, in a pickle. Each specialisation of a kernel is a file of its own, with a
checksum: a file that is damaged, or not this user's, is removed, and the kernel compiled again.
"""

import atexit
import errno
import os
import pickle
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import numba
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from ginr.kernels.target import CHECKED, CPU, FEATURES
from ginr.user_cache import user_cache

_CHECKSUM = sha256().digest_size
_PROBE = 2 << 20  # bytes, more than all kernels take: a full disk holds an empty file


class Place(NamedTuple):
    """The cache folder."""

    folder: Path
    is_lasting: bool
    trouble: str = ""
    """Why it is not the user's own, in one line."""


def compiles() -> str:
    """How often kernels are compiled, which takes half a minute; empty if they are cached."""
    place = cache_place()
    if not place.is_lasting:
        return "on every run"
    return "" if _holds_kernels(place.folder) else "the first time only"


@cache
def cache_place() -> Place:
    """The cache folder: under NUMBA_CACHE_DIR if that is set, else the user's own; else temporary.

    Its name is a hash of what kernels depend on: the sources of the package, the processor, and
    whether accesses are checked.
    """
    here = Path(__file__).parent
    sources = [here.parent / "architecture" / "limits.py", *sorted(here.glob("*.py"))]
    target = repr((CPU, FEATURES, CHECKED)).encode()
    name = sha256(target + b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    try:
        parent = Path(config.CACHE_DIR) if config.CACHE_DIR else user_cache()
        return Place(_private(parent / "ginr" / "numba" / name), True)
    except OSError as error:
        trouble = f"compiled kernels cannot be kept: {error.strerror}"
    if os.name == "posix":
        with suppress(OSError):
            own = Path(tempfile.gettempdir(), f"ginr-{os.geteuid()}", name)
            return Place(_private(own), True, f"{trouble}; {own} is used instead")
    own = Path(tempfile.mkdtemp(prefix="ginr-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return Place(own, False, trouble)


class KernelCache(NullCache):
    """The files of one kernel; numba asks for a specialisation, and hands over what it compiled."""

    def __init__(self, function: Callable[..., None]) -> None:
        module = Path(function.__code__.co_filename).stem
        self._name = f"{module}.{function.__qualname__}".replace("<", "").replace(">", "")

    @property
    def cache_path(self) -> str:
        return str(cache_place().folder)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The specialisation for argument types, None if there is no sound one."""
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        try:
            if (code := _read(path)) is not None:
                return CompileResult._rebuild(target_context, *pickle.loads(code))
        except Exception:  # whatever unpickling and LLVM make of it
            with suppress(OSError):
                path.unlink()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a specialisation, if there is room."""
        path = self._path(sig, data.codegen)
        with suppress(OSError):
            code = dumps(data._reduce())
            _write(path, sha256(code).digest() + code)

    def _path(self, sig: Any, codegen: Any) -> Path:
        versions = numba.__version__, llvmlite.__version__, sys.implementation.cache_tag
        key = sha256(repr((versions, sig, codegen.magic_tuple())).encode()).hexdigest()
        return cache_place().folder / f"{self._name}-{key[:24]}"


def _read(path: Path) -> bytes | None:
    """The contents of a sound file, None without it. Raises ValueError for any other."""
    try:
        with open(path, "rb", opener=_without_links) as file:
            if _writers(os.fstat(file.fileno())):
                raise ValueError(path)
            content = file.read()
    except FileNotFoundError:
        return None
    if sha256(content[_CHECKSUM:]).digest() != content[:_CHECKSUM]:
        raise ValueError(path)
    return content[_CHECKSUM:]


def _without_links(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0))


def _write(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, all or nothing."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _holds_kernels(folder: Path) -> bool:
    return any(folder.glob("mixer.mix-*"))


def _private(folder: Path) -> Path:
    """Make a folder that only this user can write to. Raises OSError, which says what to do."""
    if not folder.is_absolute():
        raise OSError(errno.EINVAL, f"{folder} is not an absolute path: name one")
    for place in (*reversed(folder.parents), folder):
        try:
            if not place.exists():
                place.mkdir(0o700)
                place.chmod(0o700)  # whatever the umask
        except OSError as error:
            raise OSError(error.errno, f"{place} cannot be made ({error.strerror})") from None
    for place in _on_the_way_to(folder):
        found = place.stat()
        is_shared = place != folder and found.st_mode & stat.S_ISVTX  # such as /tmp
        if (who := _writers(found)) and not (is_shared and who == "others"):
            raise OSError(errno.EPERM, f"{who} can write to {place}: run chmod go-w on it")
    try:
        if not _holds_kernels(folder):
            _write(folder / "probe", bytes(_PROBE))
            (folder / "probe").unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            error.strerror = "the disk is full, free some space"
        raise OSError(error.errno, f"{folder} cannot be written to ({error.strerror})") from None
    return folder


def _on_the_way_to(folder: Path) -> Iterator[Path]:
    """A folder and all folders above it, those of links on the way included."""
    real = Path(os.path.realpath(folder))
    yield from dict.fromkeys([folder, *folder.parents, real, *real.parents])


def _writers(found: os.stat_result) -> str:
    """Who else can write to a file or folder, empty if only this user and root can."""
    if os.name != "posix":
        return ""
    if found.st_uid not in (0, os.geteuid()):
        return f"user {found.st_uid}"
    return "others" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""
