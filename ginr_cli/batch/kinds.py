"""Kinds of files: animations and videos, whose frames are all enlarged, and what they become."""

from pathlib import Path
from typing import TYPE_CHECKING

from ginr.errors import PictureError, printable
from ginr_cli import console
from ginr_cli.files import Writing

if TYPE_CHECKING:
    from ginr.pictures import PictureHeader, ReadRules
    from ginr.videos import Encoding


def probe(path: Path, rules: "ReadRules | None" = None) -> "PictureHeader":
    """The header of a picture or a video. Raises PictureError."""
    from ginr.pictures import PictureHeader, ReadRules, probe_picture
    from ginr.videos import VIDEOS, open_video

    if path.suffix.lower() not in VIDEOS:
        return probe_picture(path, rules or ReadRules())
    video = open_video(path)
    return PictureHeader(
        video.height, video.width, 3, video.depth, "VIDEO", (), n_frames=video.n_frames,
        is_video=True, notes=video.notes, stated=video.made,
    )  # fmt: skip


def outputs() -> frozenset[str]:
    """Suffixes of everything that can be written."""
    from ginr.animations import ANIMATED
    from ginr.pictures import WRITABLE
    from ginr.videos import WRITABLE_VIDEOS

    return WRITABLE | ANIMATED | WRITABLE_VIDEOS


def own_suffix(source: Path, header: "PictureHeader") -> str | None:
    """The suffix of an animation's or a video's output, None for other pictures."""
    from ginr.animations import ANIMATED, is_animated
    from ginr.videos import WRITABLE_VIDEOS

    if header.is_video:
        return source.suffix if source.suffix.lower() in WRITABLE_VIDEOS else ".mp4"
    is_one = is_animated(header.format, header.n_frames)
    return source.suffix if is_one and source.suffix.lower() in ANIMATED else None


def video_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size (H, W) that a video gets: encoders need even sides."""
    return size[0] // 2 * 2, size[1] // 2 * 2


def encoding_of(writing: Writing) -> "Encoding":
    """How a video is encoded."""
    from ginr.videos import Encoding

    return Encoding(writing.codec, writing.quality, dict(writing.encoder_options))


def frames_to_enlarge(
    source: Path,
    header: "PictureHeader",
    rules: "ReadRules",
    output: Path,
    size: tuple[int, int],
    writing: Writing,
) -> int:
    """The number of frames to write at `size` (H, W); 0 for a picture.

    Raises PictureError for what cannot be written, or only as an animation.
    """
    from ginr.animations import ANIMATED, check_animation, is_animated, open_animation
    from ginr.pictures import WRITABLE
    from ginr.videos import WRITABLE_VIDEOS, check_video

    suffix = output.suffix.lower()
    if header.is_video:
        even, overwrite = video_size(size), writing.overwrite
        check_video(output, *even, header.depth, encoding_of(writing), overwrite=overwrite)
        if even != size:
            console.say(
                f"{printable(output)}: videos need even sides: {size[1]}x{size[0]} is cut to "
                f"{even[1]}x{even[0]}"
            )
        return header.n_frames
    if is_animated(header.format, header.n_frames) and suffix in ANIMATED:
        check_animation(output, *size, overwrite=writing.overwrite, quality=writing.quality)
        return len(open_animation(source, rules).delays)
    if suffix in (ANIMATED | WRITABLE_VIDEOS) - WRITABLE:
        kind = "a video" if suffix in WRITABLE_VIDEOS else "an animation"
        raise PictureError(
            f"{printable(output)}: only {kind} can be written as {suffix}, and "
            f"{printable(source)} is not: use .png"
        )
    return 0
