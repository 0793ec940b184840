"""Fixtures for the tests of `ginr view`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ginr_cli.view.server import Viewer

from .support import Page, served


@pytest.fixture
def viewer_at(tmp_path: Path, tiny_checkpoint: Path) -> Iterator[tuple[str, Viewer]]:
    """The address of a server with a tiny network, and what it serves."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    with served(folder, checkpoint=str(tiny_checkpoint)) as both:
        yield both


@pytest.fixture
def page(viewer_at: tuple[str, Viewer]) -> Iterator[Page]:
    page = Page(viewer_at[0])
    page.wait("hello")
    yield page
    page.close()
