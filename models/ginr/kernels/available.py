"""Which implementation of the scan, and of the operations fused with it, runs on which device."""

import warnings
from functools import lru_cache
from importlib import import_module
from typing import Protocol

BACKENDS = ("reference", "chunked", "numba", "mamba_ssm")
FASTEST = {"cpu": "numba", "cuda": "mamba_ssm"}  # by device type
CHANNEL_SCAN = "mamba_ssm.ops.selective_scan_interface"  # the module with the scan of Mamba-1


class Device(Protocol):
    """A torch.device, or its stand-in where torch is not loaded."""

    @property
    def type(self) -> str:
        """cpu, cuda, ..."""


def default_backend(device: "Device") -> str:
    """The fastest backend that runs on `device`."""
    return "chunked" if slow_reason(device) else FASTEST[device.type]


def slow_reason(device: "Device") -> str:
    """Why `device` has to use the chunked scan; empty if a faster one is available."""
    fastest = FASTEST.get(device.type)
    return missing(fastest) if fastest else f"no kernels for {device.type}"


def slow_mixer(device: "Device", mixer: str) -> str:
    """Why a mixer of a `GinrConfig` runs in plain torch on `device`; empty if something is faster."""
    if device.type == "cuda" and mixer != "mamba2":  # torch's own attention is a kernel there
        return missing(CHANNEL_SCAN) if mixer == "mamba" else ""
    return f"no kernel for {device.type}" if mixer == "transformer" else slow_reason(device)


@lru_cache(maxsize=8)
def missing(package: str) -> str:
    """Why `package` cannot be used; empty if it can."""
    modules = {"mamba_ssm": "mamba_ssm.ops.triton.ssd_combined", "numba": "ginr.kernels.mixer"}
    try:
        with warnings.catch_warnings(action="ignore"):
            import_module(modules.get(package, package))
    except Exception as error:  # a broken CUDA build raises anything from ImportError to OSError
        reason = str(error).partition("\n")[0]
        return f"import {package} failed: {type(error).__name__}: {reason}"
    return ""
