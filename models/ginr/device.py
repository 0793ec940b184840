"""Which device to run on."""

import re
from typing import TYPE_CHECKING

from ginr.errors import GinrError

if TYPE_CHECKING:
    import torch


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
