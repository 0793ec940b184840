"""Training data: the pictures of folders, decoded once and split into training and held-out ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ginr.array_types import Image
from ginr.errors import GinrError, PictureError, printable
from ginr.pictures import READABLE, Picture, probe_picture, read_picture
from ginr.training.store import PictureStore

MIN_SIDE = 16  # pixels: less leaves nothing to measure at x4


@dataclass(frozen=True)
class Collection:
    """The pictures of folders, and every file that was left out."""

    training: Sequence[Image]
    held_out: Sequence[Image]
    """Pictures to measure on; the training picture itself if there is only one."""
    unreadable: Sequence[tuple[Path, str]]
    """Files with the suffix of a picture that cannot be read, and why."""
    too_small: Sequence[Path]
    animated: Sequence[Path] = ()
    """Files of which only the first frame or page is used."""

    @property
    def measures_itself(self) -> bool:
        """Whether the only picture is used for both training and measuring."""
        return len(self.training) == 1 and self.held_out[0] is self.training[0]


def collect(
    folders: Sequence[Path],
    *,
    crop: int,
    n_held_out: int,
    store: PictureStore,
    progress: Callable[[int, int], None] = lambda n_file, n_files: None,
) -> Collection:
    """Decodes every picture below `folders` with at least `crop` pixels a side into `store`.

    Holds out up to `n_held_out` of them, at most a fifth, spread evenly over the sorted names.
    `progress(n_file, n_files)` is called before each file. Raises GinrError if there is nothing to
    train on.
    """
    unreadable, too_small, animated, least = [], [], [], max(crop, MIN_SIDE)
    paths = picture_files(folders)
    for n_file, path in enumerate(paths):
        progress(n_file, len(paths))
        try:
            image = rgb_of(read_picture(path))
        except PictureError as error:
            unreadable.append((path, str(error)))
            continue
        if min(image.shape[:2]) < least:
            too_small.append(path)
            continue
        store.add(image)
        if probe_picture(path).n_frames > 1:
            animated.append(path)
    images, names = store.images(), ", ".join(printable(folder) for folder in folders)
    if not images and too_small:
        raise GinrError(
            f"{names}: no picture has {least} pixels on its shorter side "
            f"({len(too_small)} have fewer): add larger ones{' or lower the crop' * (crop > MIN_SIDE)}"
        )
    if not images:
        bad = f", {len(unreadable)} cannot be read" if unreadable else ""
        known = ", ".join(sorted(READABLE))
        raise GinrError(f"{names}: no picture to train on{bad}: add some ({known})")
    n_aside = min(n_held_out, max(1, len(images) // 5))
    aside = range(0, len(images), len(images) // n_aside)[:n_aside]
    held_out = [images[k] for k in aside]
    training = [image for k, image in enumerate(images) if k not in aside]
    return Collection(training or images, held_out, unreadable, too_small, animated)


def rgb_of(picture: Picture) -> Image:
    """A picture as 8-bit RGB (H, W, 3), without alpha."""
    samples = picture.samples
    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8)
    colour = samples[..., :1].repeat(3, -1) if picture.is_grey else samples[..., :3]
    return np.ascontiguousarray(colour)


def picture_files(folders: Sequence[Path]) -> list[Path]:
    """Files below `folders` with the suffix of a picture, each once."""
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise GinrError(f"{printable(folder)} {what}: name a folder of pictures")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in READABLE and not path.is_dir():
                found[path.resolve()] = path
    return list(found.values())
