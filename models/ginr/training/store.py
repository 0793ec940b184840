"""Decoded pictures: in memory up to a budget, beyond it in a memory-mapped file."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from ginr.array_types import Image
from ginr.errors import GinrError


class PictureStore:
    """8-bit pictures, added one by one; their file has no name and disappears with the process."""

    def __init__(self, folder: Path, budget: float) -> None:
        """Beyond `budget` bytes, all pictures go to a file in `folder`."""
        self._folder, self._budget = folder, budget
        self._images: list[Image] = []
        self._shapes: list[tuple[int, ...]] = []
        self._file: IO[bytes] | None = None
        self._n_byte = 0

    def add(self, image: Image) -> None:
        """Adds a picture. Raises GinrError if the disk is full."""
        self._n_byte += image.nbytes
        self._shapes.append(image.shape)
        self._images.append(image)
        if self._file is None and self._n_byte <= self._budget:
            return
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  (mapped for the whole run)
            for kept in self._images:
                self._file.write(kept.tobytes())
            self._images.clear()
        except OSError as error:
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            raise GinrError(
                f"{self._folder}: no room for {self._n_byte / 1e9:.1f} GB of decoded pictures "
                f"({error.strerror}): free some space, or raise memory_gb to keep them in memory"
            ) from None

    def images(self) -> list[Image]:
        """All pictures in order, read-only where mapped. Nothing can be added afterwards."""
        if self._file is None:
            return self._images
        with self._file:  # the mapping outlives it
            self._file.flush()
            whole = np.memmap(self._file, np.uint8, "r")
        ends = np.cumsum([np.prod(shape) for shape in self._shapes])
        parts = np.split(whole, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
