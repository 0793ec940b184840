"""Small videos for tests, and what is in a video."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

TICK = Fraction(1, 1000)


def clip(
    path: str, times: list[int] | None = None, *, size: tuple[int, int] = (48, 64), codec: str = "libx264",
    pixels: str = "yuv420p", audio: str | None = "aac", still: bool = False, rotation: int = 0,
    subtitles: str | None = None, crf: str = "12",
) -> Path:  # fmt: skip
    """A video of frames at `times` (ms) with BT.709 tags and an odd aspect ratio of pixels."""
    import av

    times = list(range(0, 480, 40)) if times is None else times
    with av.open(path, "w") as out:
        video = out.add_stream(codec, rate=25)
        video.height, video.width = size
        video.pix_fmt = pixels
        context = video.codec_context
        context.time_base, context.options = TICK, {"crf": crf, "x265-params": "log-level=none"}
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        context.sample_aspect_ratio = Fraction(4, 3)
        if rotation:
            video.set_display_rotation(rotation)
        sound = out.add_stream(audio, rate=44100) if audio else None
        words = None
        if subtitles:
            source = av.open(subtitles)
            words = out.add_stream_from_template(source.streams.subtitles[0])
        out.metadata["title"] = "a clip"
        y, x = np.mgrid[0 : size[0], 0 : size[1]]
        base = np.stack([x * 3 % 256, y * 4 % 256, (x + y) * 2 % 256], -1).astype(np.uint8)
        for k, time in enumerate(times):
            rgb = base if still else np.roll(base, 2 * k, 1)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=1, interpolation=0x42004)
            frame.pts, frame.time_base = time, TICK
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound is not None:
            for k in range(21):
                wave = np.sin(np.arange(1024) / 9 + k)[None].astype(np.float32) / 3
                tone = av.AudioFrame.from_ndarray(
                    np.repeat(wave, 2, 0), format="fltp", layout="stereo"
                )
                tone.sample_rate, tone.pts, tone.time_base = 44100, 1024 * k, Fraction(1, 44100)
                out.mux(sound.encode(tone))
            out.mux(sound.encode(None))
        if words is not None:
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = words
                    out.mux(packet)
    return Path(path)


def contents(path: str) -> dict[str, Any]:
    """Times, frames and tags of the video, and the packets of the rest."""
    import av

    with av.open(path) as file:
        video = file.streams.video[0]
        context, frames = video.codec_context, list(file.decode(video))
        tags = [int(getattr(context, f"color_{part}")) for part in ("primaries", "trc", "range")]
        found = {
            "times": [round(float(frame.time), 3) for frame in frames],
            "size": (context.width, context.height),
            "codec": (context.name, context.pix_fmt),
            "tags": [*tags, int(context.colorspace)],
            "ratio": video.sample_aspect_ratio,
            "rotation": frames[0].rotation,
            "title": file.metadata.get("title"),
            "rgb": [
                frame.to_ndarray(format="rgb24", interpolation=0x42004).astype(float)
                for frame in frames
            ],
        }
    with av.open(path) as file:
        others = [s for s in file.streams if s.type != "video"]
        found["others"] = [(s.type, s.codec_context.name) for s in others]
        found["packets"] = [bytes(p) for p in file.demux(others) if p.dts is not None]
    return found
