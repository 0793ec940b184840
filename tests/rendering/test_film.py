"""Films: their contents, refusals, and no partial files.

Run: pytest tests/rendering/test_film.py
"""

import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ginr.errors import PictureError
from ginr.pictures import Picture, read_picture
from ginr.pictures.colour import profile_of_cicp
from ginr.pictures.samples import Samples
from ginr.rendering.film import check_film, write_film
from ginr.videos.reader import rgb_of


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


SIZE: dict[str, Any] = {"height": 36, "width": 48}


@pytest.mark.parametrize(
    ("name", "channels", "dtype", "tolerance"),
    [
        ("a.gif", 3, np.uint8, 2),
        ("a.webp", 4, np.uint8, 4),
        ("a.webp", 1, np.uint16, 2),
        ("a.apng", 2, np.uint8, 0),
    ],
)
def test_animations(tmp_path: Path, name: str, channels: int, dtype: type, tolerance: int) -> None:
    frames, path = _frames(5, channels, dtype), tmp_path / name
    check_film(path, **SIZE, fps=20, overwrite=False)
    lost = write_film(iter(frames), _like(frames), path, **SIZE, fps=20)
    assert ("WEBP has 8 bits per sample: rounded from 16" in lost) == (dtype is np.uint16)
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (5, (48, 36), 0)
        film.seek(3)
        film.load()
        assert film.info["duration"] == 50
        held = np.asarray(film.convert("RGBA")).astype(float)
    level = frames[3].astype(float) * 255 / np.iinfo(dtype).max
    alpha = level[..., -1] if channels in (2, 4) else 255
    assert np.abs(held[..., 3] - alpha).mean() <= tolerance
    assert np.abs(held[..., :3] - level[..., :1]).mean() <= tolerance
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("name", "channels"), [("a.mp4", 3), ("a.mkv", 1), ("a.webm", 4)])
def test_videos(tmp_path: Path, name: str, channels: int) -> None:
    av = pytest.importorskip("av", reason="videos need PyAV")
    frames, path = _frames(12, channels), tmp_path / name
    check_film(path, **SIZE, fps=20, overwrite=False)
    lost = write_film(iter(frames), _like(frames), path, **SIZE, fps=29.97)
    assert lost[-1] == "1 PNG text chunk(s) dropped"
    assert lost[:-1] == ["a video has no transparency: placed on white"] * (channels == 4)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        held = [rgb_of(frame).astype(float) for frame in container.decode(stream)]
        assert abs(float(stream.average_rate) - 29.97) < 0.01
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
    shown = np.stack(frames).astype(float)
    level = shown[..., :1]
    if channels == 4:
        level = 255 - (255 - level) * shown[..., 3:] / 255
    assert len(held) == 12 and np.abs(np.stack(held) - level).mean() < 3
    (tmp_path / "b.mp4").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="midway"):
        write_film(
            _breaking(frames), _like(frames), tmp_path / "b.mp4", **SIZE, fps=30, overwrite=True
        )
    assert (tmp_path / "b.mp4").read_bytes() == b"old"


def test_videos_are_srgb_and_folders_keep_the_profile(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="videos need PyAV")
    p3 = (12, 13, 0, 1)
    orange = np.full((36, 48, 3), (200, 100, 50), np.uint8)
    like, path = Picture(orange, icc=profile_of_cicp(p3)), tmp_path / "a.mp4"
    lost = write_film(iter([orange] * 2), like, path, **SIZE, fps=20)
    assert lost == ["ICC profile dropped: converted to sRGB"]
    with av.open(str(path)) as container:
        held = rgb_of(next(container.decode(container.streams.video[0])))
    assert np.abs(held[18, 24].astype(int) - (215, 93, 31)).max() <= 2  # by the matrices of P3
    assert write_film(iter([orange]), like, tmp_path / "film", **SIZE, fps=20) == []
    assert read_picture(tmp_path / "film" / "frame_00001.png").icc == like.icc


def _breaking(frames: list[Samples]) -> Iterator[Samples]:
    yield from frames[:3]
    raise RuntimeError("midway")


def test_a_folder_keeps_what_a_picture_keeps(tmp_path: Path) -> None:
    frames, path = _frames(3, 2, np.uint16), tmp_path / "film"
    for overwrite in (False, True):
        check_film(path, **SIZE, fps=20, overwrite=overwrite)
        write_film(iter(frames), _like(frames), path, **SIZE, fps=20, overwrite=overwrite)
    assert sorted(p.name for p in path.iterdir()) == [f"frame_0000{k}.png" for k in (1, 2, 3)]
    picture = read_picture(path / "frame_00002.png")
    np.testing.assert_array_equal(picture.samples, frames[1])
    assert picture.text == (("note", "kept"),)
    with pytest.raises(PictureError, match="film already contains frames"):
        check_film(path, **SIZE, fps=20, overwrite=False)
    (path / "mine.txt").touch()
    with pytest.raises(PictureError, match=r"film contains other files, such as mine.txt"):
        check_film(path, **SIZE, fps=20, overwrite=True)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.mp4", "film"])
def test_failing_frames_leave_nothing_behind(tmp_path: Path, name: str) -> None:
    frames = _frames()
    with pytest.raises(RuntimeError, match="midway"):
        write_film(_breaking(frames), _like(frames), tmp_path / name, **SIZE, fps=30)
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="videos need PyAV")
    (tmp_path / "there.gif").touch()
    for name, size, words in (
        ("a.avi", (36, 48), "a.avi: '.avi' is not a video format: use .apng, .gif, .m4v, .mkv, "),
        ("a.mp4", (35, 48), "a.mp4: videos need even sides, not 48x35"),
        ("a.webp", (20_000, 8), "a.webp: 8x20000 is too large for WEBP"),
        ("there.gif", (36, 48), "there.gif already exists"),
        ("no/a.gif", (36, 48), "does not exist: create it first"),
        ("no/film", (36, 48), "does not exist: create it first"),
    ):
        with pytest.raises(PictureError, match=words):
            check_film(tmp_path / name, *size, fps=20, overwrite=False)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(PictureError, match="videos need PyAV: pip install"):
        check_film(tmp_path / "a.mp4", 36, 48, fps=20, overwrite=False)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av, frames = pytest.importorskip("av", reason="videos need PyAV"), _frames()

    def fails(*_: Any) -> None:
        raise av.error.OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ginr.videos.from_frames.converted", fails)
    with pytest.raises(PictureError, match=r"a\.mp4: the disk is full: free some space"):
        write_film(iter(frames), _like(frames), tmp_path / "a.mp4", **SIZE, fps=30)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    frames = _frames()
    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(PictureError, match=r"film: the disk is full: free some space"):
        write_film(iter(frames), _like(frames), tmp_path / "film", **SIZE, fps=30)
    assert list(tmp_path.iterdir()) == []
