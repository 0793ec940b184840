"""The lattice decoder with kernels for queries, grids and integer samples on the CPU.

Letters: as in `ginr.network.lattice_decoder`.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ginr.array_types import Doubles
from ginr.geometry.coords import Cell
from ginr.kernels.grid_tables import Grid, grid_tables, trimmed_lanes, whole_lanes
from ginr.network.compiled_blocks import can_run, map_rows
from ginr.network.field import Ground
from ginr.network.lattice_decoder import LatticeDecoder, read_codes


class CompiledLatticeDecoder(LatticeDecoder):
    """The lattice decoder, using plain torch wherever no kernel can run."""

    def map(self, features: Tensor) -> Tensor:
        if can_run(self.head, features):
            return map_rows(self.head, features)
        return super().map(features)

    def query(self, codes: Tensor, places: Tensor, cells: Tensor) -> Tensor:
        # The plain one stores every wave of every place several times.
        return read_codes_compiled(codes, places, self.pitch, self.gain(cells), self.waves)

    def render(
        self, codes: Tensor, ground: Ground | None, rows: Tensor, columns: Tensor, cell: Cell
    ) -> Tensor:
        learning = torch.is_grad_enabled() and codes.requires_grad
        if codes.device.type != "cpu" or learning:
            return super().render(codes, ground, rows, columns, cell)
        from ginr.kernels.render import render_lattice

        out = torch.empty(codes.shape[0], 3, len(rows), len(columns))
        grid = self._grid(codes, ground, rows.numpy(), columns.numpy(), cell)
        render_lattice(*grid, out.numpy())
        return out

    def render_samples(
        self,
        codes: Tensor,
        ground: Ground | None,
        rows: Doubles,
        columns: Doubles,
        cell: Cell,
        out: NDArray[np.unsignedinteger[Any]],
    ) -> None:
        """Renders the grid of one picture on the CPU to the first three channels of out (h', w', C).

        Values are clipped to [0, 1], scaled to the range of out's type and rounded half up.
        """
        from ginr.kernels.render import render_samples

        peak = np.float32(np.iinfo(out.dtype).max)
        render_samples(*self._grid(codes, ground, rows, columns, cell), peak, out)

    def _grid(
        self, codes: Tensor, ground: Ground | None, rows: Doubles, columns: Doubles, cell: Cell
    ) -> tuple[NDArray[Any], Grid]:
        """The inputs of the kernels."""
        base = limits = None
        if ground is not None:
            base, limits = (v.detach().float().numpy() for v in (ground.base, ground.limits))
        gain, waves = self.gain(torch.tensor(cell)).detach(), self.waves.detach()
        read = np.ascontiguousarray(whole_lanes(codes.detach().float().numpy(), 2, 1))
        shape = read.shape[:3]
        factors = waves.numpy(), gain.numpy()
        return read, grid_tables(shape, base, limits, rows, columns, self.pitch, *factors)


def read_codes_compiled(
    codes: Tensor, places: Tensor, pitch: float, gain: Tensor, waves: Tensor
) -> Tensor:
    """`read_codes` as one kernel, on the CPU in float32 if `places` needs no gradient."""
    if codes.device.type != "cpu" or codes.dtype != torch.float32 or places.requires_grad:
        return read_codes(codes, places, pitch, gain, waves)
    out: Tensor = _ReadCodes.apply(codes, places, pitch, gain, waves)  # type: ignore[no-untyped-call]
    return out


class _ReadCodes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, codes: Tensor, places: Tensor, pitch: float, gain: Tensor, waves: Tensor
    ) -> Tensor:
        from ginr.kernels.query import query_forward

        ctx.pitch, ctx.n_wave = pitch, waves.shape[0]
        codes, gain = whole_lanes(codes, 2, 1), whole_lanes(gain, 1, 1)
        waves = whole_lanes(waves.t(), 1, 0)  # (2, J)
        tensors = [v.detach().contiguous() for v in (codes, places, gain, waves)]
        ctx.save_for_backward(*tensors)
        out = tensors[0].new_empty(*places.shape[:2], 3)
        read, where, *rest = (v.numpy() for v in tensors)
        query_forward(read, where, pitch, *rest, out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from ginr.kernels.query import query_backward

        codes, places, gain, waves = ctx.saved_tensors
        grad_codes, grad_gain = torch.empty_like(codes), torch.empty_like(gain)
        grad_waves = waves.new_empty(codes.shape[0], *waves.shape)
        rest = (gain, waves, grad.contiguous(), grad_codes, grad_gain, grad_waves)
        query_backward(codes.numpy(), places.numpy(), ctx.pitch, *(v.numpy() for v in rest))
        grad_codes = trimmed_lanes(grad_codes, 2, 1, ctx.n_wave)
        grad_gain = trimmed_lanes(grad_gain, 1, 1, ctx.n_wave)
        grad_waves = trimmed_lanes(grad_waves, 1, 0, ctx.n_wave)
        return grad_codes, None, None, grad_gain, grad_waves.sum(0).t()
