"""Encoded segments of a video in a work folder next to the output, so that a later run can resume."""

import errno
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ginr.part_files import part_of

WORK = ".ginr-work"
"""What the name of a work folder adds to that of its output."""
_FACTS = "made.json"
_DAMAGE = (OSError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile)


class Segment(NamedTuple):
    """Encoded frames that can be decoded without those before: packets in order, one after another."""

    data: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    """When packets are shown, in ticks."""
    durations: npt.NDArray[np.int64]
    keys: npt.NDArray[np.bool_]
    n_frames: npt.NDArray[np.int64]
    """Of the input; an array without axes."""

    @classmethod
    def of(cls, packets: Sequence[Any], n_frames: int) -> "Segment":
        """The segment of packets of PyAV."""
        data = np.frombuffer(b"".join(map(bytes, packets)), np.uint8)
        numbers = [(packet.size, packet.pts, packet.duration or 0) for packet in packets]
        sizes, times, durations = np.array(numbers, np.int64).reshape(-1, 3).T
        keys = np.array([packet.is_keyframe for packet in packets], bool)
        return cls(data, sizes, times, durations, keys, np.array(n_frames, np.int64))

    def packets(self) -> Iterator[tuple[bytes, int, bool]]:
        """The contents of each packet, its duration, and whether it is a keyframe."""
        ends = np.cumsum(self.sizes)
        for end, size, duration, key in zip(
            ends, self.sizes, self.durations, self.keys, strict=True
        ):
            yield self.data[end - size : end].tobytes(), int(duration), bool(key)


class WorkFolder:
    """The segments of an output, in a folder next to it that is created with the first segment."""

    def __init__(self, output: Path, facts: Mapping[str, str]) -> None:
        """`facts` is everything that determines the content of the segments."""
        self.path = output.with_name(output.name + WORK)
        self._facts = dict(facts)
        self._n_frames: list[int] = []  # of each segment

    @property
    def n_frames(self) -> int:
        """Frames of the input in all segments."""
        return sum(self._n_frames)

    def resume(self) -> list[str]:
        """Reuse the complete segments of an earlier run.

        Returns the facts that have changed since, if any: then they are removed instead.
        """
        if not self.path.is_dir():
            return []
        made: Mapping[str, str] = {}
        with suppress(*_DAMAGE):
            made = json.loads((self.path / _FACTS).read_text("utf-8"))
        if made != self._facts:
            self.remove()
            return [key for key, value in self._facts.items() if made.get(key) != value]
        with suppress(OSError):  # there are no more, or one is damaged
            for number in count():
                with self._reading(number) as arrays:
                    self._n_frames.append(int(Segment(**arrays).n_frames))  # reads all of it
        return []

    def add(self, segment: Segment) -> None:
        """Keep a segment. Raises OSError."""
        if not self._n_frames:
            self.path.mkdir(exist_ok=True)
            (self.path / _FACTS).write_text(json.dumps(self._facts), "utf-8")
        with part_of(self._path(len(self._n_frames))) as part:
            np.savez(part.file, **segment._asdict())
            part.rename()
        self._n_frames.append(int(segment.n_frames))

    def segments(self) -> Iterator[Segment]:
        """All segments in turn. Raises OSError."""
        for number in range(len(self._n_frames)):
            with self._reading(number) as arrays:
                segment = Segment(**arrays)
            yield segment

    def times(self) -> npt.NDArray[np.int64]:
        """When the packets of all segments are shown, in ticks. Raises OSError."""
        found = list[npt.NDArray[np.int64]]()
        for number in range(len(self._n_frames)):
            with self._reading(number) as arrays:
                found.append(arrays["times"])
        return np.concatenate(found)

    def remove(self) -> None:
        """Remove the folder with all segments."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.path / f"{number:06}.npz"

    @contextmanager
    def _reading(self, number: int) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
        path = self._path(number)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                yield arrays
        except _DAMAGE as error:
            reason = f"{self.path.name}/{path.name} cannot be read: {error}"
            raise OSError(errno.EIO, reason) from error
