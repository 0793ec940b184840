"""The number of threads, with and without torch: pytest tests/kernels/test_threads.py"""

import os
import sys
from collections.abc import Iterator

import pytest
import torch

from ginr.kernels import threads


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    threads._core_count.cache_clear()
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    threads._core_count.cache_clear()


def test_torch_says_how_many_where_it_is_loaded() -> None:
    torch.set_num_threads(3)
    assert threads.thread_count() == 3
    threads.limit_threads(2)
    assert threads.thread_count() == torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("asked", "n"), [("3", 3), ("5,2", 5), ("0", None), ("many", None), ("", None)]
)
def test_without_torch_the_cores_or_what_is_asked(
    monkeypatch: pytest.MonkeyPatch, asked: str, n: int | None
) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads.thread_count() == (n or cores)
    threads.limit_threads(7)
    assert threads.thread_count() == 7
