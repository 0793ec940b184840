"""Videos: decoded to frames, and encoded from frames; other streams are copied.

PyAV does all of it, since its wheels bundle FFmpeg's libraries: packets are copied and time stamps kept
as they are, which a pipe to the program FFmpeg does not allow.
"""

from ginr.videos.from_frames import write_frames
from ginr.videos.reader import VIDEOS, Video, open_video, sample_frame, suffix_of
from ginr.videos.segments import WORK
from ginr.videos.spans import EncodedSpan, Span, encode_span
from ginr.videos.transcoding import Elsewhere, write_video
from ginr.videos.writer import WRITABLE_VIDEOS, Encoding, check_video

__all__ = [
    "VIDEOS",
    "WORK",
    "WRITABLE_VIDEOS",
    "Elsewhere",
    "EncodedSpan",
    "Encoding",
    "Span",
    "Video",
    "check_video",
    "encode_span",
    "open_video",
    "sample_frame",
    "suffix_of",
    "write_frames",
    "write_video",
]
