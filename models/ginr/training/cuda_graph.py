"""Forward and backward of a step on a GPU, recorded once as a CUDA graph and replayed for every batch.

A step of a small network is thousands of short kernels, which Python launches more slowly than a GPU
runs them; a graph of them is launched at once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ginr.training.samples import Batch

N_WARM_UP = 2
"""Plain calls before the recording: kernels are chosen and compiled in them."""


class Recorded:
    """`learn` of batches of one size, which leaves gradients and returns a tensor of numbers."""

    def __init__(
        self, learn: Callable[[Batch], Tensor], parameters: Sequence[torch.nn.Parameter]
    ) -> None:
        """`learn` adds to the gradients of `parameters` and waits for nothing."""
        self._learn, self._parameters = learn, parameters
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """The same as `learn`, where no parameter has a gradient yet.

        The answer and the gradients are overwritten by the next call.
        """
        if self._graph is None:
            self._graph = self._record(batch)
        torch._foreach_copy_(self._batch.tensors, batch.tensors)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._answer

    def _record(self, batch: Batch) -> torch.cuda.CUDAGraph:
        self._batch = Batch(*(tensor.clone() for tensor in batch.tensors))
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(N_WARM_UP):
                self._learn(self._batch)
                self._forget()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads, which make the next batches, may use the GPU meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._answer = self._learn(self._batch)
        self._gradients = [parameter.grad for parameter in self._parameters]
        return graph

    def _forget(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
