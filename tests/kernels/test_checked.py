"""GINR_CHECK_KERNELS=1 detects every access outside an array: pytest tests/kernels/test_checked.py"""

import os
import subprocess
import sys
from pathlib import Path

KERNELS = """
import sys
import numpy as np
from ginr.kernels.compile import fused
from ginr.kernels.product import PIXELS, ROWS, add_outer, add_product, product
from ginr.kernels.simd import load, store
from ginr.kernels.sizes import COLUMNS, LANES

@fused
def touch(claim, source, read, out, write, index):
    value = load(source, read)
    store(out, write, value)
    out[index] = source[0]

@fused
def multiply(claim, a, a_at, weights, weights_at, out, out_at):
    product(a, a_at, 5, weights, weights_at, out, out_at, COLUMNS)

@fused
def multiply_back(claim, a, a_at, b, b_at, out, out_at):
    add_outer(a, a_at, ROWS, 5, b, b_at, COLUMNS, out, out_at)

@fused
def multiply_pixels(claim, a, a_at, weights, weights_at, out, out_at):
    add_product(a, a_at, 5, weights, weights_at, out, out_at)

def numbers(n):
    return np.zeros(n, np.float32)

def matrices(rows, columns):
    return numbers(5 * rows), numbers(5 * columns), numbers(rows * columns)

def call(kernel, arrays, places, *others):
    try:
        kernel(*(v for both in zip(arrays, places, strict=True) for v in both), *others)
    except IndexError as error:
        print(error)
    else:
        print("inside")
"""

CALLS = """
for places in ((4, 4), (5, 4), (-1, 4), (4, 5), (4, -1)):
    call(touch, (numbers(20), numbers(20)), places, 19)
call(touch, (numbers(20), numbers(20)), (4, 4), 20)
for kernel in (multiply, multiply_back, multiply_pixels):
    size = (PIXELS, LANES) if kernel is multiply_pixels else (ROWS, COLUMNS)
    call(kernel, matrices(*size), (0, 0, 0))
    for k in range(3):
        for off in (1, -1):
            call(kernel, matrices(*size), [off * (j == k) for j in range(3)])
"""


def test_an_access_outside_of_an_array_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "kernels_of_a_test.py"
    script.write_text(KERNELS + CALLS)
    environment = {**os.environ, "GINR_CHECK_KERNELS": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert (done.stderr, done.returncode) == ("", 0)
    lines = iter(done.stdout.splitlines())

    def expect(*words: str) -> None:
        line = next(lines)
        assert all(word in line for word in words), line

    read, write = ("kernels_of_a_test.py:11 (touch)", "kernels_of_a_test.py:12 (touch)")
    expect("inside")
    expect(f"load at {read}: index 20 of an array of 20 numbers")
    expect(f"load at {read}: index -1 of an array of 20 numbers")
    expect(f"store at {write}: index 20 of an array of 20 numbers")
    expect(f"store at {write}: index -1 of an array of 20 numbers")
    expect("index is out of bounds")
    for name, arrays in (
        ("product", ("a", "weights", "out")),
        ("add_outer", ("a", "b", "out")),
        ("add_product", ("a", "weights", "out")),
    ):
        expect("inside")
        for array in arrays:
            expect(f"{name}, {array} at kernels_of_a_test.py")
            expect(f"{name}, {array} at kernels_of_a_test.py", "index -1 of")
    assert next(lines, None) is None
