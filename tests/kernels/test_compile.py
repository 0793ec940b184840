"""Kernels under signals, failing threads and changed targets: pytest tests/kernels/test_compile.py"""

import ctypes
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

from ginr.kernels import compile as fused
from ginr.kernels import threads

ALIKE = """
import torch
from ginr.network.layers import Pointwise
from ginr.network.compiled_blocks import map_rows

torch.set_num_threads(2)
layer, x = Pointwise(16, 24), torch.randn(4096, 16)
with torch.no_grad():
    plain = x @ layer.weight[:, :, 0, 0].t() + layer.bias
    torch.testing.assert_close(map_rows(layer, x), plain)
"""

PRESSED = (
    ALIKE
    + """
import signal

class Pressed(Exception):
    pass

def press(number, frame):
    raise Pressed

signal.signal(signal.SIGALRM, press)
for k in range(100):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002 + 0.00013 * k)
        with torch.no_grad():
            while True:
                map_rows(layer, x)
    except Pressed:
        pass
with torch.no_grad():
    torch.testing.assert_close(map_rows(layer, x), plain)
print("answered")
"""
)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGALRM there")
def test_a_signal_is_answered_wherever_in_a_kernel_it_comes() -> None:
    command = [sys.executable, "-c", PRESSED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("answered\n", "", 0)


EVERYWHERE = """
import sys
from ginr.kernels import threads

class Pressed(Exception):
    pass

def together():
    done = []
    threads.together(lambda: done.append(1), 3)
    assert len(done) == 3

def press_before(n_instruction):
    def trace(frame, event, argument):
        nonlocal n_instruction
        frame.f_trace_opcodes = True
        if event == "opcode":
            n_instruction -= 1
            if n_instruction < 0:
                raise Pressed
        return trace

    sys.settrace(trace)
    try:
        together()
    finally:
        sys.settrace(None)

together()
n_pressed = 0
while True:
    try:
        press_before(n_pressed)
    except Pressed:
        n_pressed += 1
        together()
    else:
        break
assert n_pressed > 50, n_pressed
print("answered")
"""


def test_an_exception_at_any_instruction_leaves_the_threads_at_work() -> None:
    command = [sys.executable, "-c", EVERYWHERE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("answered\n", "", 0)


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(143)])
def test_a_signal_is_answered_while_a_kernel_is_compiled(raised: BaseException) -> None:
    def press() -> None:
        raise raised

    called_back = ctypes.CFUNCTYPE(None)(press)
    with pytest.raises(type(raised)) as answer, fused._reraising_interrupts():
        called_back()
        raise RuntimeError("no compiled object yet")  # as numba raises then
    assert answer.value is raised


def test_other_trouble_of_a_callback_is_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda problem: told.append(problem.exc_type))

    def fail() -> None:
        raise ValueError

    with fused._reraising_interrupts():
        ctypes.CFUNCTYPE(None)(fail)()
    assert told == [ValueError]


def test_fewer_threads_than_asked_for_do_the_same() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_THREAD_LIMIT": "1"}
    command = [sys.executable, "-c", ALIKE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("openmp", [True, False])
def test_a_thread_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, openmp: bool) -> None:
    if openmp and threads._openmp() is None:
        pytest.skip("torch runs without GCC's OpenMP")
    if not openmp:
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    monkeypatch.setattr(sys, "unraisablehook", lambda problem: None)  # C drops what is raised
    done: list[int] = []

    def work() -> None:
        done.append(1)
        if len(done) == 2:
            raise MemoryError("no room for what it needs")

    with pytest.raises(MemoryError):
        threads.together(work, 2)
    assert len(done) == 2


def test_kernels_call_nothing_compiled_apart() -> None:
    # Otherwise kernels just compiled would round differently from cached ones.
    modules = sorted(path.stem for path in Path(fused.__file__).parent.glob("*.py"))
    parts = {
        function
        for name in modules
        for function in vars(import_module(f"ginr.kernels.{name}")).values()
        if isinstance(function, Dispatcher)
    }
    assert len(parts) > 30
    assert [part for part in parts if not part.targetoptions.get("forceinline")] == []
