"""The attention decoder: a query attends to the LPs around it and reads bands of plane waves.

f(c) = bias + sum over bands l of P_l h_l + d_l O_l v_l,   v_l = gelu(W_l h_l + C_l v_(l-1)),
h_lj = g_j(cell) sum over LPs i of w_li(c) Re( conj(z_ij) exp(i omega_j (c - a_i)) )

Cross-attention, with a bias by the distance to each LP's anchor a_i, selects what to read; bands of
waves from coarse to fine, modulated by what was read, are added up. The idea is that of LAINR (Lee,
Kim, Cho and Han, "Locality-aware generalizable implicit neural representation", arXiv 2310.05624).
Here waves are relative to the anchors, so that all windows are alike; g is the share of a wave that
is left after averaging over the pixel's footprint, and d_l the mean of g over the band.

Attention has compact support: weights fall smoothly to zero at a fixed radius. A query therefore
needs only the LPs of its own and nearby cells, in any window, and the field has no seams.

Letters: B batch, h w cells, n LPs per cell, K LPs within the radius, D width, Q queries, U cells with
queries, M the most queries in a cell, H bands (a head each), J waves per band, C numbers per code.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import Index, window_plan
from ginr.architecture.weights import N_BAND, N_KEY
from ginr.array_types import Doubles
from ginr.geometry.coords import Cell
from ginr.network.field import Ground, on_ground
from ginr.network.layers import RESIDUAL_INIT, Pointwise

N_PLACE = 3  # harmonics along each axis that encode the place of a query in its cell
assert N_KEY == 1 + 4 * N_PLACE  # a key gives an LP's score as a function of that place
BLOCK = 128, 256  # rows and columns of a grid rendered at a time
CUTOFF = 1e-30  # smallest square root of a weight, to keep its logarithm finite


@dataclass(frozen=True)
class Surroundings:
    """The LPs within reach of a cell: a square of the LP lattice, or a whole window."""

    side: float  # side of a cell in LR pixels
    radius: float  # distance in LR pixels at which the weight of an LP becomes zero
    cell: Index  # (K, 2) the cell of each, relative to the query's, y first
    number: Index  # (K,) its number in that cell
    anchor: Doubles  # (K, 2) its place in LR pixels from the middle of the query's cell

    def within(self, rows: int, columns: int) -> "Surroundings":
        """Those that a lattice of cells of this size can hold."""
        held = (np.abs(self.cell) < (rows, columns)).all(1)
        return replace(
            self, cell=self.cell[held], number=self.number[held], anchor=self.anchor[held]
        )


@lru_cache(maxsize=16)
def surroundings(config: GinrConfig) -> Surroundings:
    """The surroundings of any cell, from the anchors of the LPs."""
    window = window_plan(config)
    if window.decoded_side:
        side, own = config.window / window.decoded_side, np.zeros((1, 2))
    else:
        side = float(config.window)
        own = (window.anchors + 0.5) * config.patch - side / 2  # (n, 2)
    line = np.linspace(-side / 2, side / 2, 65)
    places = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 1, 2)
    # Twice the largest distance of a place from the nearest LP in its own cell.
    radius = 2 * float(np.linalg.norm(places - own, axis=-1).min(1).max())
    most = math.ceil(radius / side + 0.5)
    around = np.arange(-most, most + 1)
    cells = np.stack(np.meshgrid(around, around, indexing="ij"), -1).reshape(-1, 1, 2)
    anchors = cells * side + own  # (cells, n, 2)
    outside = (np.abs(anchors) - side / 2).clip(0)  # from the nearest place of the query's cell
    seen, number = np.nonzero(np.linalg.norm(outside, axis=-1) < radius)
    return Surroundings(side, radius, cells[seen, 0], number, anchors[seen, number])


class _Groups(NamedTuple):
    """Queries grouped by cell: those of each cell form one row of a matrix."""

    cells: Tensor  # (U, 3) batch, row and column of every cell with queries
    slot: Tensor  # (B Q,) index of every query among the U M
    offset: Tensor
    """(U, M, 2) place of every query in LR pixels from the middle of its cell, zero-padded."""


class AttentionDecoder(nn.Module):
    """Cross-attention to LPs, with or without a lattice, and bands of plane waves."""

    def __init__(self, config: GinrConfig) -> None:
        super().__init__()
        self.around = surroundings(config)
        width, n_wave, hidden = config.width, config.n_frequency, config.hidden
        self.key = Pointwise(width, N_BAND * N_KEY)
        self.value = Pointwise(width, 2 * N_BAND * n_wave)
        # Finer bands are more local: weights fall to 1/e at 0.5, 0.42 and 0.35 of the radius.
        self.slope = nn.Parameter(torch.tensor([4.0, 5.7, 8.0]).log())
        self.waves = nn.Parameter(_waves(n_wave))
        self.colour = nn.ModuleList(nn.Linear(n_wave, 3, bias=False) for _ in range(N_BAND))
        self.band = nn.ModuleList(nn.Linear(n_wave, hidden) for _ in range(N_BAND))
        self.carry = nn.ModuleList(nn.Linear(hidden, hidden, bias=False) for _ in range(N_BAND - 1))
        out = [nn.Linear(hidden, 3, bias=False) for _ in range(N_BAND)]
        for layer in out:
            nn.init.normal_(layer.weight, std=RESIDUAL_INIT * hidden**-0.5)
        self.out = nn.ModuleList(out)
        self.bias = nn.Parameter(torch.full((3,), 0.5 if config.base == "none" else 0.0))

    def codes(self, features: Tensor) -> Tensor:
        """features (B, h, w, D), or (B, h, w, n, D) by windows -> keys and values (B, h, w, n, C)."""
        codes = torch.cat([self.key(features), self.value(features)], -1)
        return codes.unsqueeze(3) if codes.ndim == 4 else codes

    def query(self, codes: Tensor, places: Tensor, cells: Tensor) -> Tensor:
        """places (B, Q, 2), cells (B, Q or 1, 2) in LR pixels -> rgb (B, Q, 3)."""
        gain = self.gain(cells).to(codes)  # (H, B, Q or 1, J)
        waves = self._attend(codes, places) * gain  # (H, B, Q, J)
        rgb, hidden = self.bias, None
        for level, damping in enumerate(gain.mean(-1, keepdim=True)):
            new = self.band[level](waves[level])
            if hidden is not None:
                new = new + self.carry[level - 1](hidden)
            hidden = F.gelu(new)
            rgb = rgb + self.colour[level](waves[level]) + damping * self.out[level](hidden)
        return rgb

    def render(
        self, codes: Tensor, ground: Ground | None, rows: Tensor, columns: Tensor, cell: Cell
    ) -> Tensor:
        """The grid of rows (h') x columns (w') `on_ground`, (B, 3, h', w'), block by block."""
        n_batch, device = codes.shape[0], codes.device
        cells = torch.tensor(cell, device=device, dtype=codes.dtype).expand(n_batch, 1, 2)
        strips = []
        for y in rows.split(BLOCK[0]):
            blocks = []
            for x in columns.split(BLOCK[1]):
                places = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flatten(0, 1)
                rgb = self.query(codes, places.to(device).expand(n_batch, -1, 2), cells)
                blocks.append(rgb.unflatten(1, (len(y), len(x))).permute(0, 3, 1, 2))
            strips.append(torch.cat(blocks, 3))
        field = torch.cat(strips, 2)
        return on_ground(field, ground, rows, columns)

    def gain(self, cells: Tensor) -> Tensor:
        """Share of each wave left after averaging over footprints (..., 2): (H, ..., J)."""
        phase = torch.einsum("...d,hjd->hj...d", cells, self.waves)
        left: Tensor = torch.sinc(phase / (2 * math.pi)).prod(-1)
        return left.movedim(1, -1)

    def _attend(self, codes: Tensor, places: Tensor) -> Tensor:
        """The waves read by each query, (H, B, Q, J); by cell, so that each LP is gathered once."""
        groups = _group(places, codes.shape[1:3], self.around.side)
        offset = groups.offset.to(codes.dtype)  # (U, M, 2)
        around = self.around.within(*codes.shape[1:3])
        seen, absent = self._seen(codes, groups.cells, around)  # (U, K, C), (U, K)
        anchors = torch.as_tensor(around.anchor).to(offset)  # (K, 2)
        anchor = anchors / self.around.radius
        place = offset.transpose(1, 2) / self.around.radius  # (U, 2, M)
        # |place - anchor|^2; the softmax ignores the term common to all LPs.
        relative = anchor.square().sum(-1, keepdim=True) - 2 * anchor @ place  # (U, K, M)
        distance = relative + place.square().sum(1, keepdim=True)
        near = 2 * (1 - distance).clamp_min(CUTOFF).log()
        near = near.masked_fill(absent[..., None], -math.inf)
        keys = seen[..., : N_BAND * N_KEY].unflatten(-1, (N_BAND, N_KEY)).permute(2, 0, 1, 3)
        scores = keys @ self._place_features(offset)  # (H, U, K, M)
        scores = scores + near - self.slope.exp()[:, None, None, None] * relative
        weights = scores.softmax(2).transpose(2, 3)  # (H, U, M, K)
        cosine, sine = (weights @ part for part in self._turned(seen, anchors))  # (H, U, M, J)
        phase = torch.einsum("umd,hjd->humj", offset, self.waves)
        waves = cosine * phase.cos() + sine * phase.sin()
        rows = waves.flatten(1, 2).index_select(1, groups.slot)
        asked: Tensor = rows.unflatten(1, places.shape[:2])
        return asked

    def _seen(self, codes: Tensor, cells: Tensor, around: Surroundings) -> tuple[Tensor, Tensor]:
        """The codes (U, K, C) around each cell, and where there are none, beyond the border (U, K)."""
        rows, columns, n_lp = codes.shape[1:4]
        step, number = (
            torch.as_tensor(index, device=codes.device) for index in (around.cell, around.number)
        )
        place = cells[:, None, 1:] + step  # (U, K, 2)
        y, x = place[..., 0].clamp(0, rows - 1), place[..., 1].clamp(0, columns - 1)
        absent = (y != place[..., 0]) | (x != place[..., 1])
        index = ((cells[:, :1] * rows + y) * columns + x) * n_lp + number
        seen: Tensor = codes.flatten(0, 3).index_select(0, index.flatten())
        return seen.unflatten(0, absent.shape), absent

    def _turned(self, seen: Tensor, anchor: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitudes of cosine and sine about the middle of the query's cell, (H, U, K, J) each.

        `anchor` (K, 2) are the places of the LPs that are seen.
        """
        values = seen[..., N_BAND * N_KEY :].unflatten(-1, (2, N_BAND, -1)).permute(2, 3, 0, 1, 4)
        phase = torch.einsum("kd,hjd->hkj", anchor, self.waves)[:, None]
        cosine, sine = phase.cos(), phase.sin()
        a, b = values
        return a * cosine - b * sine, a * sine + b * cosine

    def _place_features(self, offset: Tensor) -> Tensor:
        """Fourier features (U, N_KEY, M) of places (U, M, 2) in their cell: continuous across cells."""
        turns = torch.arange(1, N_PLACE + 1).to(offset) * (2 * math.pi / self.around.side)
        phase = (offset.transpose(1, 2)[:, None] * turns[:, None, None]).flatten(1, 2)
        return torch.cat([torch.ones_like(phase[:, :1]), phase.cos(), phase.sin()], 1)


