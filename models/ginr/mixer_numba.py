"""The mixer of a block on the CPU in one pass, from the lattices and back: a window at a time.

Its rows are gathered along the curve and normalised, projected, convolved and scanned both ways, gated,
normalised, projected and added where they came from; nothing but the sum leaves the thread's cache.

Letters: B batch, W windows, T steps, D width, E inner width, M heads, K channels per head, S state,
C = E + 2 S packed channels, J taps. D, E and C are multiples of LANES here.
"""

import numpy as np
from numba import njit

from ginr.activations_numba import constant, exp, layer_norm, silu, softplus
from ginr.fused import fused, take
from ginr.simd_numba import COLUMNS, LANES, ROWS, fma, load, product, spread, store, total


@njit
def _steps(rows, wide, step_at, step_bias, log_decay, head_dim, delta, decay, work):
    # dt = softplus(step + bias) and exp(dt a) of every step, each head's number once per channel.
    n_head = step_bias.shape[0]
    n_inner = n_head * head_dim
    n_step = delta.shape[0]
    for m in range(n_head):
        rate = spread(-np.exp(log_decay[m]))
        for first in range(0, n_step, LANES):
            some = min(LANES, n_step - first)
            for k in range(some):
                work[k] = rows[(first + k) * wide + step_at + m]
            dt = softplus(load(work, 0) + spread(step_bias[m]))
            store(work, 0, dt)
            store(work, LANES, exp(dt * rate))
            for k in range(some):
                for c in range(head_dim):
                    delta[first + k, m * head_dim + c] = work[k]
                    decay[first + k, m * head_dim + c] = work[LANES + k]
    return n_inner


@njit
def _scan(rows, wide, weight, bias, skip, delta, decay, reverse, n_state, state, mixed, y):
    # One direction: y (T, E) plus the scan of silu(convolution of rows).
    n_step, n_inner = delta.shape
    n_tap, n_packed = weight.shape
    for k in range(0, n_state * n_inner, LANES):
        store(state, k, constant(0.0))
    for step in range(n_step):
        t = n_step - 1 - step if reverse else step
        for c in range(0, n_packed, LANES):
            summed = load(bias, c)
            for j in range(n_tap):
                back = n_tap - 1 - j
                if back <= step:
                    s = t + back if reverse else t - back
                    summed = fma(load(weight, j * n_packed + c), load(rows, s * wide + c), summed)
            store(mixed, c, silu(summed))
        for c in range(0, n_inner, LANES):
            x = load(mixed, c)
            gained = x * load(delta, t * n_inner + c)
            keep = load(decay, t * n_inner + c)
            answer = fma(x, load(skip, c), load(y, t * n_inner + c))
            for n in range(n_state):
                h = gained * spread(mixed[n_inner + n])
                h = fma(keep, load(state, n * n_inner + c), h)
                store(state, n * n_inner + c, h)
                answer = fma(spread(mixed[n_inner + n_state + n]), h, answer)
            store(y, t * n_inner + c, answer)


@fused
def mix(
    claim, tokens, lps, order, n_window, scale, shift, weight_in, n_state, conv_weight, conv_bias,
    log_decay, step_bias, skip, norm, weight_out, out_tokens, out_lps,
):  # fmt: skip
    """out = in + mixer(norm(in)), tokens (B, L, D) and lps (B, N, D) of a whole picture.

    order (W T,) indexes tokens, then LPs; scale, shift (D,) of the norm; weight_in (n, D, COLUMNS)
    gives the packed channels, the gates (E) and the steps (M) in panels; conv_weight (2, J, C),
    conv_bias (2, C), log_decay and step_bias (2, M), skip (2, E) one number per channel, norm (E,);
    weight_out (n', E, COLUMNS) in panels.
    """
    n_batch, n_token, depth = tokens.shape
    n_lp = lps.shape[1]
    n_step = order.shape[0] // n_window
    n_inner = norm.shape[0]
    n_packed = conv_bias.shape[1]
    head_dim = n_inner // step_bias.shape[1]
    n_panel, n_last = weight_in.shape[0], weight_out.shape[0]
    wide = n_panel * COLUMNS
    n_row = (n_step + ROWS - 1) // ROWS * ROWS
    n_task = n_batch * n_window
    task = take(claim)
    while task < n_task:
        i, first = task // n_window, task % n_window * n_step
        normed = np.empty(n_row * max(depth, n_inner), np.float32)
        rows = np.empty(n_row * wide, np.float32)
        delta = np.empty((n_step, n_inner), np.float32)
        decay = np.empty((n_step, n_inner), np.float32)
        y = np.zeros(n_step * n_inner, np.float32)
        state = np.empty(n_state * n_inner, np.float32)
        mixed = np.empty(n_packed, np.float32)
        work = np.zeros(2 * LANES, np.float32)
        answer = np.empty(ROWS * COLUMNS, np.float32)
        for t in range(n_step):
            place = order[first + t]
            if place < n_token:
                layer_norm(
                    tokens, (i * n_token + place) * depth, scale, shift, normed, t * depth, depth
                )
            else:
                place = (i * n_lp + place - n_token) * depth
                layer_norm(lps, place, scale, shift, normed, t * depth, depth)
        for panel in range(n_panel):
            for t in range(0, n_step, ROWS):
                product(
                    normed, t * depth, depth, depth,
                    weight_in, panel * depth * COLUMNS,
                    rows, t * wide + panel * COLUMNS, wide,
                )  # fmt: skip
        for direction in range(2):
            _steps(
                rows, wide, n_packed + n_inner, step_bias[direction], log_decay[direction],
                head_dim, delta, decay, work,
            )  # fmt: skip
            _scan(
                rows, wide, conv_weight[direction], conv_bias[direction], skip[direction],
                delta, decay, direction == 1, n_state, state, mixed, y,
            )  # fmt: skip
        for t in range(n_step):
            square = constant(0.0)
            for c in range(0, n_inner, LANES):
                gate = load(rows, t * wide + n_packed + c)
                level = load(y, t * n_inner + c) * silu(gate) * constant(0.5)
                store(normed, t * n_inner + c, level)
                square = fma(level, level, square)
            factor = np.float32(1) / np.sqrt(total(square) / np.float32(n_inner) + np.float32(1e-5))
            for c in range(0, n_inner, LANES):
                at = t * n_inner + c
                store(normed, at, load(normed, at) * spread(factor) * load(norm, c))
        for t in range(0, n_step, ROWS):
            for panel in range(n_last):
                product(
                    normed, t * n_inner, n_inner, n_inner,
                    weight_out, panel * n_inner * COLUMNS,
                    answer, 0, COLUMNS,
                )  # fmt: skip
                columns = min(COLUMNS, depth - panel * COLUMNS)
                for r in range(min(ROWS, n_step - t)):
                    place = order[first + t + r]
                    for c in range(0, columns, LANES):
                        value = load(answer, r * COLUMNS + c)
                        if place < n_token:
                            at = (i * n_token + place) * depth + panel * COLUMNS + c
                            store(out_tokens, at, load(tokens, at) + value)
                        else:
                            at = (i * n_lp + place - n_token) * depth + panel * COLUMNS + c
                            store(out_lps, at, load(lps, at) + value)
        task = take(claim)
