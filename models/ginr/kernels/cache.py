"""Where compiled kernels are cached on disk."""

import os
import stat
import sys
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

from numba.core import config

from ginr.kernels.target import CHECKED, CPU, FEATURES


def compiles() -> str:
    """How often kernels are compiled, which takes half a minute; empty if they are cached."""
    place = cache_place()
    if not place:
        return "on every run, as no cache folder is writable"
    return "" if any(Path(place).rglob("mixer.mix-*.nbi")) else "the first time only"


@cache
def cache_place() -> str:
    """The cache folder, under NUMBA_CACHE_DIR if that is set; empty if no folder is writable.

    Numba recompiles a kernel when its own file changes. The folder's name is a hash of everything else
    a kernel depends on: the package's other files, the processor, and whether accesses are checked.
    """
    here = Path(__file__).parent
    sources = [here.parent / "architecture" / "limits.py", *sorted(here.glob("*.py"))]
    target = repr((CPU, FEATURES, CHECKED)).encode()
    name = sha256(target + b"".join(source.read_bytes() for source in sources)).hexdigest()
    own = (_user_cache(), _private_temporary())
    for parent in (Path(config.CACHE_DIR),) if config.CACHE_DIR else own:
        if parent is not None:
            folder = parent / "ginr" / "numba" / name[:16]
            try:
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError:
                continue
            return str(folder)
    return ""


def _user_cache() -> Path | None:
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no home folder
        return None


def _private_temporary() -> Path | None:
    """A temporary folder that only this user can write to, since its contents are executed."""
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
