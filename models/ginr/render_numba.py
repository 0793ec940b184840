"""The lattice decoder's grid on the CPU: one thread per output row, base and field in one pass.

Letters: B batch, h w codes, J waves, F = 1 + 2 J, h' w' the grid. All arrays are C-contiguous.
"""

import math

import numpy as np
from numba import njit

from ginr.fused import fused, take


@fused
def render_lattice(
    claim, codes, base, y, wy, cos_y, sin_y, x, wx, waves_x, taps_y, cubic_y, taps_x, cubic_x, out
):
    """Fill out (B, 3, h', w') from codes (B, h, w, 3, F) and base (B, 3, H, W).

    y, x (n, 2) neighbours, wy, wx their weights; cos_y, sin_y (h', 2, J) and waves_x (w', 2, 2 J)
    weighted tables; taps_y, cubic_y (h', 4) and taps_x, cubic_x (w', 4) of the base.
    """
    n_batch, _, _, _, n_code = codes.shape
    n_wave = n_code // 2
    height, width = out.shape[2], out.shape[3]
    lo, hi = x.min(), x.max() + 1
    base_lo, base_hi = taps_x.min(), taps_x.max() + 1
    n_task = n_batch * height
    task = take(claim)
    while task < n_task:
        i, row = task // height, task % height
        tall = np.zeros((hi - lo, 3, 2 * n_wave), np.float32)
        mean = np.zeros((hi - lo, 3), np.float32)
        line = np.zeros((3, base_hi - base_lo), np.float32)
        for k in range(2):
            r = y[row, k]
            for column in range(hi - lo):
                for c in range(3):
                    mean[column, c] += wy[row, k] * codes[i, r, lo + column, c, 0]
                    for j in range(n_wave):
                        a = codes[i, r, lo + column, c, 1 + j]
                        b = codes[i, r, lo + column, c, 1 + n_wave + j]
                        tall[column, c, j] += a * cos_y[row, k, j] + b * sin_y[row, k, j]
                        tall[column, c, n_wave + j] += b * cos_y[row, k, j] - a * sin_y[row, k, j]
        for k in range(4):
            for c in range(3):
                for column in range(base_hi - base_lo):
                    pixel = base[i, c, taps_y[row, k], base_lo + column]
                    line[c, column] += cubic_y[row, k] * pixel
        for column in range(width):
            for c in range(3):
                total = np.float32(0.0)
                for k in range(4):
                    total += cubic_x[column, k] * line[c, taps_x[column, k] - base_lo]
                for k in range(2):
                    place = x[column, k] - lo
                    total += wx[column, k] * mean[place, c]
                    for j in range(2 * n_wave):
                        total += waves_x[column, k, j] * tall[place, c, j]
                out[i, c, row, column] = total
        task = take(claim)


@njit(inline="always")
def _sine(turns):
    # sin(2 pi t) for |t| <= 1/4 by its series to the 11th power: error 6e-8
    x = turns * np.float32(6.283185307179586)
    q = x * x
    p = np.float32(-2.5052108e-8) * q + np.float32(2.7557319e-6)
    p = p * q - np.float32(1.9841270e-4)
    p = p * q + np.float32(8.3333333e-3)
    p = p * q - np.float32(1.6666667e-1)
    return x + x * q * p


@njit(inline="always")
def _waves_at(offset_y, offset_x, waves, weight, cosine, sine):
    # weight cos(waves . offset) and weight sin(waves . offset), (J,) each, from waves (J, 2).
    for j in range(waves.shape[0]):
        turns = (offset_y * waves[j, 0] + offset_x * waves[j, 1]) * np.float32(0.15915494309189535)
        turns -= np.floor(turns + np.float32(0.5))  # [-1/2, 1/2)
        size = abs(turns)
        folded = min(size, np.float32(0.5) - size)  # sin is the same at 1/2 - t
        cosine[j] = weight * _sine(np.float32(0.25) - size)
        sine[j] = weight * math.copysign(np.float32(1.0), turns) * _sine(folded)


