"""Where outputs go when URLs are among the paths: a store, or this machine."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ginr.errors import printable
from ginr_cli.batch.destination import Destination, destination_of
from ginr_cli.console import UsageError

_HEAD = 1 << 20
"""Bytes of an existing PNG or JPEG that say how it was made: ginr writes that before the samples."""
_HEAD_FIRST = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Place:
    """Where outputs go: by a URL, or by a destination on this machine; without either, next to inputs."""

    url: str | None = None
    """A folder, with a slash at its end."""
    inside: str = ""
    """A file in it, or a template; empty for names as the inputs have."""
    local: Destination = field(default_factory=partial(Destination, None))

    def destination(self, folder: Path) -> Destination:
        """The same on this machine; files for a store are written to the folder."""
        if self.url is None:
            return self.local
        if "{" in self.inside:
            return Destination(folder, True, f"{folder}/{self.inside}")
        if self.inside:
            return Destination(folder / self.inside)
        return Destination(folder, is_folder=True)


@dataclass(frozen=True)
class Stage:
    """A folder of a picture on its way: the input, and what is made of it."""

    folder: Path
    source: str
    """The input, by its URL or path."""
    album: str
    """The folder that it was found in, or lies in, with a slash at its end."""
    place: Place
    replaces: bool
    """Whether existing outputs are replaced."""
    batch: bool
    """Whether they are those of several inputs, among which they might be."""

    @property
    def inputs(self) -> Path:
        return self.folder / "in"

    @property
    def outputs(self) -> Path:
        return self.folder / "out"

    def url_of(self, output: Path) -> str | None:
        """Where an output is copied; None if it is where it belongs."""
        from ginr.stores.urls import joined

        if self.place.url is not None and output.is_relative_to(self.outputs):
            return joined(self.place.url, *output.relative_to(self.outputs).parts)
        if output.is_relative_to(self.inputs):
            return joined(self.album, *output.relative_to(self.inputs).parts)
        return None

    def names(self) -> dict[Path, str]:
        """What the folders are called in messages."""
        from ginr.stores.urls import shown

        found = {self.inputs: shown(self.album).rstrip("/")}
        if self.place.url is not None:
            found[self.outputs] = shown(self.place.url).rstrip("/")
        return found

    def bring(self, output: Path) -> bool:
        """Read an existing output from its store; False if only its start. Raises PictureError."""
        from ginr.errors import PictureError
        from ginr.pictures import ReadRules
        from ginr.stores.store import size_of
        from ginr_cli.batch.kinds import probe

        url = self.url_of(output)
        if url is None:
            return True
        if url == self.source:
            raise PictureError(f"{printable(output)} is both input and output: choose another name")
        output.parent.mkdir(parents=True, exist_ok=True)
        if (self.replaces and not self.batch) or (n_bytes := size_of(url)) is None:
            return True
        is_whole = self._fetch(url, output, n_bytes)
        if self.replaces:
            if not probe(output, ReadRules(allow_truncated=True)).made:
                raise PictureError(
                    f"{printable(output)} does not say that ginr made it, so it may be an input: "
                    "remove it, or choose another output"
                )
            output.unlink()
        return is_whole

    def _fetch(self, url: str, output: Path, n_bytes: int) -> bool:
        """Read an existing output, or its start; returns whether it is whole. Raises PictureError."""
        from ginr.errors import PictureError
        from ginr.pictures import ReadRules, probe_picture
        from ginr.stores.store import fetch

        if output.suffix.lower() in _HEAD_FIRST and n_bytes > _HEAD:
            fetch(url, output, n_bytes=_HEAD)
            try:
                probe_picture(output, ReadRules(allow_truncated=True))
            except PictureError:
                output.unlink()
            else:
                return False
        fetch(url, output)
        return True

    def send(self) -> None:
        """Copy all that was made to its store. Raises PictureError."""
        from ginr.stores.store import put

        folders = [self.outputs] if self.place.url is not None else [self.inputs]
        made = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        for path in made:
            url = self.url_of(path)
            if url is not None and url != self.source:
                put(path, url)


def place_of(output: str | None, several: bool, is_folder: bool) -> Place:
    """Where outputs go. `several` inputs need a folder or a template; `is_folder`: one of them is one.

    Raises `UsageError` for an output that could be a file or a folder.
    """
    from ginr.stores.urls import is_url, parent_of, shown, suffix_of
    from ginr_cli.batch.kinds import outputs

    if output is None:
        if is_folder:
            raise UsageError("a folder in a store needs a place for the outputs: add -o URL/")
        return Place()
    if not is_url(output):
        return Place(local=destination_of(output, several))
    if "{" in output:
        fixed = parent_of(output.partition("{")[0] + "x")
        destination_of(output, several)  # raises for what is no template
        return Place(fixed, output[len(fixed) :])
    if output.endswith("/"):
        return Place(output)
    name = shown(output)
    if several and suffix_of(output) in outputs():
        raise UsageError(f"{name} is a single file, but there are several inputs: give a folder")
    if several:
        return Place(f"{output}/")
    if not suffix_of(output):
        raise UsageError(
            f"{name} has no suffix: write {name}.png for a picture, {name}/ for a folder"
        )
    folder = parent_of(output)
    return Place(folder, output[len(folder) :])
