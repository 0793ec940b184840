"""The lattice decoder: every code is a patch of plane waves, a query blends its four nearest codes.

f(c) = sum over four codes k of w_k(c) Re( g(cell) . z_k exp(i omega (c - p_k)) )

w is bilinear, omega are J learned plane waves common to all codes, and g is how much of a wave is
left after averaging it over the pixel's footprint: sinc(omega_y cell_y / 2) sinc(omega_x cell_x / 2)
in closed form, times a learned correction. No factor but z depends on the picture, and all are
products of one factor in y and one in x: a grid is rendered from two small tables.

Letters: B batch, h w codes, D width, Q queries, J waves, F = 1 + 2 J numbers per code and colour
(mean, cosines, sines), h' w' the rendered grid.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ginr import mamba_cpu
from ginr.config import GinrConfig
from ginr.field import Cell, bicubic_grid, bicubic_taps
from ginr.mamba import Pointwise, depth_to_space
from ginr.scan import LANES
from ginr.tokens import window_plan

ROWS = 64  # rows of a grid rendered at a time by the plain path


class LatticeDecoder(nn.Module):
    """Codes on a lattice of LR pixels (or finer), each J plane waves in three colours."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__()
        lp_side = window_plan(config).lp_side
        if lp_side is None:
            raise ValueError(
                f"the lattice decoder needs LPs spread evenly over squares of tokens, "
                f"not {config.n_lp} placed {config.placement} among {config.seq_len}"
            )
        pitch = config.window / lp_side  # LR pixels between LPs
        self.expand = max(1, round(pitch))  # codes per LP along one axis
        self.pitch = pitch / self.expand
        """LR pixels between codes."""
        self.min_cell = 1 / config.max_scale
        width, n_wave = config.width, config.n_frequency
        self.spread = Pointwise(width, width * self.expand**2) if self.expand > 1 else None
        self.head = Pointwise(width, 3 * (1 + 2 * n_wave), gain=0.1)
        # Half the plane, radii spread over (0, 2 pi] radians per LR pixel: LR holds up to pi.
        index = torch.arange(n_wave) + 0.5
        radius = 2 * math.pi * (index / n_wave).sqrt()
        angle = math.pi * (index * 0.6180339887)
        self.waves = nn.Parameter(torch.stack([radius * angle.sin(), radius * angle.cos()], -1))
        hidden, correction = nn.Linear(2, 16), nn.Linear(16, 1 + n_wave)
        nn.init.zeros_(correction.weight)
        nn.init.zeros_(correction.bias)
        self.footprint = nn.Sequential(hidden, nn.GELU(), correction)

    def codes(self, features: Tensor) -> Tensor:
        """features (B, h', w', D) -> codes (B, h, w, 3, F)."""
        if self.spread is not None:
            features = depth_to_space(self.spread(features), self.expand)
        compiled = mamba_cpu.can_run(self.head, features)
        rows = mamba_cpu.map_rows(self.head, features) if compiled else self.head(features)
        codes: Tensor = rows.unflatten(-1, (3, -1))
        return codes

    def gain(self, cells: Tensor) -> Tensor:
        """What a footprint (..., 2) in LR pixels leaves of the mean and of each wave, (..., 1 + J).

        None is taken to be smaller than those of training: finer renders are the field of the
        finest one, sampled more densely (as LTE does, Lee and Jin 2022).
        """
        cells = cells.clamp(min=self.min_cell)
        left = torch.sinc(cells[..., None, :] * self.waves / (2 * math.pi)).prod(-1)  # (..., J)
        left = torch.cat([torch.ones_like(left[..., :1]), left], -1)
        correction: Tensor = self.footprint(4 * cells.clamp(max=1) - 2)
        return left * (1 + correction)

    def query(self, codes: Tensor, places: Tensor, cells: Tensor) -> Tensor:
        """places (B, Q, 2), cells (B, Q or 1, 2) in LR pixels -> rgb (B, Q, 3)."""
        height, width = codes.shape[1:3]
        y, wy, dy = self._neighbours(places[..., 0], height)  # (B, Q, 2)
        x, wx, dx = self._neighbours(places[..., 1], width)
        index = (y[..., :, None] * width + x[..., None, :]).flatten(2)  # (B, Q, 4)
        weight = (wy[..., :, None] * wx[..., None, :]).flatten(2)
        offset = torch.stack(torch.broadcast_tensors(dy[..., :, None], dx[..., None, :]), -1)
        near = (codes.flatten(1, 2), index, weight, offset.flatten(2, 3))
        return read_codes(*near, self.gain(cells), self.waves)

    def render(
        self, codes: Tensor, base: Tensor | None, rows: Tensor, columns: Tensor, cell: Cell
    ) -> Tensor:
        """The grid rows (h') x columns (w') on the base, (B, 3, h', w')."""
        learning = torch.is_grad_enabled() and codes.requires_grad
        if codes.device.type == "cpu" and not learning:
            return self._render_fused(codes, base, rows, columns, cell)
        parts = [self._render_plain(codes, part, columns, cell) for part in rows.split(ROWS)]
        field = torch.cat(parts, dim=2)
        return field if base is None else field + bicubic_grid(base, rows, columns)

    def _render_plain(self, codes: Tensor, rows: Tensor, columns: Tensor, cell: Cell) -> Tensor:
        """The same from tables, in torch: first along y, then along x."""
        n_wave = self.waves.shape[0]
        table_y, table_x = self._table(rows, cell, 0, codes), self._table(columns, cell, 1, codes)
        mean, cosine, sine = codes.split([1, n_wave, n_wave], -1)  # (B, h, w, 3, .)
        y, wy, cos_y, sin_y = table_y
        x, wx, cos_x, sin_x = table_x
        tall_mean = tall_cos = tall_sin = torch.zeros((), device=codes.device)
        for k in (0, 1):  # (B, h', w, 3, .)
            a, b = cosine[:, y[:, k]], sine[:, y[:, k]]
            c, s = (v[:, k, None, None] for v in (cos_y, sin_y))
            tall_mean = tall_mean + mean[:, y[:, k]] * wy[:, k, None, None, None]
            tall_cos = tall_cos + a * c + b * s
            tall_sin = tall_sin + b * c - a * s
        out = torch.zeros((), device=codes.device)
        for m in (0, 1):  # (B, h', w', 3, .)
            waves = tall_cos[:, :, x[:, m]] * cos_x[:, m, None]
            waves = waves + tall_sin[:, :, x[:, m]] * sin_x[:, m, None]
            level = tall_mean[:, :, x[:, m]] * wx[:, m, None, None]
            out = out + level.squeeze(-1) + waves.sum(-1)
        return out.permute(0, 3, 1, 2)

    def render_samples(
        self,
        codes: Tensor,
        base: Tensor | None,
        rows: Tensor,
        columns: Tensor,
        cell: Cell,
        out: NDArray[np.unsignedinteger[Any]],
    ) -> None:
        """The grid of one picture as finished samples: the first three of out (h', w', C).

        Rounded half up from [0, 1] to the range of out's type, what is outside clipped; on the CPU.
        """
        from ginr.render_numba import render_samples

        peak = np.float32(np.iinfo(out.dtype).max)
        render_samples(*self._grid(codes, base, rows, columns, cell), peak, out)

    def _render_fused(
        self, codes: Tensor, base: Tensor | None, rows: Tensor, columns: Tensor, cell: Cell
    ) -> Tensor:
        from ginr.render_numba import render_lattice

        out = torch.empty(codes.shape[0], 3, len(rows), len(columns))
        render_lattice(*self._grid(codes, base, rows, columns, cell), out.numpy())
        return out

    def _grid(
        self, codes: Tensor, base: Tensor | None, rows: Tensor, columns: Tensor, cell: Cell
    ) -> list[Any]:
        """What the fused loops read: codes, base and the tables of both axes."""
        codes = codes.detach().float()
        y, wy, cos_y, sin_y = self._table(rows, cell, 0, codes)
        x, wx, cos_x, sin_x = self._table(columns, cell, 1, codes)
        cos_y, sin_y, cos_x, sin_x = (_whole_lanes(v, 1, 0) for v in (cos_y, sin_y, cos_x, sin_x))
        if base is None:
            base = codes.new_zeros(codes.shape[0], 3, 1, 1)
        taps_y, cubic_y = bicubic_taps(rows, base.shape[2])
        taps_x, cubic_x = bicubic_taps(columns, base.shape[3])
        waves_x = torch.cat([cos_x, sin_x], -1)  # (w', 2, 2 J)
        codes, base = _whole_lanes(codes, 2, 1), base.detach().float()
        along_y = (y, wy, cos_y, sin_y)
        along_x = (x, wx, waves_x)
        cubic = (taps_y, cubic_y.float(), taps_x, cubic_x.float())
        tables = (codes, base, *along_y, *along_x, *cubic)
        return [table.detach().contiguous().numpy() for table in tables]

    def _table(
        self, places: Tensor, cell: Cell, axis: int, like: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One axis of a grid: neighbours and their weights (n, 2), weighted cos and sin (n, 2, J).

        The footprint's gain is in the y table; it multiplies the product of the two.
        """
        length = like.shape[1 + axis]
        index, weight, offset = self._neighbours(places, length)
        phase = offset[..., None] * self.waves[:, axis].double().cpu()  # (n, 2, J)
        gain = self.gain(torch.tensor(cell, device=self.waves.device)).cpu()  # (1 + J,)
        wave = weight[..., None] * gain[1:] if axis == 0 else weight[..., None]
        weight = weight * gain[0] if axis == 0 else weight
        device = like.device
        cosine, sine = (wave * phase.cos()).to(like), (wave * phase.sin()).to(like)
        return index.to(device), weight.to(like), cosine, sine

    def _neighbours(self, places: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """The two codes beside each place (...): index, weight, offset in LR pixels, (..., 2).

        Outside the outermost codes both are the outermost one, so that nothing is extrapolated.
        """
        position = (places + 0.5) / self.pitch - 0.5
        first = position.floor()
        both = torch.stack([first, first + 1], -1)
        weight = 1 - (position[..., None] - both).abs()
        index = both.clamp(0, length - 1)
        offset = (position[..., None] - index) * self.pitch
        return index.long(), weight, offset


def read_codes(
    codes: Tensor, index: Tensor, weight: Tensor, offset: Tensor, gain: Tensor, waves: Tensor
) -> Tensor:
    """Colours (B, Q, 3) from the four codes around each place.

    codes (B, h w, 3, F); index, weight (B, Q, 4); offset (B, Q, 4, 2) in LR pixels; gain
    (B, Q or 1, 1 + J); waves (J, 2). On the CPU one fused loop, since torch would write out every
    wave of every place several times over.
    """
    by_place = weight.requires_grad or offset.requires_grad  # a slope of the field was asked for
    if codes.device.type == "cpu" and codes.dtype == torch.float32 and not by_place:
        out: Tensor = _ReadCodes.apply(  # type: ignore[no-untyped-call]
            codes, index, weight, offset, gain, waves
        )
        return out
    return read_codes_plain(codes, index, weight, offset, gain, waves)


def read_codes_plain(
    codes: Tensor, index: Tensor, weight: Tensor, offset: Tensor, gain: Tensor, waves: Tensor
) -> Tensor:
    """`read_codes`, one neighbour at a time."""
    first = torch.arange(codes.shape[0], device=codes.device)[:, None] * codes.shape[1]
    rows = codes.flatten(0, 1).flatten(1)  # (B h w, 3 F)
    rgb = torch.zeros((), device=codes.device)
    for k in range(index.shape[-1]):
        phase = offset[:, :, k] @ waves.t()  # (B, Q, J)
        basis = torch.cat([torch.ones_like(phase[..., :1]), phase.cos(), phase.sin()], -1)
        left = torch.cat([gain, gain[..., 1:]], -1) * weight[:, :, k, None]  # (B, Q, F)
        code = rows[first + index[..., k]].unflatten(-1, codes.shape[2:])  # (B, Q, 3, F)
        rgb = rgb + (code * (basis * left)[:, :, None]).sum(-1)
    return rgb


class _ReadCodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        from ginr.render_numba import query_forward

        codes, index, weight, offset, gain, waves = (v.detach() for v in inputs)
        ctx.n_wave = waves.shape[0]
        codes, gain = _whole_lanes(codes, 2, 1), _whole_lanes(gain, 1, 1)
        waves = _whole_lanes(waves.t(), 1, 0)  # (2, J)
        tensors = [v.contiguous() for v in (codes, index, weight, offset, gain, waves)]
        ctx.save_for_backward(*tensors)
        out = tensors[0].new_empty(*index.shape[:2], 3)
        query_forward(*(v.numpy() for v in (*tensors, out)))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from ginr.render_numba import query_backward

        codes, _, _, _, gain, waves = tensors = ctx.saved_tensors
        grad_codes, grad_gain = torch.zeros_like(codes), torch.zeros_like(gain)
        grad_waves = waves.new_zeros(codes.shape[0], *waves.shape)
        arrays = (*tensors, grad.contiguous(), grad_codes, grad_gain, grad_waves)
        query_backward(*(v.numpy() for v in arrays))
        grad_codes = _given_lanes(grad_codes, 2, 1, ctx.n_wave)
        grad_gain = _given_lanes(grad_gain, 1, 1, ctx.n_wave)
        grad_waves = _given_lanes(grad_waves, 1, 0, ctx.n_wave)
        return grad_codes, None, None, None, grad_gain, grad_waves.sum(0).t()


def _whole_lanes(x: Tensor, n_part: int, n_first: int) -> Tensor:
    """x (..., n_first + n_part J) with every part followed by zeros up to a multiple of LANES."""
    n_wave = (x.shape[-1] - n_first) // n_part
    if n_wave % LANES == 0:
        return x
    parts = F.pad(x[..., n_first:].unflatten(-1, (n_part, n_wave)), (0, -n_wave % LANES))
    return torch.cat([x[..., :n_first], parts.flatten(-2)], -1)


def _given_lanes(x: Tensor, n_part: int, n_first: int, n_wave: int) -> Tensor:
    """The inverse of `_whole_lanes` for parts of n_wave numbers."""
    if n_wave % LANES == 0:
        return x
    parts = x[..., n_first:].unflatten(-1, (n_part, -1))[..., :n_wave]
    return torch.cat([x[..., :n_first], parts.flatten(-2)], -1)
