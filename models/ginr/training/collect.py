"""Training data: the pictures of folders, decoded once and sorted out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ginr.array_types import Image
from ginr.errors import GinrError, PictureError, printable
from ginr.pictures import READABLE, read_picture
from ginr.training.store import PictureStore

MIN_SIDE = 16  # pixels: less leaves nothing to measure at x4


@dataclass(frozen=True)
class Collection:
    """The pictures of a folder, sorted out; nothing in it is passed over in silence."""

    training: Sequence[Image]
    held_out: Sequence[Image]
    """Pictures to measure with; the training picture itself where there is only one."""
    unreadable: Sequence[tuple[Path, str]]
    """Files with the name of a picture, and the reason why they are none."""
    too_small: Sequence[Path]

    @property
    def measures_itself(self) -> bool:
        """Whether the only picture is both trained on and measured with."""
        return len(self.training) == 1 and self.held_out[0] is self.training[0]


def collect(
    folders: Sequence[Path],
    *,
    crop: int,
    n_held_out: int,
    store: PictureStore,
    progress: Callable[[int, int], None] = lambda n_file, n_files: None,
) -> Collection:
    """Every picture below `folders` whose shorter side has `crop` pixels, decoded into `store`.

    Up to `n_held_out` of them, a fifth at the most, spread evenly over their names, are held out.
    `progress` hears how many files of how many are read. Raises GinrError if there is nothing to
    train on.
    """
    unreadable: list[tuple[Path, str]] = []
    too_small, least = [], max(crop, MIN_SIDE)
    for path, image in load_images(folders, lambda *file: unreadable.append(file), progress):
        if min(image.shape[:2]) >= least:
            store.add(image)
        else:
            too_small.append(path)
    images = store.images()
    if not images:
        raise GinrError(
            f"{_names(folders)}: no picture has {least} pixels on its shorter side "
            f"({len(too_small)} have fewer): add larger ones{' or lower the crop' * (crop > MIN_SIDE)}"
        )
    n_aside = min(n_held_out, max(1, len(images) // 5))
    aside = range(0, len(images), len(images) // n_aside)[:n_aside]
    held_out = [images[k] for k in aside]
    training = [image for k, image in enumerate(images) if k not in aside]
    return Collection(training or images, held_out, unreadable, too_small)


def load_images(
    folders: Sequence[Path],
    unreadable: Callable[[Path, str], None] = lambda path, reason: None,
    progress: Callable[[int, int], None] = lambda n_file, n_files: None,
) -> Iterator[tuple[Path, Image]]:
    """Every readable picture below `folders`, by name, as 8-bit RGB (H, W, 3).

    `unreadable` hears of the other files with such a name, and why; `progress` how many files of
    how many are done. Raises GinrError if there is no picture, or no such folder.
    """
    n_found, n_unreadable = 0, 0
    paths = _picture_files(folders)
    for n_file, path in enumerate(paths):
        progress(n_file, len(paths))
        try:
            picture = read_picture(path)
        except PictureError as error:
            unreadable(path, str(error))
            n_unreadable += 1
            continue
        samples = picture.samples
        if samples.dtype == np.uint16:
            samples = (samples >> 8).astype(np.uint8)
        colour = samples[..., :1].repeat(3, -1) if picture.is_grey else samples[..., :3]
        n_found += 1
        yield path, np.ascontiguousarray(colour)
    if not n_found:
        known = ", ".join(sorted(READABLE))
        bad = f", {n_unreadable} cannot be read" if n_unreadable else ""
        raise GinrError(
            f"{_names(folders)}: no picture to train on{bad}: put some of {known} there"
        )


def _picture_files(folders: Sequence[Path]) -> list[Path]:
    """Files below `folders` with the suffix of a picture, each once."""
    for folder in folders:
        if not folder.is_dir():
            what = "is no folder" if folder.exists() else "does not exist"
            raise GinrError(f"{printable(folder)} {what}: name a folder of pictures")
    files = (
        path
        for folder in folders
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in READABLE)
        if not path.is_dir()
    )
    return list({path.resolve(): path for path in files}.values())


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(printable(folder) for folder in folders)
