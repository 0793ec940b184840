"""The mixer of a block on the CPU in one pass, from the lattices and back: a window at a time.

Its rows are gathered along the curve and normalised, projected, convolved and scanned both ways, gated,
normalised, projected and added where they came from; nothing but the sum leaves the thread's cache.

Letters: B batch, W windows, T steps, D width, E inner width, M heads, K channels per head, S state,
C = E + 2 S packed channels, J taps. Here D, E and C are multiples of LANES and S is one of STATES.
"""

import numpy as np

from ginr.kernels.activations import constant, exp, layer_norm, silu, softplus
from ginr.kernels.compile import fused, inlined, take
from ginr.kernels.scan import scan_states
from ginr.kernels.simd import ROWS, fma, load, product, spread, store, total
from ginr.kernels.sizes import COLUMNS, LANES, TAPS


@inlined
def gather(tokens, lps, i, order, first, n_step, scale, shift, normed):
    """The steps of a window of picture i, normalised, (T, D)."""
    n_token, depth = tokens.shape[1:]
    for t in range(n_step):
        place = order[first + t]
        if place < n_token:
            source = (i * n_token + place) * depth
            layer_norm(tokens, source, scale, shift, normed, t * depth, depth)
        else:
            source = (i * lps.shape[1] + place - n_token) * depth
            layer_norm(lps, source, scale, shift, normed, t * depth, depth)


@inlined
def project(x, n_step, weight, rows, begin):
    """x (T, K) times weight in panels (n, K, COLUMNS), into rows of whole panels from `begin` on."""
    n_panel, n_in = weight.shape[:2]
    wide = n_panel * COLUMNS
    for panel in range(n_panel):
        for t in range(0, n_step, ROWS):
            at = begin + t * wide + panel * COLUMNS
            product(x, t * n_in, n_in, n_in, weight, panel * n_in * COLUMNS, rows, at, wide)


@inlined
def steps(rows, wide, first, n_step, step_bias, log_decay, head_dim, delta, decay, work):
    """dt = softplus(step + bias) and exp(dt a) of every step, each head's number once per channel."""
    # What a vector writes beyond its head is written over by the next one, or in the one left over.
    n_head = step_bias.shape[0]
    for start in range(0, n_step, LANES):
        some = min(LANES, n_step - start)
        for m in range(n_head):
            for k in range(some):
                work[m, 0, k] = rows[first + (start + k) * wide + m]
            at = m * 2 * LANES
            dt = softplus(load(work, at) + spread(step_bias[m]))
            store(work, at, dt)
            store(work, at + LANES, exp(dt * spread(-np.exp(log_decay[m]))))
        for k in range(some):
            for m in range(n_head):
                for c in range(0, head_dim, LANES):
                    at = ((start + k) * n_head + m) * head_dim + c
                    store(delta, at, spread(work[m, 0, k]))
                    store(decay, at, spread(work[m, 1, k]))


@inlined
def convolve(rows, wide, first, n_step, weight, bias, reverse, mixed):
    """mixed (T, C) = silu(convolution of rows), which are zeros before the first and after the last."""
    n_tap, n_packed = weight.shape
    back = wide if reverse else -wide
    for c in range(0, n_packed, LANES):
        w0, w1 = load(weight, c), load(weight, n_packed + c)
        w2, w3 = load(weight, 2 * n_packed + c), load(weight, 3 * n_packed + c)
        shift = load(bias, c)
        for t in range(n_step):
            at = first + t * wide + c
            summed = fma(w0, load(rows, at), shift)
            summed = fma(w1, load(rows, at + back), summed)
            summed = fma(w2, load(rows, at + 2 * back), summed)
            summed = fma(w3, load(rows, at + 3 * back), summed)
            for j in range(TAPS, n_tap):
                tap = load(weight, j * n_packed + c)
                summed = fma(tap, load(rows, at + j * back), summed)
            store(mixed, t * n_packed + c, silu(summed))


