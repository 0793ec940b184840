"""Decoded pictures: in memory up to a budget, from there on in a file that is mapped."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from ginr.array_types import Image
from ginr.errors import GinrError


class PictureStore:
    """8-bit pictures, added one by one; their file has no name, so it goes with the process."""

    def __init__(self, folder: Path, budget: float) -> None:
        """Beyond `budget` bytes all pictures go to a file in `folder`."""
        self._folder, self._budget = folder, budget
        self._images: list[Image] = []
        self._shapes: list[tuple[int, ...]] = []
        self._file: IO[bytes] | None = None
        self._n_byte = 0

    def add(self, image: Image) -> None:
        """Keep one more. Raises GinrError if the disk is full."""
        self._n_byte += image.nbytes
        try:
            if self._file is None and self._n_byte > self._budget:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  (mapped for the whole run)
                for kept in self._images:
                    self._file.write(kept.tobytes())
                self._images.clear()
            if self._file is None:
                self._images.append(image)
            else:
                self._file.write(image.tobytes())
        except OSError as error:
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            raise GinrError(
                f"{self._folder}: no room for {self._n_byte / 1e9:.1f} GB of decoded pictures "
                f"({error.strerror}): free some, or set memory_gb higher to keep them in memory"
            ) from None
        self._shapes.append(image.shape)

    def images(self) -> list[Image]:
        """All of them, in order; read-only where they are mapped. Nothing can be added then."""
        if self._file is None:
            return self._images
        with self._file:  # the mapping outlives it
            self._file.flush()
            whole = np.memmap(self._file, np.uint8, "r")
        ends = np.cumsum([np.prod(shape) for shape in self._shapes])
        parts = np.split(whole, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
