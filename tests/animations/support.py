"""Shared by the tests of animations: frames, small files, and what is read of them."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ginr.animations import Frame, read_frames
from ginr.animations.gif import write_end, write_frame, write_head
from ginr.pictures import ReadRules
from ginr.pictures.samples import Samples

HEIGHT, WIDTH = 9, 12
RED, BLUE, NONE = (255, 0, 0, 255), (0, 0, 255, 255), (0, 0, 0, 0)


def flat(colour: tuple[int, ...], height: int = HEIGHT, width: int = WIDTH) -> Samples:
    return np.full((height, width, 4), colour, np.uint8)


def moving(n: int = 4, peak: int = 255) -> list[Samples]:
    """Random frames that differ from one another in a box, with alpha of all levels."""
    random = np.random.default_rng(1)
    kind = np.uint8 if peak == 255 else np.uint16
    frames = [random.integers(0, peak + 1, (HEIGHT, WIDTH, 4)).astype(kind)]
    for k in range(1, n):
        frame = frames[-1].copy()
        frame[k : k + 4, k : k + 3] = random.integers(0, peak + 1, (4, 3, 4))
        frames.append(frame)
    return frames


def read(path: Path, rules: ReadRules | None = None) -> tuple[list[Frame], list[str]]:
    notes: list[str] = []
    return list(read_frames(path, rules or ReadRules(), notes.append)), notes


def gif_of(
    pieces: list[tuple[tuple[int, int, int, int], tuple[int, ...], int]], plays: int = 1
) -> bytes:
    """A GIF of pieces of one colour each: box, RGBA and the number of its disposal."""
    file = io.BytesIO()
    write_head(file, HEIGHT, WIDTH, plays)
    for box, colour, disposal in pieces:
        size = (box[2] - box[0]) * (box[3] - box[1])
        indices = bytes([0 if colour[3] else 255]) * size
        at = file.tell()
        write_frame(
            file, indices, bytes(colour[:3]).ljust(768, b"\0"), box, 255, 5, is_cleared=False
        )
        file.seek(at + 3)
        file.write(bytes([disposal << 2 | 1]))
        file.seek(0, io.SEEK_END)
    write_end(file)
    return file.getvalue()


def apng_of(
    frames: list[tuple[npt.NDArray[np.uint8], tuple[int, int], int, int]], delay: tuple[int, int]
) -> bytes:
    """An APNG of frames: samples, (top, left), disposal and blending; the first is whole."""
    from ginr.pictures.opened_png import PNG_MARK, chunk, chunks_of

    parts, n = [PNG_MARK], 0
    for number, (samples, (top, left), disposal, blending) in enumerate(frames):
        file = io.BytesIO()
        Image.fromarray(samples).save(file, "PNG")
        data = file.getvalue()
        found = {kind: data[start:end] for kind, start, end in chunks_of(data)}
        if not number:
            parts.append(chunk(b"IHDR", found[b"IHDR"]))
            parts.append(chunk(b"acTL", struct.pack(">II", len(frames), 0)))
        height, width = samples.shape[:2]
        control = struct.pack(">IIIIIHHBB", n, width, height, left, top, *delay, disposal, blending)
        parts.append(chunk(b"fcTL", control))
        n += 1
        if number:
            parts.append(chunk(b"fdAT", struct.pack(">I", n) + found[b"IDAT"]))
            n += 1
        else:
            parts.append(chunk(b"IDAT", found[b"IDAT"]))
    return b"".join([*parts, chunk(b"IEND", b"")])


def seconds(frames: list[Frame]) -> Fraction:
    return sum((frame.delay for frame in frames), Fraction(0))