@fused
def mix(
    claim, tokens, lps, order, n_window, scale, shift, weight_in, n_state, conv_weight, conv_bias,
    log_decay, step_bias, skip, norm, weight_out, kept, starts, out_tokens, out_lps,
):  # fmt: skip
    """out = in + mixer(norm(in)), tokens (B, L, D) and lps (B, N, D) of a whole picture.

    order (W T,) indexes tokens, then LPs; scale, shift (D,) of the norm; weight_in (n, D, COLUMNS)
    gives the packed channels, the gates (E) and the steps (M) in panels; conv_weight (2, J, C), the
    present step first, conv_bias (2, C), log_decay and step_bias (2, M), skip (2, E) one number per
    channel, norm (E,); weight_out (n', E, COLUMNS) in panels. Unless they are empty, kept (B W, T, E)
    is given the sum of the scans, and starts (2, B W, E S T / CHUNK) the states that they keep.
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
    n_tap = conv_weight.shape[1]
    n_task = n_batch * n_window
    normed = np.empty(n_row * max(depth, n_inner), np.float32)
    begin = n_tap * wide  # rows of zeros for the convolution on both sides
    rows = np.zeros(n_row * wide + 2 * begin, np.float32)
    mixed = np.empty(n_step * n_packed, np.float32)
    gained = np.empty(n_step * n_inner + LANES, np.float32)
    decay = np.empty(n_step * n_inner + LANES, np.float32)
    y = np.empty(n_step * n_inner, np.float32)
    work = np.zeros((step_bias.shape[1], 2, LANES), np.float32)
    answer = np.empty(ROWS * COLUMNS, np.float32)
    task = take(claim)
    while task < n_task:
        i, first = task // n_window, task % n_window * n_step
        gather(tokens, lps, i, order, first, n_step, scale, shift, normed)
        project(normed, n_step, weight_in, rows, begin)
        for k in range(begin + n_step * wide, begin + n_row * wide):
            rows[k] = np.float32(0.0)
        for k in range(0, n_step * n_inner, LANES):
            store(y, k, constant(0.0))
        for direction in range(2):
            reverse = direction == 1
            bias, rates = step_bias[direction], log_decay[direction]
            at = begin + n_packed + n_inner
            steps(rows, wide, at, n_step, bias, rates, head_dim, gained, decay, work)
            weight, bias, ahead = conv_weight[direction], conv_bias[direction], skip[direction]
            convolve(rows, wide, begin, n_step, weight, bias, reverse, mixed)
            for t in range(n_step):
                for c in range(0, n_inner, LANES):
                    x, at = load(mixed, t * n_packed + c), t * n_inner + c
                    store(y, at, fma(x, load(ahead, c), load(y, at)))
                    store(gained, at, x * load(gained, at))
            scan_states(
                mixed, 0, gained, decay, n_step, n_inner, n_packed, reverse, n_state, y, 0,
                starts, (direction * n_task + task) * starts.shape[2],
            )  # fmt: skip
        if kept.size:
            for k in range(0, n_step * n_inner, LANES):
                store(kept, task * n_step * n_inner + k, load(y, k))
        for t in range(n_step):
            square = constant(0.0)
            for c in range(0, n_inner, LANES):
                gate = load(rows, begin + t * wide + n_packed + c)
                level = load(y, t * n_inner + c) * silu(gate) * constant(0.5)
                store(normed, t * n_inner + c, level)
                square = fma(level, level, square)
            factor = np.float32(1) / np.sqrt(total(square) / np.float32(n_inner) + np.float32(1e-5))
            for c in range(0, n_inner, LANES):
                at = t * n_inner + c
                store(normed, at, load(normed, at) * spread(factor) * load(norm, c))
        for t in range(0, n_step, ROWS):
            for panel in range(n_last):
                weight_at = panel * n_inner * COLUMNS
                product(
                    normed, t * n_inner, n_inner, n_inner, weight_out, weight_at, answer, 0, COLUMNS
                )
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
