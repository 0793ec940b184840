"""What the package loads and names: pytest tests/pictures/test_module.py"""

import subprocess
import sys

import numpy as np
import pytest

from ginr.errors import PictureError
from ginr.pictures import (
    READABLE,
    UNREADABLE,
    WRITABLE,
    Picture,
    codecs,
    probe_picture,
    read_picture,
    write_picture,
)


def test_importing_loads_no_heavy_library():
    code = (
        "import sys, ginr.pictures\n"
        "print([m for m in ('torch', 'PIL.Image', 'pyvips') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_codecs_name_every_format():
    table = codecs()
    names = {"PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF", "GIF", "HEIC", "JPEG2000", "JXL"}
    assert set(table) == names
    assert "8 and 16 bit" in table["PNG"] and "libvips" in table["TIFF"]
    only_read = {".apng", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jpf", ".jpx"}
    assert WRITABLE < READABLE <= WRITABLE | only_read
    assert not READABLE & UNREADABLE and {".heic", ".jxl", ".dng"} <= READABLE | UNREADABLE


def test_a_path_may_be_text(tmp_path):
    name, samples = str(tmp_path / "a.png"), np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    write_picture(Picture(samples), name)
    assert probe_picture(name).width == 2
    np.testing.assert_array_equal(read_picture(name).samples, samples)


@pytest.mark.parametrize("url", ["s3://photos/a.png", "file:///tmp/a.png"])
def test_a_url_is_named_as_such(url):
    with pytest.raises(PictureError, match="does not exist: only the command ginr upscale reads"):
        read_picture(url)
