"""The folder in which a system keeps what programs can make or fetch again."""

import errno
import os
import sys
from pathlib import Path


def user_cache() -> Path:
    """The user's cache folder, which need not exist. Raises OSError without a home folder."""
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches"
        named = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return named if named.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        raise OSError(errno.ENOENT, "there is no home folder: set HOME") from None
