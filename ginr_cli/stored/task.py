"""One picture of a store: read, planned, enlarged and written by the code for files."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ginr_cli import console
from ginr_cli.batch.one_picture import announce, enlarge
from ginr_cli.batch.plan import Job, plan
from ginr_cli.batch.sources import EARLIER, Source
from ginr_cli.batch.work import Work
from ginr_cli.files import Writing
from ginr_cli.reports.pictures import Outcome, failure_of, outcome_of
from ginr_cli.signals import cleaned_up_by
from ginr_cli.stored.place import Place, Stage

if TYPE_CHECKING:
    from ginr.geometry.view import ViewRule
    from ginr.pictures import ReadRules

_PX_PER_BYTE = 4
"""Pixels of a byte of a JPEG, about; of a PNG it is less than one."""


@dataclass(frozen=True)
class Order:
    """What is asked of every picture of a run."""

    place: Place
    wanted: "ViewRule"
    writing: Writing
    rules: "ReadRules"
    batch: bool


@dataclass(frozen=True)
class Stored:
    """A picture to enlarge that is read from a store or written to one."""

    source: str
    """A URL, or a path."""
    inside: str
    """Its place in the folder that it was found in; its name if it was given by itself."""
    order: Order
    n_bytes: int = 0
    in_folder: bool = False
    is_spelled_out: bool = False
    """Whether the output keeps the whole name, as in logo.gif.png, next to that of logo.png."""

    @property
    def name(self) -> str:
        """What messages call it."""
        from ginr.stores.urls import shown

        return shown(self.source)

    @property
    def cost(self) -> int:
        """Pixels of the input, as its bytes suggest."""
        return self.n_bytes * _PX_PER_BYTE

    def do(self, work_of: Callable[[Job], Work], *, again: bool = False) -> Outcome:
        """Enlarge it; `work_of` is called if there is something to do. `again`: it may be done already."""
        from ginr.stores.urls import is_url

        order, album = self.order, self.source[: len(self.source) - len(self.inside)]
        folder = Path(tempfile.mkdtemp(prefix="ginr-"))
        replaces = order.writing.overwrite and not again
        stage = Stage(folder, self.source, album, order.place, replaces, order.batch)
        names: Mapping[Path, str] = stage.names()
        with (
            cleaned_up_by(partial(shutil.rmtree, folder, ignore_errors=True)),
            console.called(names),
        ):
            try:
                path = self._fetched(stage) if is_url(self.source) else Path(self.source)
                outcome = self._done(stage, path, work_of, batch=order.batch or again)
            except Exception as problem:
                outcome = failure_of(self.name, problem)
            return _named(outcome)

    def _fetched(self, stage: Stage) -> Path:
        from ginr.stores.store import fetch

        path = stage.inputs.joinpath(*self.inside.split("/"))
        path.parent.mkdir(parents=True)
        stage.outputs.mkdir()
        fetch(self.source, path)
        return path

    def _done(
        self, stage: Stage, path: Path, work_of: Callable[[Job], Work], *, batch: bool
    ) -> Outcome:
        order = self.order
        if self.in_folder and self._is_earlier(path):
            return Outcome(self.name, "skipped", notes=(EARLIER,))
        destination = replace(order.place.destination(stage.outputs), bring=stage.bring)
        if self.is_spelled_out:
            destination = replace(destination, spelled_out=frozenset([path]))
        depth = len(Path(self.inside).parts)  # an empty part, as in a//b.png, is none
        source = Source(path, path.parents[depth - 1] if self.in_folder else None)
        writing = replace(order.writing, overwrite=stage.replaces)
        job = plan(source, order.wanted, destination, writing, (), order.rules, batch=batch)
        if job.done:
            return outcome_of(job)
        announce(job)
        outcome = enlarge(work_of(job))
        stage.send()
        return outcome

    def _is_earlier(self, path: Path) -> bool:
        """Whether it says that it was made from another picture of its folder."""
        from ginr.stores.store import size_of
        from ginr.stores.urls import is_url, joined, parent_of
        from ginr_cli.batch.kinds import probe

        if not is_url(self.source):  # looked for where the folder was read
            return False
        made = probe(path, self.order.rules).made.get("source", path.name)
        return made != path.name and size_of(joined(parent_of(self.source), made)) is not None


def _named(outcome: Outcome) -> Outcome:
    """The outcome with URLs in place of paths of the stage."""
    texts: dict[str, Any] = {
        field.name: console.named(value)
        for field in fields(outcome)
        if isinstance(value := getattr(outcome, field.name), str)
    }
    return replace(outcome, **texts)
