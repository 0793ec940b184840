"""Which device to run on, and copies that nothing waits for."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from ginr.errors import GinrError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def choose_device(name: str = "auto") -> tuple["torch.device", str]:
    """The device called `name` (auto, cpu, cuda, cuda:N) and why. Raises GinrError without it.

    A name that is none is refused before torch is loaded.
    """
    # Not left to torch: it takes cuda:999 for a device of negative index.
    if not re.fullmatch("auto|cpu|cuda(:(0|[1-9][0-9]?))?", name):
        raise GinrError(f"device {name!r} is not known: use auto, cpu, cuda or cuda:1")
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), f"CUDA: {torch.cuda.get_device_name()}"
        return torch.device("cpu"), "no CUDA device was found"
    if name.startswith("cuda"):
        count = torch.cuda.device_count()
        if int(name.partition(":")[2] or 0) >= count:
            build = "" if torch.version.cuda else "; this torch was built without CUDA"
            raise GinrError(f"device {name!r}: {count} CUDA devices found{build}; use --device cpu")
    return torch.device(name), "asked for"


def sent(tensor: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    """A tensor of the host on `device`: to a GPU from pinned memory, so that nothing waits for it."""
    if tensor.device.type == device.type:
        return tensor
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def fetched(tensor: "torch.Tensor") -> Callable[[], "torch.Tensor"]:
    """Begins to copy a tensor to the host; the answer is called for it and waits for this copy alone."""
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
    """The same, each handed on once the next has been made, so that a GPU has its work in time."""
    waiting = deque[T]()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
