"""Shared by the tests of pictures: samples, metadata and hand-made PNG files."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:Description tiff:Orientation="6" dc:title="caf\xc3\xa9"/></x:xmpmeta><?xpacket end="w"?>'
)
PROFILE_OF_GREY = SRGB[:16] + b"GRAY" + SRGB[20:]


def random_samples(height, width, channels, depth=8, seed=0):
    kind = np.uint8 if depth == 8 else np.uint16
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**depth, (height, width, channels), dtype=kind)


def exif_block(orientation=1, order="<"):
    exif = Image.Exif()
    exif.endian = order
    exif[0x10F], exif[0x110], exif[0x132] = "Maker", "Model 5", "2024:05:06 07:08:09"
    exif[0x112] = orientation
    exif[0x8769] = {0x9003: "2024:05:06 07:08:09", 0xA002: 40, 0xA003: 30, 0x829A: 0.01}
    exif[0x8825] = {1: "N", 2: (50.0, 5.0, 0.5)}
    return exif.tobytes()[6:]


def parsed(exif):
    block = Image.Exif()
    block.load(exif)
    return block


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(samples, colour, depth, extra=b"", end=True):
    """A PNG of big-endian sample rows with chunks before them, for what encoders here do not write."""
    height, width = samples.shape[:2]
    stored = samples.astype(">u2") if depth == 16 else samples
    rows = b"".join(b"\0" + row.tobytes() for row in stored)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    tail = png_chunk(b"IEND", b"") if end else b""
    return b"\x89PNG\r\n\x1a\n" + head + extra + png_chunk(b"IDAT", zlib.compress(rows)) + tail


def leftovers(folder):
    return [path for path in folder.iterdir() if path.name.startswith(".ginr")]


class FailingFile(io.RawIOBase):
    """A file that raises after some bytes."""

    def __init__(self, file, failure):
        self.file, self.failure, self.left = file, failure, 2000

    def writable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.file.tell()

    def seek(self, *where):
        return self.file.seek(*where)

    def close(self):
        self.file.close()
        super().close()

    def write(self, data):
        self.left -= len(data)
        if self.left < 0:
            raise self.failure
        return self.file.write(data)


def fail_new_files(monkeypatch, replaced):
    """Passes newly created files, as all outputs are, through `replaced`."""
    opened = Path.open

    def failing(self, mode="r", *rest, **more):
        file = opened(self, mode, *rest, **more)
        return replaced(file) if mode == "xb" else file

    monkeypatch.setattr(Path, "open", failing)


def full_disk(file):
    """A file on a full disk in place of another."""
    file.close()
    return open("/dev/full", "wb")
