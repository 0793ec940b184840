"""What the package loads and names: pytest tests/pictures/test_module.py"""

import subprocess
import sys

from ginr.pictures import READABLE, UNREADABLE, WRITABLE, codecs


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