@fused
def query_forward(claim, codes, index, weight, offset, gain, waves, out):
    """Colours out (B, Q, 3) of Q places in each of B pictures.

    codes (B, h w, 3, F); index, weight (B, Q, 4) and offset (B, Q, 4, 2) of the four codes around
    a place; gain (B, Q or 1, 1 + J); waves (J, 2).
    """
    n_batch, n_query, n_near = index.shape
    n_wave = waves.shape[0]
    one_gain = gain.shape[1] == 1
    n_task = n_batch * n_query
    task = take(claim)
    while task < n_task:
        i, q = task // n_query, task % n_query
        cosine, sine = np.empty(n_wave, np.float32), np.empty(n_wave, np.float32)
        left = gain[i, 0 if one_gain else q]
        for c in range(3):
            out[i, q, c] = np.float32(0.0)
        for k in range(n_near):
            w = weight[i, q, k]
            _waves_at(offset[i, q, k, 0], offset[i, q, k, 1], waves, w, cosine, sine)
            for j in range(n_wave):
                cosine[j] *= left[1 + j]
                sine[j] *= left[1 + j]
            code = codes[i, index[i, q, k]]
            for c in range(3):
                total = w * left[0] * code[c, 0]
                for j in range(n_wave):
                    total += cosine[j] * code[c, 1 + j]
                for j in range(n_wave):
                    total += sine[j] * code[c, 1 + n_wave + j]
                out[i, q, c] += total
        task = take(claim)


@fused
def query_backward(
    claim, codes, index, weight, offset, gain, waves, grad, grad_codes, grad_gain, grad_waves
):
    """Gradients of `query_forward`; all come zeroed, grad_waves (B, J, 2) is per picture."""
    n_batch, n_query, n_near = index.shape
    n_wave = waves.shape[0]
    one_gain = gain.shape[1] == 1
    n_task = n_batch
    i = take(claim)
    while i < n_task:
        cosine, sine = np.empty(n_wave, np.float32), np.empty(n_wave, np.float32)
        to_cosine, to_sine = np.empty(n_wave, np.float32), np.empty(n_wave, np.float32)
        for q in range(n_query):
            g = 0 if one_gain else q
            for k in range(n_near):
                place = index[i, q, k]
                dy, dx = offset[i, q, k, 0], offset[i, q, k, 1]
                w = weight[i, q, k]
                _waves_at(dy, dx, waves, w, cosine, sine)
                for j in range(n_wave):
                    to_cosine[j] = np.float32(0.0)
                    to_sine[j] = np.float32(0.0)
                for c in range(3):
                    go = grad[i, q, c]
                    grad_gain[i, g, 0] += go * w * codes[i, place, c, 0]
                    grad_codes[i, place, c, 0] += go * w * gain[i, g, 0]
                    for j in range(n_wave):
                        to_cosine[j] += go * codes[i, place, c, 1 + j]
                    for j in range(n_wave):
                        to_sine[j] += go * codes[i, place, c, 1 + n_wave + j]
                    for j in range(n_wave):
                        grad_codes[i, place, c, 1 + j] += go * gain[i, g, 1 + j] * cosine[j]
                    for j in range(n_wave):
                        grad_codes[i, place, c, 1 + n_wave + j] += go * gain[i, g, 1 + j] * sine[j]
                for j in range(n_wave):
                    along = to_cosine[j] * cosine[j] + to_sine[j] * sine[j]
                    turn = to_sine[j] * cosine[j] - to_cosine[j] * sine[j]
                    turn *= gain[i, g, 1 + j]
                    grad_gain[i, g, 1 + j] += along
                    grad_waves[i, j, 0] += turn * dy
                    grad_waves[i, j, 1] += turn * dx
        i = take(claim)
