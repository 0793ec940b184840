"""Animations: GIF, APNG and WebP to whole frames and back, one frame in memory at a time.

A file is scanned to its pieces, what each frame draws, with delays and disposals, without decoding.
Pieces are decoded as stills and drawn on a canvas; frames are written as the boxes they change.
"""

from ginr.animations.pieces import Frame
from ginr.animations.reader import Animation, is_animated, open_animation, read_frames
from ginr.animations.writer import (
    ANIMATED,
    animation_format,
    animation_losses,
    check_animation,
    write_animation,
)

__all__ = [
    "ANIMATED",
    "Animation",
    "Frame",
    "animation_format",
    "animation_losses",
    "check_animation",
    "is_animated",
    "open_animation",
    "read_frames",
    "write_animation",
]
