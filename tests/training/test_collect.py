"""Which pictures of a folder are trained on, held out, or left out and why.

Run: pytest tests/training/test_collect.py
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ginr.errors import GinrError
from ginr.pictures import read_picture
from ginr.training.collect import collect, rgb_of
from ginr.training.store import PictureStore

from .support import noise


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "run", 1e6)


def put(folder: Path, *sides: int) -> None:
    """Pictures 00.png, 01.png ... with these shorter sides, each with its own colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, side in enumerate(sides):
        Image.new("RGB", (side + 5, side), (k, 2 * k, 99)).save(folder / f"{k:02}.png")


def numbers(images: Any) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


@pytest.mark.parametrize(
    ("n", "n_held_out", "aside"),
    [(2, 16, [0]), (9, 16, [0]), (10, 16, [0, 5]), (12, 2, [0, 6]), (30, 3, [0, 10, 20])],
)
def test_a_fifth_at_most_is_held_out(
    tmp_path: Path, store: PictureStore, n: int, n_held_out: int, aside: list[int]
) -> None:
    put(tmp_path, *[20] * n)
    found = collect([tmp_path], crop=16, n_held_out=n_held_out, store=store)
    assert numbers(found.held_out) == aside
    assert numbers(found.training) == [k for k in range(n) if k not in aside]
    assert not found.measures_itself


def test_animations_are_named_of_which_one_frame_is_used(
    tmp_path: Path, store: PictureStore
) -> None:
    put(tmp_path, 20)
    first, *more = (Image.new("L", (20, 20), level) for level in (0, 99, 200))
    for name in ("moves.gif", "pages.tif"):
        first.save(tmp_path / name, save_all=True, append_images=more)
    first.save(tmp_path / "still.gif")
    found = collect([tmp_path], crop=16, n_held_out=1, store=store)
    assert [path.name for path in found.animated] == ["moves.gif", "pages.tif"]
    assert len(found.training) + len(found.held_out) == 4


def test_a_single_picture_measures_itself(tmp_path: Path, store: PictureStore) -> None:
    put(tmp_path, 20)
    found = collect([tmp_path], crop=16, n_held_out=16, store=store)
    assert numbers(found.training) == numbers(found.held_out) == [0]
    assert found.measures_itself


def test_what_is_left_out_is_named(tmp_path: Path, store: PictureStore) -> None:
    put(tmp_path / "deep" / "er", 40, 31, 32)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("no picture")
    found = collect([tmp_path], crop=32, n_held_out=1, store=store)
    assert [path.name for path in found.too_small] == ["01.png"]
    assert [path.name for path, _ in found.unreadable] == ["broken.jpg", "empty.png"]
    assert "is empty (0 bytes)" in found.unreadable[1][1]
    assert numbers(found.held_out) == [0]
    assert numbers(found.training) == [2]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "photos does not exist: name a folder"),
        (lambda folder: folder.touch(), "photos is not a folder: name a folder"),
        (lambda folder: folder.mkdir(), "photos: no picture to train on: add some (.apng, .avif"),
        (lambda folder: put(folder, 15, 9), "photos: no picture has 16 pixels on its shorter side"),
    ],
)
def test_folders_with_nothing_to_train_on(
    tmp_path: Path, store: PictureStore, prepare: Any, words: str
) -> None:
    prepare(tmp_path / "photos")
    with pytest.raises(GinrError) as caught:
        collect([tmp_path / "photos"], crop=1, n_held_out=1, store=store)
    assert words in str(caught.value)


def test_a_folder_of_unreadable_pictures_says_how_many(tmp_path: Path, store: PictureStore) -> None:
    for name in ("a.png", "b.tif"):
        (tmp_path / name).write_text("no picture")
    with pytest.raises(GinrError, match="no picture to train on, 2 cannot be read"):
        collect([tmp_path], crop=16, n_held_out=1, store=store)


def test_several_folders_count_each_file_once(tmp_path: Path, store: PictureStore) -> None:
    put(tmp_path / "a", 20, 21)
    put(tmp_path / "b", 22)
    found = collect([tmp_path / "b", tmp_path, tmp_path / "a"], crop=16, n_held_out=1, store=store)
    assert len(found.training) + len(found.held_out) == 3


def test_pictures_of_every_kind_become_8_bit_colour(tmp_path: Path) -> None:
    grey = noise(9)[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(noise(9)).save(tmp_path / "b.png")
    Image.fromarray(np.dstack([noise(9), grey])).save(tmp_path / "c.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "d.png")
    found = [rgb_of(read_picture(tmp_path / f"{name}.png")) for name in "abcd"]
    for image in found:
        assert image.shape == (9, 9, 3)
        assert image.dtype == np.uint8
    for index in (0, 3):
        assert np.array_equal(found[index], np.repeat(grey[..., None], 3, -1))
    for index in (1, 2):
        assert np.array_equal(found[index], noise(9))


@pytest.mark.parametrize(("budget", "n_mapped"), [(0, 3), (2_000, 3), (1e9, 0)])
def test_pictures_beyond_the_budget_are_mapped(
    tmp_path: Path, budget: float, n_mapped: int
) -> None:
    store = PictureStore(tmp_path / "run", budget)
    pictures = [noise(side) for side in (9, 21, 17)]
    for picture in pictures:
        store.add(picture)
    images = store.images()
    assert sum(isinstance(image, np.memmap) for image in images) == n_mapped
    assert list(tmp_path.rglob("run/*")) == []
    for image, picture in zip(images, pictures, strict=True):
        assert image.dtype == np.uint8 and np.array_equal(image, picture)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_pictures_for_which_there_is_no_room(tmp_path: Path) -> None:
    import resource

    store = PictureStore(tmp_path / "run", 0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(GinrError, match=r"run: no room for 0\.0 GB of decoded pictures"):
            for _ in range(3):
                store.add(noise(60))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
