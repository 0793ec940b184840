"""A video in spans, each decoded and encoded by itself, equals the video in one.

Run: pytest tests/videos/test_spans.py
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av", reason="videos need PyAV: pip install 'ginr[video]'")

from ginr.videos import Elsewhere, EncodedSpan, Encoding, Span, encode_span, write_video  # noqa: E402
from ginr.videos import encoder as encoders  # noqa: E402
from ginr.videos import spans as module  # noqa: E402

SIZE = 64, 96
LOSSLESS = Encoding("ffv1")


def film(path: Path, n_frames: int = 100, codec: str = "libx264", **options: str) -> Path:
    """A video of 48x32 pixels with frames that depend on others, and unequal times."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options={"g": "30", "bf": "3", **options})
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        y, x = np.mgrid[0:32, 0:48]
        for k in range(n_frames):
            rgb = np.stack([x * 5 + k, y * 7 + 2 * k, x + y + k], -1) % 256
            frame = av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = 40 * k + k % 3, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def twice(samples: Any) -> Any:
    return samples.repeat(2, 0).repeat(2, 1)


def frames(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as video:
        return [(f.time, f.to_ndarray(format="rgb24").tobytes()) for f in video.decode(video=0)]


def in_spans(source: Path, output: Path, n_before_fault: int = 99) -> list[Span]:
    """Write a video span by span; returns the spans."""
    given = list[Span]()

    def elsewhere(spans: list[Span]) -> Iterator[EncodedSpan]:
        for span in spans:
            if len(given) == n_before_fault:
                raise RuntimeError("a fault")
            given.append(span)
            yield encode_span(source, span, twice, SIZE, LOSSLESS, output)

    write_video(source, output, Elsewhere(twice, elsewhere), SIZE, LOSSLESS, {})
    return given


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (module, encoders):
        monkeypatch.setattr(place, "SEGMENT_FRAMES", 40)


@pytest.mark.parametrize(
    ("name", "options"), [("a.mp4", {}), ("a.mkv", {"x264-params": "open-gop=1"}), ("a.ts", {})]
)
def test_spans_join_to_the_video_in_one(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    source = film(tmp_path / name, **options)
    one, many = tmp_path / "one.mkv", tmp_path / "many.mkv"
    write_video(source, one, twice, SIZE, LOSSLESS, {})
    spans = in_spans(source, many)
    assert [span.n_frames for span in spans] == [40, 40, 20]
    assert frames(many) == frames(one) and len(frames(one)) == 100


def test_a_second_run_goes_on_after_the_spans_of_the_first(tmp_path: Path) -> None:
    source, output = film(tmp_path / "a.mp4"), tmp_path / "b.mkv"
    with pytest.raises(RuntimeError):
        in_spans(source, output, 1)
    assert not output.exists()
    assert len(in_spans(source, output)) == 2 and len(frames(output)) == 100


def test_damage_is_said(tmp_path: Path) -> None:
    source = film(tmp_path / "a.ts")
    data = bytearray(source.read_bytes())
    data[len(data) // 2 :] = data[len(data) * 2 // 3 :]
    source.write_bytes(data)
    plain = write_video(source, tmp_path / "one.mkv", twice, SIZE, LOSSLESS, {})

    def elsewhere(spans: list[Span]) -> Iterator[EncodedSpan]:
        for span in spans:
            yield encode_span(source, span, twice, SIZE, LOSSLESS, tmp_path / "many.mkv")

    split = write_video(
        source, tmp_path / "many.mkv", Elsewhere(twice, elsewhere), SIZE, LOSSLESS, {}
    )
    assert split.n_frames == plain.n_frames < 100 and split.notes == plain.notes
