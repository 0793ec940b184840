"""The lattice decoder's grid on the CPU: one thread per output row, base and field in one pass.

Letters: B batch, h w codes, J waves, F = 1 + 2 J, h' w' the grid. All arrays are C-contiguous.
"""

import numpy as np
from numba import njit, prange


@njit(parallel=True, fastmath=True, cache=True)
def render_lattice(
    codes, base, y, wy, cos_y, sin_y, x, wx, waves_x, taps_y, cubic_y, taps_x, cubic_x, out
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
    for task in prange(n_batch * height):
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


@njit(parallel=True, fastmath=True, cache=True)
def blend_forward(codes, index, basis, out):
    """out[q, c] = sum_k codes[index[q, k], c] . basis[q, k], for each of B pictures.

    codes (B, h w, 3, F), index (B, Q, 4), basis (B, Q, 4, F), out (B, Q, 3).
    """
    n_batch, n_query, n_near, n_code = basis.shape
    for task in prange(n_batch * n_query):
        i, q = task // n_query, task % n_query
        for c in range(3):
            total = np.float32(0.0)
            for k in range(n_near):
                place = index[i, q, k]
                for f in range(n_code):
                    total += codes[i, place, c, f] * basis[i, q, k, f]
            out[i, q, c] = total


@njit(parallel=True, fastmath=True, cache=True)
def blend_backward(codes, index, basis, grad, grad_codes, grad_basis):
    """Gradients of `blend_forward`; grad_codes comes zeroed. One thread per picture adds to it."""
    n_batch, n_query, n_near, n_code = basis.shape
    for i in prange(n_batch):
        for q in range(n_query):
            for k in range(n_near):
                place = index[i, q, k]
                for f in range(n_code):
                    grad_basis[i, q, k, f] = np.float32(0.0)
                for c in range(3):
                    g = grad[i, q, c]
                    for f in range(n_code):
                        grad_basis[i, q, k, f] += g * codes[i, place, c, f]
                    for f in range(n_code):
                        grad_codes[i, place, c, f] += g * basis[i, q, k, f]
