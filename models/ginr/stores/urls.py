"""URLs of files: which texts are some, and what they are made of."""

import re
from pathlib import Path
from urllib.request import url2pathname

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_LOCAL = re.compile(r"(?:file|local)://", re.IGNORECASE)
_SECRET = re.compile(r"(?<=://)[^/@]*:[^/@]*@")


def is_url(text: str) -> bool:
    """Whether a text names a file in a store, as s3://bucket/photo.jpg does."""
    return _URL.match(text) is not None and _LOCAL.match(text) is None


def as_path(text: str) -> str:
    """The path that a file:// URL names; any other text as it is."""
    found = _LOCAL.match(text)
    return url2pathname(text[found.end() :]) if found else text


def shown(url: str) -> str:
    """A URL without a password."""
    return _SECRET.sub("", url)


def parent_of(url: str) -> str:
    """The folder that a URL lies in, with a slash at its end."""
    start = _URL.match(url)
    end = url.rstrip("/").rfind("/")
    return url[: max(end + 1, start.end() if start else 0)]


def name_of(url: str) -> str:
    """The last part of a URL."""
    return url.rstrip("/").rpartition("/")[2]


def suffix_of(url: str) -> str:
    """Its suffix, in lower case, with the dot; empty if it has none."""
    return Path(name_of(url)).suffix.lower()


def joined(folder: str, *parts: str) -> str:
    """The URL of a file below a folder."""
    return "/".join([folder.rstrip("/") if not folder.endswith("://") else folder[:-1], *parts])
