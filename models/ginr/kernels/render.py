"""Renders a grid with the lattice decoder on the CPU, adding the base and applying limits, in one pass.

Letters: B batch, h w codes, J waves, F = 1 + 2 J, h' w' the grid. Arrays are C-contiguous.
"""

from collections import namedtuple

import numpy as np

from ginr.architecture.limits import N_LIMIT
from ginr.kernels.activations import constant
from ginr.kernels.compile import claim_next, fused, inlined
from ginr.kernels.limits import limit_row
from ginr.kernels.simd import fma, load, store, total
from ginr.kernels.sizes import LANES

_Room = namedtuple("_Room", "first_code tall mean first_tap line first_pixel around here row")


@inlined
def _room(codes, grid):
    # A thread's buffers for one row of the grid; they hold the codes or pixels between the first and
    # the last that a row reads.
    x = grid.x
    n_across, n_pixel = x.code.max() + 1 - x.code.min(), x.pixel.max() + 1 - x.pixel.min()
    return _Room(
        first_code=x.code.min(),
        tall=np.empty(n_across * 3 * (codes.shape[4] - 1), np.float32),  # waves summed along y
        mean=np.empty((n_across, 3), np.float32),  # means summed along y
        first_tap=x.tap.min(),
        line=np.empty((3, x.tap.max() + 1 - x.tap.min()), np.float32),  # the base, along y
        first_pixel=x.pixel.min(),
        around=np.empty((n_pixel, N_LIMIT), np.float32),  # limits, along y
        here=np.empty(N_LIMIT, np.float32),  # limits at one place
        row=np.empty((3, x.code.shape[0]), np.float32),  # the result
    )


@inlined
def _along_y(i, row, codes, base, axis, room):
    # Sums codes and base along y, into room.tall, room.mean and room.line.
    _, height, across, _, n_code = codes.shape
    n_wave = n_code // 2
    lo, tall, mean, wave = room.first_code, room.tall, room.mean, axis.wave
    for k in range(2):
        r, share = axis.code[row, k], axis.code_share[row, k]
        for place in range(mean.shape[0]):
            for c in range(3):
                at = (((i * height + r) * across + lo + place) * 3 + c) * n_code
                level = share * codes[i, r, lo + place, c, 0]
                mean[place, c] = level if k == 0 else mean[place, c] + level
                for j in range(0, n_wave, LANES):
                    a, b = load(codes, at + 1 + j), load(codes, at + 1 + n_wave + j)
                    table = (row * 2 + k) * 2 * n_wave + j
                    cosine, sine = load(wave, table), load(wave, table + n_wave)
                    to = (place * 3 + c) * 2 * n_wave + j
                    even, odd = fma(b, sine, a * cosine), b * cosine - a * sine
                    if k == 1:
                        even, odd = even + load(tall, to), odd + load(tall, to + n_wave)
                    store(tall, to, even)
                    store(tall, to + n_wave, odd)
    line, tap, share = room.line, axis.tap, axis.tap_share
    for c in range(3):
        for column in range(line.shape[1]):
            level = np.float32(0.0)
            for k in range(4):
                level += share[row, k] * base[i, c, tap[row, k], room.first_tap + column]
            line[c, column] = level


@inlined
def _along_x(n_wave, axis, room):
    # Sums them along x, into room.row.
    code, code_share, tap, tap_share = axis.code, axis.code_share, axis.tap, axis.tap_share
    wave, tall, mean, line, out = axis.wave, room.tall, room.mean, room.line, room.row
    lo, first, span = room.first_code, room.first_tap, 2 * n_wave
    for column in range(out.shape[1]):
        red = green = blue = constant(0.0)
        for k in range(2):
            at = (code[column, k] - lo) * 3 * span
            table = (column * 2 + k) * span
            for j in range(0, span, LANES):
                factor = load(wave, table + j)
                red = fma(factor, load(tall, at + j), red)
                green = fma(factor, load(tall, at + span + j), green)
                blue = fma(factor, load(tall, at + 2 * span + j), blue)
        out[0, column], out[1, column], out[2, column] = total(red), total(green), total(blue)
    for c in range(3):
        for column in range(out.shape[1]):
            level = out[c, column]
            for k in range(4):
                level += tap_share[column, k] * line[c, tap[column, k] - first]
            for k in range(2):
                level += code_share[column, k] * mean[code[column, k] - lo, c]
            out[c, column] = level


@inlined(inline="always")
def _render_row(i, row, codes, grid, room):
    # Renders row `row` of picture i into room.row.
    y, x = grid.y, grid.x
    _along_y(i, row, codes, grid.base, y, room)
    _along_x(codes.shape[4] // 2, x, room)
    sides = y.pixel[row], y.pixel_share[row], x.pixel, x.pixel_share
    limit_row(grid.limits[i], *sides, room.first_pixel, room.around, room.here, room.row)


@fused
def render_lattice(claim, codes, grid, out):
    """Renders out (B, 3, h', w') from codes (B, h, w, 3, F) and a `Grid`."""
    height, room = out.shape[2], _room(codes, grid)
    n_task = codes.shape[0] * height
    task = claim_next(claim)
    while task < n_task:
        i, row = task // height, task % height
        _render_row(i, row, codes, grid, room)
        for c in range(3):
            for column in range(out.shape[3]):
                out[i, c, row, column] = room.row[c, column]
        task = claim_next(claim)


@inlined(fastmath=False)
def _quantize(answer, peak, out):
    # Rounds answer (3, n) to the first three channels of out (n, C), as `ginr.pictures.quantize` does.
    for column in range(answer.shape[1]):
        for c in range(3):
            level = min(max(answer[c, column], np.float32(0.0)), np.float32(1.0)) * peak
            out[column, c] = np.int32(level + np.float32(0.5))


@fused
def render_samples(claim, codes, grid, peak, out):
    """`render_lattice` for one picture, rounded to integers up to peak, out (h', w', C)."""
    room, first = _room(codes, grid), np.int64(0)  # a literal 0 would compile every part again
    row = claim_next(claim)
    while row < out.shape[0]:
        _render_row(first, row, codes, grid, room)
        _quantize(room.row, peak, out[row])
        row = claim_next(claim)
