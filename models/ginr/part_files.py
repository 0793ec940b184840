"""Outputs that are being written: each under a hidden .part name, locked by its writer.

The name follows from that of the output, so two writers of one output meet, and the second one is
refused. The system drops a lock when its process ends, however that happens: a .part file that
nobody has locked is left over.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

_NAME = re.compile(r"\.ginr-[0-9a-f]{16}\.part")
_own: set[Path] = set()
"""Those of this process."""
_unfinished: list[Callable[[], None]] = []
"""Actions that save finished work before the process ends."""


class Part:
    """An output that is being written: a file, open for writing, or a folder."""

    def __init__(self, target: Path, *, is_folder: bool = False) -> None:
        """Raises OSError, also where another process is writing the same output."""
        digest = sha256(os.fsencode(target.name)).hexdigest()
        self.target, self.path = target, target.with_name(f".ginr-{digest[:16]}.part")
        self._file: BinaryIO | None = None
        self._lock = -1  # a handle of its own: closing the file does not end the lock
        for _ in range(10):  # more than once only if another process removes it meanwhile
            if self._is_claimed(is_folder):
                return
        raise self._in_use()

    @property
    def file(self) -> BinaryIO:
        """The file; raises ValueError for a folder."""
        if self._file is None:
            raise ValueError(f"{self.path} is a folder")
        return self._file

    def rename(self) -> None:
        """Give it the name of the output, whose file it replaces. Raises OSError."""
        if self._file is not None:
            self._file.close()
        os.replace(self.path, self.target)
        _own.discard(self.path)

    def remove(self) -> None:
        """Remove it, unless it was renamed, and end the lock."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        if self.path in _own:
            _delete(self.path)
            _own.discard(self.path)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _is_claimed(self, is_folder: bool) -> bool:
        """Create and lock it; False if a left-over one was in the way, which is gone now."""
        try:
            if is_folder:
                self.path.mkdir()
            else:
                self._file = self.path.open("xb")
        except FileExistsError:
            if _remove_unlocked(self.path):
                return False
            raise self._in_use() from None
        _own.add(self.path)
        if os.name == "nt" or self._is_locked():
            return True
        _own.discard(self.path)  # another process has taken it for left over
        self.remove()
        return False

    def _is_locked(self) -> bool:
        try:
            self._lock = _open(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            self.remove()
            raise
        return _locked(self._lock) is not False and _is_at(self.path, self._lock)

    def _in_use(self) -> OSError:
        return OSError(errno.EBUSY, f"another process is writing it, as {self.path.name}")


@contextmanager
def part_of(target: Path, *, is_folder: bool = False) -> Iterator[Part]:
    """Yields the part of an output, which is removed if the block does not rename it.

    Raises OSError, also where another process is writing the same output.
    """
    part = Part(target, is_folder=is_folder)
    try:
        yield part
    finally:
        part.remove()


def remove_left_over(folder: Path) -> int:
    """Remove the .part files of processes that have ended from a folder; returns their number."""
    names: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
    return sum(_remove_unlocked(folder / name) for name in names)


def is_writing() -> bool:
    """Whether this process has an unfinished output."""
    return bool(_own)


@contextmanager
def finished_by(action: Callable[[], None]) -> Iterator[None]:
    """Within the block, `finish_own` calls `action`."""
    _unfinished.append(action)
    try:
        yield
    finally:
        _unfinished.remove(action)


def finish_own() -> None:
    """Save the finished part of this process's outputs before it ends; from any thread."""
    for action in list(_unfinished):
        action()


def remove_own() -> None:
    """Remove all unfinished outputs of this process before it ends."""
    for path in list(_own):
        _delete(path)


def _remove_unlocked(path: Path) -> bool:
    """Remove a part unless it is locked, or cannot be; returns whether it is gone."""
    if os.name == "nt":  # no open file can be removed there
        return not path.is_dir() and _delete(path)
    try:
        handle = _open(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        # Another process may have removed it and made a new one, whose lock this is not.
        return _locked(handle) is True and _is_at(path, handle) and _delete(path)
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    is_folder = path.is_dir()
    # NFS locks only what is open for writing.
    return os.open(path, (os.O_RDONLY if is_folder else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)


def _delete(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return not path.exists()


def _locked(handle: int) -> bool | None:
    """Lock a file: whether that succeeded, None on a file system without locks."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False
