"""Which pictures to read and which to write, from names and headers, before any work."""

import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ginr_cli.console import UsageError, count, printable, say
from ginr_cli.files import Writing, refuse_own_input

if TYPE_CHECKING:
    from ginr.geometry.view import View, ViewRule
    from ginr.pictures import ReadRules

# A stem with a label of `ViewRule.label`: photo_x3.7, photo_x2x3, photo_1920x1080_box0,0,64,48.
_LABELLED = re.compile(r"(.+)_(?:x[\d.]+(?:x[\d.]+)?|\d+x\d+)(?:_box\d+,\d+,\d+,\d+)?")


@dataclass(frozen=True)
class Source:
    """A picture to read, and the input folder it was found in, if any."""

    path: Path
    folder: Path | None = None


Identity = tuple[int, int]
"""Device and number of a file, whatever its name."""


def identity(path: Path) -> Identity | None:
    """The file that a path leads to, None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@dataclass(frozen=True)
class Job:
    """A picture to enlarge; sizes are (H, W). `done`: the output exists already."""

    source: Path
    output: Path
    size: tuple[int, int]
    view: "View"
    rules: "ReadRules"
    done: bool = False
    pages: tuple["View", ...] = ()
    """One for each page, if there are several and the output can hold them."""

    @property
    def out_size(self) -> tuple[int, int]:
        """H, W of the output, which may be a part of the whole render."""
        return self.view.size

    @property
    def out_px(self) -> int:
        """Output pixels, the unit of progress."""
        return sum(view.size[0] * view.size[1] for view in self.pages or (self.view,))


@dataclass(frozen=True)
class Destination:
    """Where outputs go: a file, a folder, or None for next to each input."""

    path: Path | None
    is_folder: bool = False
    made: list[Path] = field(default_factory=list)
    """Folders created for outputs."""

    def make(self, folder: Path) -> None:
        """Create a folder for outputs, and its parents. Raises OSError."""
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self.made.extend(reversed(missing))

    def tidy(self) -> None:
        """Remove created folders that are still empty."""
        for folder in reversed(self.made):
            with suppress(OSError):
                folder.rmdir()


def split_paths(
    paths: list[str], output: str | None, *, overwrite: bool
) -> tuple[list[Path], Destination]:
    """The inputs, and where the outputs go.

    As with `cp`, the second of exactly two paths is the output if `output` is None, and a
    trailing slash means a folder. A file that exists is an input, however, since `*.jpg` may be
    two pictures. Raises `UsageError` if the output could be a file or a folder, if several
    pictures would go into one file, or if only -o may say that files in a folder are replaced.
    """
    from ginr.pictures import WRITABLE

    if output is None and len(paths) == 2:
        first, second = paths
        if os.path.isfile(second):
            name = printable(Path(second))
            say(f"{name} exists, so it is an input too: to replace it, name it with -o")
        elif overwrite and os.path.isdir(second):
            raise UsageError(f"--overwrite replaces files in a folder only with -o: -o {second}")
        else:
            paths, output = [first], second
    if "" in (*paths, output):
        raise UsageError("empty path: write . for the current folder")
    inputs = [Path(path) for path in paths]
    if output is None:
        return inputs, Destination(None)
    path, several = Path(output), len(inputs) > 1 or os.path.isdir(inputs[0])
    slash = output.endswith(("/", os.sep))
    if os.path.isdir(path) or slash:
        return inputs, Destination(path, is_folder=True)
    if several and (os.path.exists(path) or path.suffix.lower() in WRITABLE):
        raise UsageError(f"{path} is a single file, but there are several inputs: give a folder")
    if not several and not path.suffix:
        raise UsageError(
            f"{path} has no suffix: write {path}.png for a picture, {path}/ for a folder"
        )
    return inputs, Destination(path, is_folder=several)


def find_sources(
    inputs: list[Path],
    destination: Destination,
    fail: Callable[[Path, Exception], None],
    skip: Callable[[Path, str], None] = lambda path, reason: say(f"{printable(path)}: {reason}"),
) -> Iterator[Source]:
    """Every given picture and every picture in a given folder, each once, folders sorted by name.

    Skips hidden files, the output folder and, if outputs go next to the inputs, outputs of
    earlier runs (photo_x2.png next to photo.png). Calls `fail` for unreadable and empty folders,
    and `skip` for pictures in folders whose kind cannot be read.
    """
    from ginr.errors import PictureError
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
            pictures = _walk(given, destination, refused)
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
            place = os.path.abspath(source.path)
            if place not in seen:
                seen.add(place)
                yield source


def plan(
    source: Source,
    wanted: "ViewRule",
    destination: Destination,
    writing: Writing,
    inputs: Collection[Identity],
    rules: "ReadRules",
    *,
    batch: bool,
) -> Job:
    """The job for one picture, from its header.

    In a batch, an existing output of the requested size counts as done; none of the `inputs` is
    ever overwritten. Raises `GinrError` for a picture that cannot be read, enlarged or written.
    """
    from ginr.errors import PictureError
    from ginr.pictures import check_target, check_whole, probe_picture
    from ginr.pictures.formats import output_format

    header = probe_picture(source.path, rules)
    size = header.height, header.width
    view = wanted.resolve(*size)
    output = _output(source, destination, wanted.label(*size), writing.suffix)
    name = printable(output)
    refuse_own_input(source.path, output)
    if batch and os.path.isfile(output) and not writing.overwrite:
        there = probe_picture(output)
        if (there.height, there.width) == view.size:
            check_whole(output)
            return Job(source.path, output, size, view, rules, done=True)
        raise PictureError(
            f"{name} already exists with {there.width}x{there.height} pixels, not "
            f"{view.size[1]}x{view.size[0]}: add --overwrite to replace it"
        )
    if identity(output) in inputs:
        raise PictureError(
            f"{name} is an input too: leave it out, or choose another output for "
            f"{printable(source.path)}"
        )
    if destination.is_folder:
        try:
            destination.make(output.parent)
        except OSError as error:
            raise PictureError(
                f"{printable(output.parent)} cannot be created ({error.strerror}): "
                "choose another output folder"
            ) from None
    check_target(
        output,
        *view.size,
        overwrite=writing.overwrite,
        quality=writing.quality,
        channels=header.channels,
        depth=header.depth,
    )
    pages: tuple[View, ...] = ()
    if len(header.pages) > 1 and output_format(output).name == "TIFF":
        pages = tuple(wanted.resolve(*page) for page in header.pages)
    return Job(source.path, output, size, view, rules, pages=pages)


def _walk(folder: Path, destination: Destination, refused: Callable[[OSError], None]) -> list[Path]:
    from ginr.pictures import READABLE, UNREADABLE

    known = READABLE | UNREADABLE
    found: list[Path] = []
    n_earlier = 0
    for place, folders, files in os.walk(folder, onerror=refused):
        here = Path(place)
        for name in sorted(folders):
            if (here / name).is_symlink():  # may lead back here
                say(f"{printable(here / name)}: symbolic link to a folder, not followed")
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not _is_destination(here / name, destination)
        )
        pictures = sorted(
            name
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in known
        )
        stems = {Path(name).stem for name in pictures}
        for name in pictures:
            labelled = _LABELLED.fullmatch(Path(name).stem)
            if destination.path is None and labelled is not None and labelled[1] in stems:
                n_earlier += 1
            else:
                found.append(here / name)
    if n_earlier:
        say(f"{printable(folder)}: skipped {count(n_earlier, 'output')} of earlier runs")
    return found


def _is_destination(folder: Path, destination: Destination) -> bool:
    path = destination.path
    return path is not None and path.is_dir() and folder.samefile(path)


def _output(source: Source, destination: Destination, label: str, suffix: str | None) -> Path:
    from ginr.pictures import WRITABLE

    own = source.path.suffix
    suffix = suffix or (own if own.lower() in WRITABLE else ".png")
    if destination.path is None:
        return source.path.with_name(f"{source.path.stem}_{label}{suffix}")
    if not destination.is_folder:
        return destination.path
    inside = source.path.relative_to(source.folder) if source.folder else Path(source.path.name)
    return destination.path / inside.with_suffix(suffix)
