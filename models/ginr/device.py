"""The choice of a device, and asynchronous copies to and from it."""

import ctypes
import re
import runpy
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from ginr.errors import GinrError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

Precision = Literal["auto", "float32", "bfloat16"]  # number format of an encoder's computations


class Device(Protocol):
    """A torch.device or `HOST`."""

    @property
    def type(self) -> str:
        """cpu, cuda, ..."""


@dataclass(frozen=True)
class Host:
    """The CPU, described without loading torch."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


HOST = Host()

ASKED_FOR = "asked for"
NO_CUDA = "no CUDA device was found"


def choose_device(name: str = "auto") -> tuple["torch.device", str]:
    """The device called `name` (auto, cpu, cuda, cuda:N, mps), and the reason for the choice.

    Raises GinrError for a device that does not exist; for an unknown name without loading torch.
    """
    reason = reason_for_cpu(name)
    import torch

    if reason:
        return torch.device("cpu"), reason
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), f"CUDA: {torch.cuda.get_device_name()}"
        return torch.device("cpu"), NO_CUDA
    if name.startswith("cuda"):
        count = torch.cuda.device_count()
        if int(name.partition(":")[2] or 0) >= count:
            build = "" if torch.version.cuda else ", torch was built without CUDA"
            raise GinrError(
                f"device {name!r} was not found (CUDA devices: {count}{build}): use --device cpu"
            )
    if name == "mps" and not torch.backends.mps.is_available():
        build = "" if torch.backends.mps.is_built() else ", torch was built without it"
        raise GinrError(f"device 'mps' was not found (an Apple GPU{build}): use --device cpu")
    return torch.device(name), ASKED_FOR


def reason_for_cpu(name: str) -> str:
    """Why the device called `name` is the CPU; empty if it is another one, or if that needs torch.

    Does not load torch. Raises GinrError for an unknown name.
    """
    # Not left to torch, which reads cuda:999 as a negative index.
    if not re.fullmatch("auto|cpu|mps|cuda(:(0|[1-9][0-9]?))?", name):
        raise GinrError(f"device {name!r} is not known: use auto, cpu, cuda, cuda:1 or mps")
    if name == "cpu":
        return ASKED_FOR
    return NO_CUDA if name == "auto" and not _may_find_cuda() else ""


@cache
def _may_find_cuda() -> bool:
    """Whether torch is built for GPUs, by its version file, and finds a driver."""
    spec = find_spec("torch")
    try:
        version = (
            runpy.run_path(str(Path(spec.origin or "").with_name("version.py"))) if spec else {}
        )
    except Exception:  # an unusual build: leave the answer to torch itself
        return True
    if version.get("hip"):
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return version.get("cuda", "") is not None


def sent(tensor: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    """A CPU tensor copied to `device`; to a GPU from pinned memory, asynchronously."""
    if tensor.device.type == device.type:
        return tensor
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def fetched(tensor: "torch.Tensor") -> Callable[[], "torch.Tensor"]:
    """Start to copy a tensor to the CPU; the returned function waits for that copy and returns it."""
    if tensor.device.type != "cuda":
        return tensor.cpu
    import torch

    host = tensor.to("cpu", non_blocking=True)  # pinned
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(tensor.device))

    def arrived() -> torch.Tensor:
        done.synchronize()
        return host

    return arrived


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yields each item once the next has been made, so that a GPU always has work queued."""
    waiting = deque[T]()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
