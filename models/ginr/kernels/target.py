"""The processor that kernels are compiled for, and whether array accesses are checked."""

import os

from llvmlite.binding import get_host_cpu_name
from numba.core import config
from numba.core.codegen import get_host_cpu_features

CHECKED = os.environ.get("GINR_CHECK_KERNELS") == "1"
"""Kernels raise IndexError for accesses outside an array, and run in one thread."""

# NUMBA_CPU_NAME=haswell with an empty NUMBA_CPU_FEATURES= disables AVX-512.
CPU = config.CPU_NAME or get_host_cpu_name()
FEATURES = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
HAS_AVX512 = "+avx512f" in FEATURES.split(",")
