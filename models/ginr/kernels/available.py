"""Which implementation of the scan, and of all that is fused with it, runs on which device."""

import warnings
from functools import lru_cache
from importlib import import_module
from typing import Protocol

BACKENDS = ("reference", "chunked", "numba", "mamba_ssm")
FASTEST = {"cpu": "numba", "cuda": "mamba_ssm"}  # by the type of the device


class Device(Protocol):
    """A torch.device, or what stands for the CPU without torch."""

    @property
    def type(self) -> str:
        """cpu, cuda, ..."""


def default_backend(device: "Device") -> str:
    """The fastest backend that runs on `device`."""
    return "chunked" if slow_reason(device) else FASTEST[device.type]


def slow_reason(device: "Device") -> str:
    """Why the scan on `device` is the chunked one, empty if there is a faster one."""
    fastest = FASTEST.get(device.type)
    return missing(fastest) if fastest else f"no kernels for {device.type}"


@lru_cache(maxsize=8)
def missing(package: str) -> str:
    """Why `package` cannot be used, empty if it can."""
    module = {
        "mamba_ssm": "mamba_ssm.ops.triton.ssd_combined",
        "numba": "ginr.kernels.mixer",
    }.get(package, package)
    try:
        with warnings.catch_warnings(action="ignore"):  # theirs, of no use to ours
            import_module(module)
    except Exception as error:  # a broken CUDA build raises anything from ImportError to OSError
        words = str(error).partition("\n")[0]
        return f"import {package} failed: {type(error).__name__}: {words}"
    return ""
