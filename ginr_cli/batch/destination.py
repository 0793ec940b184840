"""Where outputs go and what they are called."""

import os
import string
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ginr.errors import printable
from ginr_cli.batch.kinds import outputs
from ginr_cli.batch.sources import Source, expanded, ignore, names_inputs, names_several
from ginr_cli.console import UsageError, say
from ginr_cli.files import Writing

FIELDS = ("name", "folder", "label", "width", "height")
"""The fields of a template for output names, as in `-o "large/{name}_{width}x{height}.webp"`."""


def is_there(output: Path) -> bool:
    """An existing output on this machine is read as it is."""
    return True


@dataclass(frozen=True)
class Destination:
    """Where outputs go: a file, a folder, names by a template, or None for next to each input."""

    path: Path | None
    is_folder: bool = False
    template: str | None = None
    made: list[Path] = field(default_factory=list)
    """Folders created for outputs."""
    spelled_out: frozenset[Path] = frozenset()
    """Inputs whose outputs keep the whole name, as in logo.gif.png, next to that of logo.png."""
    bring: Callable[[Path], bool] = is_there
    """Called with an output before anything else; False if only the start of an existing one is read."""

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

    def telling_apart(self, sources: Iterable[Source], writing: Writing) -> "Destination":
        """The same with different names for inputs that differ in their suffix only."""
        groups: dict[Path, list[Path]] = defaultdict(list)
        for source in sources:
            output = self.output(source, writing, "", (0, 0))
            groups[output.with_name(output.name.casefold())].append(source.path)
        spelled_out = {
            path
            for output, paths in groups.items()
            if len(paths) > 1
            for path in paths
            if path.suffix.casefold() != output.suffix
        }
        return replace(self, spelled_out=frozenset(spelled_out))

    def output(self, source: Source, writing: Writing, label: str, size: tuple[int, int]) -> Path:
        """The output of an input, enlarged to a size (H, W) that the label describes."""
        from ginr.pictures import WRITABLE

        own = source.path.suffix
        suffix = writing.suffix or (own if own.lower() in WRITABLE else ".png")
        is_changed = suffix.casefold() != own.casefold()  # not that of an animated GIF
        is_spelled_out = is_changed and source.path in self.spelled_out
        stem = source.path.name if is_spelled_out else source.path.stem
        inside = source.path.relative_to(source.folder) if source.folder else Path(source.path.name)
        if self.template is not None:
            path = Path(
                self.template.format(
                    name=stem, folder=str(inside.parent), label=label, width=size[1], height=size[0]
                )
            )
            return path if path.suffix.lower() in outputs() else Path(f"{path}{suffix}")
        if self.path is None:
            label = f"_{label}" if writing.label is None else writing.label
            return source.path.with_name(f"{stem}{label}{suffix}")
        if not self.is_folder:
            return self.path
        return self.path / inside.with_name(f"{stem}{writing.label or ''}{suffix}")


def split_paths(
    paths: list[str],
    output: str | None,
    *,
    overwrite: bool,
    leave_out: Callable[[Path, str], None] = ignore,
) -> tuple[list[Path], Destination, bool]:
    """The inputs, where the outputs go, and whether outputs that exist count as done.

    As with `cp`, the second of exactly two paths is the output if `output` is None, and a
    trailing slash means a folder. A file that exists is an input, however, since `*.jpg` may be
    two pictures. Raises `UsageError` if the output could be a file or a folder, if several
    pictures would go into one file, or if only -o may say that files in a folder are replaced.
    """
    if output is None and len(paths) == 2:
        first, second = paths
        if overwrite and os.path.isdir(second):
            raise UsageError(f"--overwrite replaces files in a folder only with -o: -o {second}")
        if not (os.path.isfile(second) or names_inputs(second)):
            paths, output = [first], second
    if "" in (*paths, output):
        raise UsageError("empty path: write . for the current folder")
    inputs, batch = expanded(paths, leave_out), names_several(paths)
    if output is None:
        # Not one that is left out, as a result.
        if len(paths) == 2 and os.path.isfile(paths[1]) and Path(paths[1]) in inputs:
            name = printable(inputs[-1])
            say(f"{name} exists, so it is an input too: to replace it, name it with -o")
        return inputs, Destination(None), batch
    several = len(inputs) > 1 or os.path.isdir(inputs[0])
    destination = destination_of(output, several)
    return inputs, destination, batch if destination.is_folder else several


def destination_of(output: str, several: bool) -> Destination:
    """Where an output goes, or `several`. Raises `UsageError` if it could be a file or a folder."""
    path, slash = Path(output), output.endswith(("/", os.sep))
    if os.path.isdir(path) or (slash and "{" not in output):
        return Destination(path, is_folder=True)
    if "{" in output:
        return _by_template(output)
    if several and (os.path.exists(path) or path.suffix.lower() in outputs()):
        raise UsageError(f"{path} is a single file, but there are several inputs: give a folder")
    if not several and not path.suffix:
        raise UsageError(
            f"{path} has no suffix: write {path}.png for a picture, {path}/ for a folder"
        )
    return Destination(path, is_folder=several)


def _by_template(template: str) -> Destination:
    """Outputs named by a template. Raises `UsageError` for an invalid one."""
    known = ", ".join(f"{{{name}}}" for name in FIELDS)
    try:
        parts = list(string.Formatter().parse(template))
        if any(name is not None and name not in FIELDS for _, name, _, _ in parts):
            raise ValueError
        example = template.format(name="a", folder="b", label="x2", width=1, height=1)
    except (ValueError, LookupError):
        raise UsageError(f"-o {template}: use only the fields {known}") from None
    if not Path(example).name or example.endswith(("/", os.sep)):
        raise UsageError(f"-o {template}: ends in a folder: add a name, as in {{name}}.png")
    fixed = Path(template.partition("{")[0] + "x").parent
    return Destination(None if fixed == Path() else fixed, is_folder=True, template=template)