def _waves(n_wave: int) -> Tensor:
    """Plane waves (H, J, 2), radians per LR pixel, over half the plane, from coarse to fine.

    Radii go up to 1.2 pi, slightly beyond the Nyquist frequency of LR, and are denser at low
    frequencies, which carry most of a picture. The first wave of the first band is constant.
    """
    index = torch.arange(N_BAND * n_wave)
    radius = 1.2 * math.pi * (index / (N_BAND * n_wave)) ** 0.75
    angle = math.pi * (index * 0.6180339887)
    waves: Tensor = torch.stack([radius * angle.sin(), radius * angle.cos()], -1)
    return waves.reshape(N_BAND, n_wave, 2)


def _group(places: Tensor, shape: torch.Size, side: float) -> _Groups:
    """Group queries at places (B, Q, 2) in LR pixels by cells of a side, `shape` of them."""
    rows, columns = shape
    last = torch.tensor([rows - 1, columns - 1], device=places.device)
    cell = torch.minimum(((places + 0.5) / side).floor().long().clamp_min(0), last)
    offset = places - ((cell + 0.5) * side - 0.5)
    batch = torch.arange(places.shape[0], device=places.device)[:, None]
    key = ((batch * rows + cell[..., 0]) * columns + cell[..., 1]).flatten()
    order = key.argsort(stable=True)
    used, of_sorted, count = torch.unique_consecutive(
        key[order], return_inverse=True, return_counts=True
    )
    most = int(count.max())
    rank = torch.arange(len(key), device=key.device) - (count.cumsum(0) - count)[of_sorted]
    slot = torch.empty_like(key)
    slot[order] = of_sorted * most + rank
    filled = offset.new_zeros(len(used) * most, 2).index_copy(0, slot, offset.flatten(0, 1))
    cells = torch.stack([used // (rows * columns), used // columns % rows, used % columns], -1)
    return _Groups(cells, slot, filled.unflatten(0, (-1, most)))
