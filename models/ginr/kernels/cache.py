"""Where compiled loops are kept on disk for the next run."""

import os
import stat
import sys
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

from numba.core import config


def compiles() -> str:
    """How often kernels are compiled, which takes half a minute; empty if they are on the disk."""
    place = cache_place()
    if not place:
        return "each time, with no folder to keep it in"
    return "" if any(Path(place).rglob("mixer.mix-*.nbi")) else "the first time only"


def cache_place() -> str:
    return config.CACHE_DIR or str(_folder() or "")


@cache
def _folder() -> Path | None:
    """Where compiled loops are kept, None if nowhere is ours.

    Numba compiles a kernel anew when its own file has changed; what kernels are made of, each other's
    files, has its part in the folder's name.
    """
    here = Path(__file__).parent
    sources = [here.parent / "architecture" / "limits.py", *sorted(here.glob("*.py"))]
    name = sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    for parent in (_user_cache(), _private_temporary()):
        if parent is not None:
            folder = parent / "ginr" / "numba" / name[:16]
            try:
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError:
                continue
            return folder
    return None


def _user_cache() -> Path | None:
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no home
        return None


def _private_temporary() -> Path | None:
    """A folder under the temporary one that nobody else can write to: what is in it will be run."""
    if os.name != "posix":
        return None
    folder = Path(tempfile.gettempdir(), f"ginr-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return folder if own and not found.st_mode & 0o077 else None
