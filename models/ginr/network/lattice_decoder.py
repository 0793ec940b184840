"""The lattice decoder: every code is a sum of plane waves, and a query blends its four nearest codes.

f(c) = sum over four codes k of w_k(c) Re( g(cell) . z_k exp(i omega (c - p_k)) )

w is bilinear, omega are J learned plane waves shared by all codes, and g is the gain of a wave when
averaged over the pixel's footprint: sinc(omega_y cell_y / 2) sinc(omega_x cell_x / 2) in closed form,
times a learned correction. Only z depends on the picture, and the other factors are separable in y and
x, so a grid is rendered from one small table per axis.

Letters: B batch, h w codes, D width, Q queries, J waves, F = 1 + 2 J numbers per code and colour
(mean, cosines, sines), h' w' the rendered grid.
"""

import math

import torch
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.architecture.weights import lattice_side
from ginr.device import sent
from ginr.geometry.coords import Cell
from ginr.kernels.grid_tables import Table, axis_table, neighbours
from ginr.network.blocks import depth_to_space
from ginr.network.field import Ground, on_ground
from ginr.network.layers import Pointwise

PART = 1 << 22  # pixels of a grid times waves computed at a time by the plain path


class LatticeDecoder(nn.Module):
    """Decodes LPs to codes, at least one per LR pixel, each of J plane waves in three colours."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__()
        lp_side = lattice_side(config)
        pitch = config.window / lp_side  # LR pixels between LPs
        self.expand = max(1, round(pitch))  # codes per LP along one axis
        self.pitch = pitch / self.expand  # LR pixels between codes
        self.min_cell = 1 / config.max_scale
        width, n_wave = config.width, config.n_frequency
        self.spread = Pointwise(width, width * self.expand**2) if self.expand > 1 else None
        self.head = Pointwise(width, 3 * (1 + 2 * n_wave), gain=0.1)
        # Directions in a half plane, radii in (0, 2 pi] radians per LR pixel; LR contains up to pi.
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
        codes: Tensor = self.map(features).unflatten(-1, (3, -1))
        return codes

    def map(self, features: Tensor) -> Tensor:
        """Maps features (..., D) linearly to the numbers of a code, (..., 3 F)."""
        numbers: Tensor = self.head(features)
        return numbers

    def gain(self, cells: Tensor) -> Tensor:
        """The gain (..., 1 + J) of the mean and each wave for a footprint (..., 2) in LR pixels.

        Footprints are clamped to the smallest one of training: finer renders sample the same field more
        densely (as in LTE, Lee and Jin 2022).
        """
        cells = cells.clamp(min=self.min_cell)
        left_y, left_x = torch.sinc(cells[..., None, :] * self.waves / (2 * math.pi)).unbind(-1)
        left = left_y * left_x  # (..., J); not prod, whose gradient synchronizes with the device
        left = torch.cat([torch.ones_like(left[..., :1]), left], -1)
        correction: Tensor = self.footprint(4 * cells.clamp(max=1) - 2)
        return left * (1 + correction)

    def query(self, codes: Tensor, places: Tensor, cells: Tensor) -> Tensor:
        """places (B, Q, 2), cells (B, Q or 1, 2) in LR pixels -> rgb (B, Q, 3)."""
        return read_codes(codes, places, self.pitch, self.gain(cells), self.waves)

    def render(
        self, codes: Tensor, ground: Ground | None, rows: Tensor, columns: Tensor, cell: Cell
    ) -> Tensor:
        """The grid rows (h') x columns (w'), added to its ground, (B, 3, h', w').

        Computed in parts of some rows, without device synchronization.
        """
        rows, columns = sent(rows, codes.device), sent(columns, codes.device)
        table_x = self._table(columns, cell, 1, codes)
        n_row = PART // (max(len(columns), codes.shape[2]) * len(self.waves))
        tables_y = (self._table(part, cell, 0, codes) for part in rows.split(max(1, n_row)))
        field = torch.cat([self._rows(codes, table_y, table_x) for table_y in tables_y], dim=2)
        return on_ground(field, ground, rows, columns)

    def _rows(self, codes: Tensor, table_y: Table, table_x: Table) -> Tensor:
        """A grid (B, 3, h', w') from the tables of its axes, summed along y, then along x."""
        n_wave = len(self.waves)
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

    def _table(self, places: Tensor, cell: Cell, axis: int, like: Tensor) -> Table:
        """The table of an axis at places (n,); that of y includes the footprint's gain."""
        gain = self.gain(sent(torch.tensor(cell), self.waves.device)) if axis == 0 else None
        table = axis_table(places, self.pitch, like.shape[1 + axis], self.waves[:, axis], gain)
        index, *factors = table
        return index, *(factor.to(like) for factor in factors)


def read_codes(codes: Tensor, places: Tensor, pitch: float, gain: Tensor, waves: Tensor) -> Tensor:
    """Colours (B, Q, 3) at places (B, Q, 2) in LR pixels, from the four codes around each.

    codes (B, h, w, 3, F), `pitch` LR pixels apart; gain (B, Q or 1, 1 + J); waves (J, 2).
    """
    n_batch, height, width = codes.shape[:3]
    y, wy, dy = neighbours(places[..., 0], pitch, height)  # (B, Q, 2)
    x, wx, dx = neighbours(places[..., 1], pitch, width)
    rows = codes.flatten(0, 2).flatten(1)  # (B h w, 3 F)
    picture = torch.arange(n_batch, device=codes.device)[:, None] * height
    left = torch.cat([gain, gain[..., 1:]], -1)  # (B, Q or 1, F)
    rgb = torch.zeros((), device=codes.device)
    for k, m in ((0, 0), (0, 1), (1, 0), (1, 1)):
        offset = torch.stack([dy[..., k], dx[..., m]], -1)
        phase = offset @ waves.t()  # (B, Q, J)
        basis = torch.cat([torch.ones_like(phase[..., :1]), phase.cos(), phase.sin()], -1)
        basis = basis * left * (wy[..., k] * wx[..., m])[..., None]  # (B, Q, F)
        place = (picture + y[..., k]) * width + x[..., m]  # (B, Q)
        # Not rows[place], whose gradient sorts all places.
        code = rows.index_select(0, place.flatten()).view(*place.shape, *codes.shape[3:])
        rgb = rgb + (code * basis[:, :, None]).sum(-1)
    return rgb
