"""A picture file before decoding: its header, its metadata and its faults."""

import struct
from contextlib import suppress
from dataclasses import dataclass, field

from ginr.errors import printable
from ginr.pictures import colour, exif, xmp

GAIN_MAP = "gain map (HDR) left out"
MOTION = "the video of a motion photo is left out"
DAMAGED_EXIF = "damaged EXIF block dropped"
_DROPPED_EXIF = "damaged EXIF entries dropped"


@dataclass
class OpenedFile:
    """Header and metadata of a file; sizes are as stored."""

    format: str
    height: int
    width: int
    channels: int
    depth: int
    turn: int = 1
    """EXIF orientation, to be applied to the decoded samples."""
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    cicp: colour.Cicp | None = None
    jpeg_quality: int | None = None
    text: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What is damaged or missing, but does not concern the samples."""
    slowness: int = 1
    """How many times slower the decoder is than others."""
    n_frames: int = 1
    pages: tuple[tuple[int, int], ...] = ()
    """Upright sizes (H, W) of the pages of a TIFF."""

    def add_exif(self, block: bytes | None) -> None:
        """Takes an EXIF block, or what is valid in it."""
        if not block:
            return
        try:
            self.exif, whole = exif.sound_exif(block)
            self.turn = exif.exif_orientation(self.exif)
        except (ValueError, struct.error):
            self.exif = None
            self.faults.append(DAMAGED_EXIF)
        else:
            if not whole:
                self.faults.append(_DROPPED_EXIF)

    def add_xmp(self, packet: bytes | None) -> None:
        """Takes an XMP packet, less what describes parts that are not read."""
        packet = packet and packet.rstrip(b"\0")
        if not packet:
            return
        if not xmp.is_xmp(packet):
            self.faults.append("XMP packet dropped: it is not UTF-8 text")
            return
        if xmp.has_gain_map(packet):
            packet = xmp.without(packet, xmp.GAIN_MAP)
            self.note_once(GAIN_MAP)
        if xmp.has_motion(packet):
            packet = xmp.without(packet, xmp.MOTION)
            self.note_once(MOTION)
        self.xmp = packet

    def add_comment(self, comment: bytes) -> None:
        """Takes a comment, in UTF-8 or Latin-1."""
        try:
            words = comment.decode("utf-8")
        except UnicodeDecodeError:
            words = comment.decode("latin-1")
        self.add_text("Comment", words)

    def add_text(self, keyword: str, words: str) -> None:
        """Takes a text, which PNG must be able to hold."""
        words = words.rstrip("\0")
        with suppress(UnicodeEncodeError):
            if 0 < len(keyword.strip().encode("latin-1")) <= 79 and "\0" not in words:
                self.text.append((keyword, words))
                return
        self.faults.append(
            f"text {printable(keyword[:40])!r} dropped: its characters are not valid"
        )

    def set_cicp(self, cicp: colour.Cicp) -> None:
        """Takes a colour space given by numbers, which goes before the ICC profile."""
        label = colour.name_of(cicp)
        if self.icc is not None:
            self.notes.append(f"ICC profile dropped: cICP, which goes before it, says {label}")
            self.icc = None
        if colour.is_hdr(cicp):
            self.cicp = (*cicp[:2], 0, 1)  # decoders make full-range RGB
        elif not colour.is_srgb(cicp):
            self.icc = colour.profile_of_cicp(cicp)
            what = "carried as an ICC profile" if self.icc else "dropped: read as sRGB"
            self.notes.append(f"colour space {label} {what}")

    def check_icc(self) -> None:
        """Drops a profile that readers refuse, or one of another colour model."""
        if self.icc is None:
            return
        space = colour.icc_space(self.icc)
        if not colour.is_sound_icc(self.icc):
            self.faults.append("damaged ICC profile dropped")
        elif space not in (("GRAY", "RGB") if self.channels < 3 else ("RGB", "CMYK")):
            kind = "grey" if self.channels < 3 else "RGB"
            self.notes.append(f"ICC profile dropped: it is for {space}, and the picture is {kind}")
        else:
            return
        self.icc = None

    def note_once(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)

    def note_frames(self, n_frames: int) -> None:
        self.n_frames = n_frames
        if n_frames > 1:
            self.notes.append(f"only the first of {n_frames} frames is read")
