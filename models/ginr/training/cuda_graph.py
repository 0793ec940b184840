"""Forward and backward pass of a step on a GPU, recorded once as a CUDA graph and replayed.

A step of a small network is thousands of short kernels, which Python launches more slowly than a GPU
runs them; a graph launches them all at once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ginr.training.samples import Batch

N_WARM_UP = 2  # plain calls before the recording, in which kernels are chosen and compiled


class GraphedStep:
    """A recorded function of batches of one size that computes gradients and returns a tensor."""

    def __init__(
        self, compute: Callable[[Batch], Tensor], parameters: Sequence[torch.nn.Parameter]
    ) -> None:
        """`compute` adds to the gradients of `parameters` and never synchronizes with the GPU."""
        self._compute, self._parameters = compute, parameters
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """As `compute`, for parameters without gradients.

        The next call overwrites the result and the gradients.
        """
        if self._graph is None:
            self._graph = self._record(batch)
        torch._foreach_copy_([*self._batch], [*batch])
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._result

    def _record(self, batch: Batch) -> torch.cuda.CUDAGraph:
        self._batch = Batch(*(tensor.clone() for tensor in batch))
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(N_WARM_UP):
                self._compute(self._batch)
                for parameter in self._parameters:
                    parameter.grad = None
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Threads that make the next batches may use the GPU meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._result = self._compute(self._batch)
        self._gradients = [parameter.grad for parameter in self._parameters]
        return graph
