"""A store in memory that fails now and then, and lists a million names without holding them."""

from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem


class FlakyFile(MemoryFile):  # type: ignore[misc]
    """A file whose writing fails in the middle, as often as its store says."""

    def write(self, data: Any) -> int:
        FlakyStore.fail("write")
        return int(super().write(data))


class FlakyStore(MemoryFileSystem):  # type: ignore[misc]
    """Fails `failures[what]` times at each of open, write, ls and info."""

    protocol = "flaky"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    failures: ClassVar[dict[str, int]] = {}
    asked: ClassVar[list[str]] = []

    @classmethod
    def fail(cls, what: str) -> None:
        cls.asked.append(what)
        if cls.failures.get(what, 0) > 0:
            cls.failures[what] -= 1
            raise OSError(f"connection lost at {what}")

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("flaky://", "memory://")))

    def _open(self, path: str, mode: str = "rb", autocommit: bool = True, **options: Any) -> Any:
        self.fail("open")
        if mode != "wb":
            return super()._open(path, mode, **options)
        file = FlakyFile(self, path)
        if autocommit:
            file.commit()
        return file

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self.fail("ls")
        return super().ls(path, detail=detail)

    def info(self, path: str, **options: Any) -> Any:
        self.fail("info")
        return super().info(path)


class Endless(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A thousand folders of a thousand pictures, none of which can be read."""

    protocol = "endless"
    cachable = False

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[dict[str, Any]]:
        return list(self._listed(path.strip("/")))

    def _listed(self, path: str) -> Iterator[dict[str, Any]]:
        depth = path.count("/")
        kind, suffix = ("directory", "") if depth == 0 else ("file", ".png")
        for number in range(1000):
            yield {"name": f"{path}/{number:03}{suffix}", "size": 99, "type": kind}


def register() -> None:
    """Let fsspec know both."""
    for store in (FlakyStore, Endless):
        fsspec.register_implementation(store.protocol, store, clobber=True)
