"""Which pictures to read: given ones, those in folders, and results of earlier runs among them."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import NamedTuple

from ginr.errors import PictureError, printable, visible
from ginr_cli.batch.kinds import probe
from ginr_cli.console import UsageError, count, say

# A stem with a label of `ViewRule.label`: photo_x3.7, photo_x2x3, photo_1920x1080_box0,0,64,48.
_LABELLED = re.compile(r"(.+)_(?:x[\d.]+(?:x[\d.]+)?|\d+x\d+)(?:_box\d+,\d+,\d+,\d+)?")


@dataclass(frozen=True)
class Source:
    """A picture to read, and the input folder it was found in, if any."""

    path: Path
    folder: Path | None = None


EARLIER = "result of an earlier run"
VIDEO = "video in a folder: name it to enlarge it"


def ignore(path: Path, reason: str) -> None:
    """Says nothing of an input that is left out."""


def expanded(paths: list[str], leave_out: Callable[[Path, str], None] = ignore) -> list[Path]:
    """The inputs that paths, quoted patterns such as *.jpg and lists such as @list.txt name.

    A file with exactly that name takes precedence. Results of earlier runs are left out if their originals
    are named too, as by *.jpg: `leave_out` is called for each. Raises `UsageError` for a pattern or a list
    without inputs.
    """
    found: list[Path] = []
    for path in paths:
        if os.path.lexists(path):
            found.append(Path(path))
        elif is_list(path):
            found += _listed(path)
        elif names_inputs(path):
            matches = sorted(glob(path, recursive=True))
            if not matches:
                raise UsageError(f"{path}: no file matches: check the pattern")
            found += map(Path, matches)
        else:
            found.append(Path(path))
    if len(found) < 2:
        return found
    results = _results_among([path for path in found if os.path.isfile(path)])
    if results:
        say(
            f"skipped {count(len(results), 'output')} of earlier runs: name one alone to enlarge it, "
            "or with -o to replace it"
        )
    for result in sorted(results):
        leave_out(result, EARLIER)
    return [path for path in found if path not in results]


def names_inputs(path: str) -> bool:
    """Whether a path that may be an output is a list or a pattern; one with [ alone must match."""
    if path.startswith("@"):
        return True
    return not os.path.lexists(path) and ("*" in path or "?" in path or bool(glob(path)))


def names_several(paths: list[str]) -> bool:
    """Whether paths may stand for several files: more than one, a folder, a pattern or a list."""
    first = paths[0]
    is_several = os.path.isdir(first) or (not os.path.lexists(first) and names_inputs(first))
    return len(paths) > 1 or is_several


def names_urls(paths: list[str], output: str | None) -> bool:
    """Whether URLs are among the paths of a command line, or lead a list."""
    from ginr.stores.urls import is_url

    firsts = [next(lines_of(path), "") if is_list(path) else path for path in paths]
    return any(is_url(path) for path in (*firsts, output or ""))


def is_list(path: str) -> bool:
    """Whether a path names a text file of paths, as @list.txt does."""
    return path.startswith("@") and not os.path.lexists(path)


def lines_of(path: str) -> Iterator[str]:
    """The paths in the text file that @list.txt names, one per line, as they are needed; empty lines are left out."""
    try:
        with open(path[1:], encoding="utf-8-sig", errors="surrogateescape") as file:
            for line in file:
                yield from filter(None, map(str.strip, line.splitlines()))
    except OSError as error:
        raise UsageError(f"{path}: the list cannot be read: {error.strerror}") from None


def _listed(name: str) -> list[Path]:
    paths = [Path(line) for line in lines_of(name)]
    if not paths:
        raise UsageError(f"{name}: the list is empty: write one path per line")
    if zero := next((path for path in paths if "\0" in str(path)), None):
        raise UsageError(f"{name}: {zero} is not a path: write one path per line, as text")
    return paths


def find_sources(
    inputs: list[Path],
    place: Path | None,
    fail: Callable[[Path, Exception], None],
    skip: Callable[[Path, str], None] = lambda path, reason: say(f"{printable(path)}: {reason}"),
    leave_out: Callable[[Path, str], None] = ignore,
) -> Iterator[Source]:
    """Every given picture and every picture in a given folder, each once, folders sorted by name.

    `place` is where outputs go, None for next to the inputs. Skips hidden files, the output folder
    and results of earlier runs: pictures whose metadata say that they were made from another one in the
    folder and, if outputs go next to the inputs, those whose names say so. In folders, calls `fail` if they
    are unreadable or empty, `skip` for pictures of unsupported kinds, and `leave_out` for results and videos.
    """
    from ginr.pictures import READABLE, why_unreadable

    n_failed = 0

    def refused(error: OSError) -> None:
        nonlocal n_failed
        n_failed += 1
        fail(Path(os.fsdecode(error.filename)), error)

    seen: set[str] = set()
    for given in inputs:
        if not os.path.isdir(given):  # Path.is_dir may raise
            found = [Source(given)]
        else:
            n_failed, found = 0, []
            pictures = _walk(given, place, refused, leave_out)
            for path in pictures:
                if path.suffix.lower() in READABLE:
                    found.append(Source(path, given))
                else:
                    skip(path, why_unreadable(path))
            if not pictures and not n_failed:
                known = ", ".join(sorted(READABLE))
                fail(
                    given,
                    PictureError(f"{printable(given)} contains no pictures; supported are {known}"),
                )
        for source in found:
            full = os.path.abspath(source.path)
            if full not in seen:
                seen.add(full)
                yield source


class Contents(NamedTuple):
    """What a folder holds: pictures, also of unsupported kinds, and what is left out."""

    pictures: list[Path]
    earlier: list[Path]
    """Results of earlier runs."""
    videos: list[Path]
    links: list[Path]
    """To folders, which may lead back."""


def contents_of(
    folder: Path, place: Path | None, refused: Callable[[OSError], None] = lambda error: None
) -> Contents:
    """What a folder and its subfolders hold, sorted by name; `place` is as for `find_sources`."""
    from ginr.pictures import READABLE, UNREADABLE
    from ginr.videos import VIDEOS

    known = READABLE | UNREADABLE
    found = Contents([], [], [], [])
    for parent, folders, files in os.walk(folder, onerror=refused):
        here = Path(parent)
        found.links.extend(here / name for name in sorted(folders) if (here / name).is_symlink())
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not _is_same(here / name, place)
        )
        pictures = sorted(
            name
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in known
        )
        videos = sorted(name for name in files if Path(name).suffix.lower() in VIDEOS)
        found.videos.extend(here / name for name in videos)
        stems = {*pictures, *(Path(name).stem for name in pictures)}
        for name in pictures:
            labelled = _LABELLED.fullmatch(Path(name).stem)
            is_earlier = place is None and labelled is not None and labelled[1] in stems
            (found.earlier if is_earlier else found.pictures).append(here / name)
    results = _results_among(found.pictures)
    found.earlier.extend(sorted(results))
    return found._replace(pictures=[path for path in found.pictures if path not in results])


def _walk(
    folder: Path,
    place: Path | None,
    refused: Callable[[OSError], None],
    leave_out: Callable[[Path, str], None],
) -> list[Path]:
    """The pictures in a folder; says what is left out."""
    found, name = contents_of(folder, place, refused), printable(folder)
    for path in found.links:
        say(f"{printable(path)}: symbolic link to a folder, not followed")
    if found.videos:
        say(f"{name}: {count(len(found.videos), 'video')} left out: name each to enlarge it")
    if found.earlier:
        say(f"{name}: skipped {count(len(found.earlier), 'output')} of earlier runs")
    for path in found.videos:
        leave_out(path, VIDEO)
    for path in found.earlier:
        leave_out(path, EARLIER)
    return found.pictures


def _results_among(pictures: list[Path]) -> set[Path]:
    """Pictures whose metadata say that they were made from another of them, which is an original."""
    made_from: dict[Path, str] = {}
    for path in pictures:
        with suppress(PictureError):  # what cannot be read is reported later
            if name := probe(path).made.get("source"):
                made_from[path] = name
    originals = {visible(path.name) for path in pictures if path not in made_from}
    return {path for path, name in made_from.items() if name in originals}


def _is_same(folder: Path, place: Path | None) -> bool:
    return place is not None and place.is_dir() and folder.samefile(place)
