"""Videos: their contents, refusals, and no partial files.

Run: pytest tests/pictures/test_film.py
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ginr.errors import PictureError
from ginr.pictures import Picture, read_picture
from ginr.pictures.film import check_film, write_film
from ginr.pictures.samples import Samples


def _frames(n: int = 5, channels: int = 3, dtype: type = np.uint8) -> list[Samples]:
    y, x = np.mgrid[:36, :48]
    levels = [((3 * x + 2 * y + 25 * k) % 200 + 20) / 255 for k in range(n)]
    peak = np.iinfo(dtype).max
    return [
        np.ascontiguousarray(np.stack([level * peak] * channels, -1).astype(dtype))
        for level in levels
    ]


def _like(frames: list[Samples]) -> Picture:
    return Picture(frames[0], text=(("note", "kept"),))


@pytest.mark.parametrize(
    ("name", "channels", "dtype", "tolerance"),
    [("a.gif", 3, np.uint8, 8), ("a.webp", 4, np.uint8, 40), ("a.webp", 1, np.uint16, 20)],
)
def test_animations(tmp_path: Path, name: str, channels: int, dtype: type, tolerance: int) -> None:
    frames, path = _frames(5, channels, dtype), tmp_path / name
    check_film(path, 36, 48, 5, overwrite=False)
    write_film(iter(frames), _like(frames), path, fps=20)
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (5, (48, 36), 0)
        film.seek(3)
        film.load()
        assert film.info["duration"] == 50
        held = np.asarray(film.convert("RGB")).astype(float)
    level = frames[3][..., :1].astype(float) * 255 / np.iinfo(dtype).max
    if channels == 4:  # placed on white
        level = 255 - (255 - level) * level / 255
    assert np.abs(held - level).mean() < tolerance / 4 and [p.name for p in tmp_path.iterdir()] == [
        name
    ]


def test_mp4(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip(
        "imageio_ffmpeg", reason="MP4 needs imageio-ffmpeg"
    ).get_ffmpeg_exe()
    frames, path = _frames(12), tmp_path / "a.mp4"
    check_film(path, 36, 48, 12, overwrite=False)
    write_film(iter(frames), _like(frames), path, fps=29.97)
    command = [ffmpeg, "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    held = np.frombuffer(raw, np.uint8).reshape(12, 36, 48, 3).astype(float)
    assert np.abs(held - np.stack(frames)).mean() < 4
    (tmp_path / "b.mp4").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="midway"):
        write_film(_breaking(frames), _like(frames), tmp_path / "b.mp4", fps=30, overwrite=True)
    assert (tmp_path / "b.mp4").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def _breaking(frames: list[Samples]) -> Iterator[Samples]:
    yield from frames[:3]
    raise RuntimeError("midway")


def test_a_folder_keeps_what_a_picture_keeps(tmp_path: Path) -> None:
    frames, path = _frames(3, 2, np.uint16), tmp_path / "film"
    for overwrite in (False, True):
        check_film(path, 36, 48, 3, overwrite=overwrite)
        write_film(iter(frames), _like(frames), path, fps=20, overwrite=overwrite)
    assert sorted(p.name for p in path.iterdir()) == [f"frame_0000{k}.png" for k in (1, 2, 3)]
    picture = read_picture(path / "frame_00002.png")
    np.testing.assert_array_equal(picture.samples, frames[1])
    assert picture.text == (("note", "kept"),)
    with pytest.raises(PictureError, match="film already contains frames"):
        check_film(path, 36, 48, 3, overwrite=False)
    (path / "mine.txt").touch()
    with pytest.raises(PictureError, match=r"film contains other files, such as mine.txt"):
        check_film(path, 36, 48, 3, overwrite=True)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "film"])
def test_failing_frames_leave_nothing_behind(tmp_path: Path, name: str) -> None:
    frames = _frames()
    with pytest.raises(RuntimeError, match="midway"):
        write_film(_breaking(frames), _like(frames), tmp_path / name, fps=30)
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.gif").touch()
    for name, size, words in (
        (
            "a.avi",
            (36, 48),
            "a.avi: '.avi' is not a video format: use .mp4, .gif, .webp, or a folder",
        ),
        ("a.mp4", (35, 48), "a.mp4: MP4 needs even sides, not 48x35"),
        ("a.webp", (20_000, 8), "a.webp: 8x20000 is too large for WEBP"),
        ("a.webp", (9000, 9000), "a.webp: 90 frames of 9000x9000 need 20.4 GiB of memory"),
        ("there.gif", (36, 48), "there.gif already exists"),
        ("no/a.gif", (36, 48), "does not exist: create it first"),
        ("no/film", (36, 48), "does not exist: create it first"),
    ):
        with pytest.raises(PictureError, match=words):
            check_film(tmp_path / name, *size, 90, overwrite=False)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(PictureError, match="MP4 needs FFmpeg: pip install imageio-ffmpeg"):
        check_film(tmp_path / "a.mp4", 36, 48, 90, overwrite=False)


def test_a_failing_ffmpeg_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    false = shutil.which("false")
    if false is None:
        pytest.skip("needs a program that fails")
    monkeypatch.setattr("ginr.pictures.film._ffmpeg", lambda: false)
    frames = _frames()
    with pytest.raises(PictureError, match=r"FFmpeg failed \(code 1\)"):
        write_film(iter(frames), _like(frames), tmp_path / "a.mp4", fps=30)
    assert list(tmp_path.iterdir()) == []
