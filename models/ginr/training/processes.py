"""The processes that train one network together: one, unless a launcher has started more.

Hugging Face Accelerate connects them (`accelerate launch -m ginr_cli train ...`); it is imported
only then.
"""

import os

import torch
from torch import Tensor

from ginr.device import choose_device
from ginr.errors import GinrError


class ProcessGroup:
    """This process's rank and device, and reductions over all `n` processes."""

    def __init__(self, device: str = "auto") -> None:
        """`device` is auto, cpu, cuda or cuda:N; several processes have one device each.

        Raises GinrError without that device, or without Accelerate where it is needed.
        """
        started = os.environ.get("WORLD_SIZE", "1")  # set by a launcher
        self.n, self.rank = int(started) if started.isdecimal() else 1, 0
        if self.n == 1:
            self.device, _ = choose_device(device)
            return
        try:
            from accelerate import PartialState
        except ImportError:
            raise GinrError(
                f"{self.n} processes were started, but accelerate, which connects them, is missing: "
                "pip install 'ginr[train]'"
            ) from None
        state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
        self.device, self.rank = state.device, state.process_index

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def share(self, n: int) -> range:
        """Which of n items, a multiple of the processes, belong to this process."""
        each = n // self.n
        return range(self.rank * each, (self.rank + 1) * each)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, of any shape; every process gets the same bits."""
        if self.n == 1:
            return values
        from accelerate.utils import reduce

        summed: Tensor = reduce(values.to(self.device), "sum")
        return summed

    def mean(self, value: float) -> float:
        """The mean of a number over all processes."""
        return float(self.total(torch.tensor(value, dtype=torch.float64))) / self.n

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.mean(float(flag)) > 0

    def of_main(self, value: float) -> float:
        """The main process's number."""
        return self.mean(value * self.n if self.is_main else 0.0)

    def average_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """Replaces every gradient by its mean, in one message: the networks are small."""
        if self.n == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.total(torch.cat([gradient.flatten() for gradient in gradients])) / self.n
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
