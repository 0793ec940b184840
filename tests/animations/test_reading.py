"""Frames as they are shown: disposal, blending, damage: pytest tests/animations/test_reading.py"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ginr.animations import open_animation, pieces, read_frames
from ginr.errors import PictureError
from ginr.pictures import ReadRules, probe_picture, read_picture

from .support import BLUE, HEIGHT, NONE, RED, WIDTH, apng_of, flat, gif_of, moving, read

WHOLE, PART = (0, 0, HEIGHT, WIDTH), (2, 3, 5, 7)


def with_part(colour: tuple[int, ...], below: tuple[int, ...]) -> np.ndarray:
    frame = flat(below)
    frame[2:5, 3:7] = colour
    return frame


@pytest.mark.parametrize(
    ("disposal", "after"), [(0, with_part(BLUE, RED)), (1, with_part(BLUE, RED)),
                            (2, with_part(NONE, RED)), (3, flat(RED))],
)  # fmt: skip
def test_a_gif_disposes_of_frames(tmp_path: Path, disposal: int, after: np.ndarray) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(gif_of([(WHOLE, RED, 1), (PART, BLUE, disposal), (PART, NONE, 1)]))
    frames, notes = read(path)
    assert notes == [] and [frame.delay * 20 for frame in frames] == [1, 1, 1]
    np.testing.assert_array_equal(frames[0].samples, flat(RED))
    np.testing.assert_array_equal(frames[1].samples, with_part(BLUE, RED))
    np.testing.assert_array_equal(frames[2].samples, after)


def test_what_a_gif_does_not_draw_is_transparent(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(gif_of([(PART, BLUE, 3), (PART, RED, 1), ((8, 10, 14, 20), BLUE, 1)]))
    frames, _ = read(path)
    np.testing.assert_array_equal(frames[0].samples, with_part(BLUE, NONE))
    np.testing.assert_array_equal(frames[1].samples, with_part(RED, NONE))
    beyond = with_part(RED, NONE)
    beyond[8:, 10:] = BLUE  # what is outside of the picture is left out
    np.testing.assert_array_equal(frames[2].samples, beyond)


@pytest.mark.parametrize("plays", [0, 1, 2, 7])
def test_how_often_a_gif_is_played(tmp_path: Path, plays: int) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(gif_of([(WHOLE, RED, 1), (PART, BLUE, 1)], plays))
    assert open_animation(path, ReadRules()).plays == plays
    with Image.open(path) as image:  # counts the repetitions
        assert image.info.get("loop") == {1: None, 0: 0}.get(plays, plays - 1)


def test_apng_blends_and_disposes(tmp_path: Path) -> None:
    half = flat((0, 0, 255, 128), 3, 4)
    parts = [(flat(RED), (0, 0), 0, 0), (half, (2, 3), 2, 1), (half, (2, 3), 1, 0)]
    parts += [(flat((0, 255, 0, 51), 1, 1), (8, 11), 0, 1), (half, (2, 3), 0, 1)]
    path = tmp_path / "a.png"
    path.write_bytes(apng_of(parts, (1, 60)))
    frames, _ = read(path)
    assert all(frame.delay * 60 == 1 for frame in frames)
    np.testing.assert_array_equal(frames[1].samples, with_part((127, 0, 128, 255), RED))
    np.testing.assert_array_equal(frames[2].samples, with_part((0, 0, 255, 128), RED))
    cleared = with_part(NONE, RED)
    cleared[8, 11] = (204, 51, 0, 255)
    np.testing.assert_array_equal(frames[3].samples, cleared)
    cleared[2:5, 3:7] = (0, 0, 255, 128)
    np.testing.assert_array_equal(frames[4].samples, cleared)


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L", "LA", "P", "1"])
def test_apng_of_every_mode(tmp_path: Path, mode: str) -> None:
    images = [Image.fromarray(frame).convert(mode) for frame in moving()]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], blend=0)
    frames, _ = read(tmp_path / "a.png")
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(frame.samples, np.asarray(image.convert("RGBA")))


def test_a_default_image_is_no_frame(tmp_path: Path) -> None:
    images = [Image.fromarray(frame) for frame in moving(3)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], default_image=True)
    frames, _ = read(tmp_path / "a.png")
    np.testing.assert_array_equal(frames[0].samples, np.asarray(images[1]))
    assert len(frames) == 2


def test_webp_as_libwebp_shows_it(tmp_path: Path) -> None:
    images = [Image.fromarray(frame) for frame in moving(6)]
    images[0].save(
        tmp_path / "a.webp", save_all=True, append_images=images[1:], lossless=True, exact=True,
        duration=[10, 20, 30, 40, 50, 60], loop=3, kmax=3,
    )  # fmt: skip
    frames, _ = read(tmp_path / "a.webp")
    assert open_animation(tmp_path / "a.webp", ReadRules()).plays == 3
    assert [int(frame.delay * 1000) for frame in frames] == [10, 20, 30, 40, 50, 60]
    for frame, image in zip(frames, images, strict=True):
        visible = frame.samples[..., 3:] > 0
        np.testing.assert_array_equal(frame.samples * visible, np.asarray(image) * visible)


@pytest.mark.parametrize(("name", "n"), [("a.gif", 3), ("a.png", 2), ("a.webp", 3)])
def test_a_cut_file_is_refused_or_read_as_far_as_it_goes(tmp_path: Path, name: str, n: int) -> None:
    path, images = tmp_path / name, [Image.fromarray(frame) for frame in moving(5)]
    images[0].save(path, save_all=True, append_images=images[1:], lossless=True)
    whole, _ = read(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(PictureError, match=rf"{name} is incomplete \(it ends in frame {n + 1}\): "):
        open_animation(path, ReadRules())
    frames, notes = read(path, ReadRules(allow_truncated=True))
    assert notes == [f"incomplete: only the first {n} frames"]
    for frame, before in zip(frames, whole[:n], strict=True):
        np.testing.assert_array_equal(frame.samples, before.samples)


def test_a_damaged_frame_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    data = bytearray(gif_of([(WHOLE, RED, 1), (WHOLE, BLUE, 1), (PART, RED, 1)]))
    second = data.index(b"\x2c", data.index(b"\x2c") + 800)
    data[second + 10 + 768] = 99  # the size of its first code
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"a\.gif is damaged \(frame 2 is damaged"):
        read(path)
    frames, notes = read(path, ReadRules(allow_truncated=True))
    assert len(frames) == 1 and notes[0].startswith("frame 2 is damaged")


def test_frames_outside_are_refused(tmp_path: Path) -> None:
    parts = [(flat(RED), (0, 0), 0, 0), (flat(RED, 3, 4), (7, 3), 0, 0)]
    (tmp_path / "a.png").write_bytes(apng_of(parts, (1, 60)))
    with pytest.raises(PictureError, match="frame 2 lies outside of the picture"):
        open_animation(tmp_path / "a.png", ReadRules())


def test_too_many_frames_need_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MAX_PAGES", 2)
    path = tmp_path / "a.gif"
    path.write_bytes(gif_of([(WHOLE, RED, 1)] * 3))
    with pytest.raises(PictureError, match="has more than 2 frames: add --allow-large"):
        open_animation(path, ReadRules())
    assert len(open_animation(path, ReadRules(allow_large=True)).delays) == 3


def test_too_long_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ginr.animations import reader

    monkeypatch.setattr(reader, "MAX_SECONDS", 0)
    (tmp_path / "a.gif").write_bytes(gif_of([(WHOLE, RED, 1)] * 3))
    with pytest.raises(PictureError, match="takes over 0 s to read"):
        next(read_frames(tmp_path / "a.gif", ReadRules(), [].append))


def test_a_huge_piece_is_refused(tmp_path: Path) -> None:
    data = bytearray(gif_of([(WHOLE, RED, 1), (PART, BLUE, 1)]))
    second = data.index(b"\x2c", data.index(b"\x2c") + 800)
    data[second + 5 : second + 9] = b"\xff\xff\xff\xff"
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(PictureError, match="claims 65535x65535 pixels"):
        read(tmp_path / "a.gif")


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_as_a_picture_it_is_its_first_frame(tmp_path: Path, name: str) -> None:
    images = [Image.fromarray(frame) for frame in moving(3)]
    images[0].save(tmp_path / name, save_all=True, append_images=images[1:])
    assert probe_picture(tmp_path / name).n_frames == 3
    assert "only the first of 3 frames is read" in read_picture(tmp_path / name).notes
