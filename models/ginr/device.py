"""Which device to run on."""

import torch

from ginr.errors import GinrError


def choose_device(name: str = "auto") -> tuple[torch.device, str]:
    """The device called `name` (auto, cpu, cuda, cuda:N) and why. Raises GinrError without it."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), f"CUDA: {torch.cuda.get_device_name()}"
        return torch.device("cpu"), "no CUDA device was found"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise GinrError(f"device {name!r}: expected auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise GinrError(f"device {name!r}: ginr runs on cpu and cuda")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            build = "" if torch.version.cuda else "; this torch was built without CUDA"
            raise GinrError(f"device {name!r}: {count} CUDA devices found{build}; use --device cpu")
    return device, "asked for"
