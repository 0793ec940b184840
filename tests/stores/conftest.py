"""A store in memory that fails, for the tests of stores."""

from collections.abc import Iterator
from typing import Any

import pytest

from ginr.stores import store


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty store, flaky://, which fails as often as `failures` says."""
    pytest.importorskip("fsspec", reason="needs the extra stores")
    from .flaky import FlakyStore, register

    register()
    monkeypatch.setattr(store, "_WAIT_S", 0)
    yield FlakyStore
    FlakyStore.store.clear()
    FlakyStore.failures.clear()
    FlakyStore.asked.clear()
