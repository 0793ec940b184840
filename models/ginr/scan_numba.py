"""Fused loops over time for the CPU with their gradients, a sequence at a time.

Letters: B sequences, T steps, C = E + 2 S packed channels (x, then B, then C of the paper),
E = M K inner width, M heads, K channels per head, S state size, J taps of the convolution.
All arrays are float32 and C-contiguous, C and E multiples of LANES, S one of STATES. `reverse` runs
time backward; nothing is flipped or copied.
"""

import numpy as np
from numba import njit

from ginr.activations_numba import constant, sigmoid, silu
from ginr.fused import fused, take
from ginr.simd_numba import LANES, fma, load, spread, store, totals

CHUNK = 64  # steps between two stored states in the backward pass
STATES = 8  # vectors of LANES channels, one per state, that stay in registers


@fused
def conv_silu_forward(claim, u, weight, bias, reverse, out):
    """out = silu(causal depthwise convolution of u); u, out (B, T, C), weight (J, C), bias (C,)."""
    n_batch, n_step, n_channel = u.shape
    i = take(claim)
    while i < n_batch:
        first = i * n_step * n_channel
        for c in range(0, n_channel, LANES):
            for t in range(n_step):
                store(
                    out,
                    first + t * n_channel + c,
                    silu(_tapped(u, first, t, n_step, n_channel, c, weight, bias, reverse)),
                )
        i = take(claim)


@njit(forceinline=True)
def _tapped(u, first, t, n_step, n_channel, c, weight, bias, reverse):
    # The convolution at step t, LANES channels from c on.
    n_tap = weight.shape[0]
    summed = load(bias, c)
    known = n_step - t if reverse else t + 1
    for back in range(min(n_tap, known)):
        s = t + back if reverse else t - back
        tap = load(weight, (n_tap - 1 - back) * n_channel + c)
        summed = fma(tap, load(u, first + s * n_channel + c), summed)
    return summed


@fused
def conv_silu_backward(claim, u, weight, bias, reverse, grad, grad_u, grad_weight, grad_bias):
    """Gradients of `conv_silu_forward`; grad_weight (B, J, C) and grad_bias (B, C) are per sequence."""
    n_batch, n_step, n_channel = u.shape
    n_tap = weight.shape[0]
    slopes = np.empty(n_step * LANES, np.float32)
    i = take(claim)
    while i < n_batch:
        first = i * n_step * n_channel
        for c in range(0, n_channel, LANES):
            summed = constant(0.0)
            for t in range(n_step):
                x = _tapped(u, first, t, n_step, n_channel, c, weight, bias, reverse)
                gate = sigmoid(x)
                slope = gate * fma(x, constant(1.0) - gate, constant(1.0))
                slope = slope * load(grad, first + t * n_channel + c)
                store(slopes, t * LANES, slope)
                summed = summed + slope
            store(grad_bias, i * n_channel + c, summed)
            for back in range(n_tap):
                summed = constant(0.0)
                for late in range(back, n_step):  # the later of two steps, `back` apart
                    t, s = (
                        (n_step - 1 - late, n_step - 1 - late + back)
                        if reverse
                        else (late, late - back)
                    )
                    value = load(u, first + s * n_channel + c)
                    summed = fma(load(slopes, t * LANES), value, summed)
                store(grad_weight, (i * n_tap + n_tap - 1 - back) * n_channel + c, summed)
            for s in range(n_step):
                summed = constant(0.0)
                left = s + 1 if reverse else n_step - s
                for back in range(min(n_tap, left)):
                    t = s - back if reverse else s + back
                    tap = load(weight, (n_tap - 1 - back) * n_channel + c)
                    summed = fma(tap, load(slopes, t * LANES), summed)
                store(grad_u, first + s * n_channel + c, summed)
        i = take(claim)


@njit
def _of_heads(dt, i, a, head_dim, n_inner, delta, decay):
    # dt and exp(dt a) of every step, each head's number once per channel; what a vector writes
    # beyond its head is written over by the next one.
    _, n_step, n_head = dt.shape
    for t in range(n_step):
        for m in range(n_head):
            keep = np.float32(np.exp(dt[i, t, m] * a[m]))
            for c in range(0, head_dim, LANES):
                at = t * n_inner + m * head_dim + c
                store(delta, at, spread(dt[i, t, m]))
                store(decay, at, spread(keep))


@njit
def scan_states(u, first, gained, decay, n_step, n_inner, n_packed, reverse, n_state, y, y_first):
    """y (T, E) from y_first on += C . h of the sequence whose u (T, C) is from `first` on.

    gained and decay (T, E): dt x and exp(dt a), one number per channel.
    """
    for c in range(0, n_inner, LANES):
        for n in range(0, n_state, STATES):
            h0 = h1 = h2 = h3 = h4 = h5 = h6 = h7 = constant(0.0)
            for step in range(n_step):
                t = n_step - 1 - step if reverse else step
                at = t * n_inner + c
                gain, keep, answer = load(gained, at), load(decay, at), load(y, y_first + at)
                b = first + t * n_packed + n_inner + n
                h0 = fma(keep, h0, gain * spread(u[b + 0]))
                h1 = fma(keep, h1, gain * spread(u[b + 1]))
                h2 = fma(keep, h2, gain * spread(u[b + 2]))
                h3 = fma(keep, h3, gain * spread(u[b + 3]))
                h4 = fma(keep, h4, gain * spread(u[b + 4]))
                h5 = fma(keep, h5, gain * spread(u[b + 5]))
                h6 = fma(keep, h6, gain * spread(u[b + 6]))
                h7 = fma(keep, h7, gain * spread(u[b + 7]))
                b += n_state
                answer = fma(h0, spread(u[b + 0]), answer)
                answer = fma(h1, spread(u[b + 1]), answer)
                answer = fma(h2, spread(u[b + 2]), answer)
                answer = fma(h3, spread(u[b + 3]), answer)
                answer = fma(h4, spread(u[b + 4]), answer)
                answer = fma(h5, spread(u[b + 5]), answer)
                answer = fma(h6, spread(u[b + 6]), answer)
                answer = fma(h7, spread(u[b + 7]), answer)
                store(y, y_first + at, answer)


@fused
def scan_forward(claim, u, dt, a, d, head_dim, n_state, reverse, y):
    """h_t = exp(dt_t a) h_{t-1} + dt_t B_t x_t and y_t = C_t . h_t + d x_t, from h = 0.

    u (B, T, E + 2 S), dt (B, T, M), a and d (M,), y (B, T, E); E may have channels beyond M K.
    """
    n_batch, n_step, n_packed = u.shape
    n_inner = y.shape[2]
    rows = u.reshape(-1)
    gained = np.zeros(n_step * n_inner + LANES, np.float32)
    decay = np.zeros(n_step * n_inner + LANES, np.float32)
    i = take(claim)
    while i < n_batch:
        _of_heads(dt, i, a, head_dim, n_inner, gained, decay)
        for t in range(n_step):
            for c in range(n_inner):
                m = min(c // head_dim, d.shape[0] - 1)
                y[i, t, c] = d[m] * u[i, t, c]
            for c in range(0, n_inner, LANES):
                at = t * n_inner + c
                store(gained, at, load(gained, at) * load(u, (i * n_step + t) * n_packed + c))
        first, y_first = i * n_step * n_packed, i * n_step * n_inner
        scan_states(
            rows, first, gained, decay, n_step, n_inner, n_packed, reverse, n_state, y, y_first
        )
        i = take(claim)


@njit
def _walk(
    u, first, gained, decay, begin, end, n_step, n_inner, n_packed, reverse, c, n, start, states
):
    # The states of steps begin..end: from `start`, which is left at the last, each into `states`.
    h0 = load(start, 0 * LANES)
    h1 = load(start, 1 * LANES)
    h2 = load(start, 2 * LANES)
    h3 = load(start, 3 * LANES)
    h4 = load(start, 4 * LANES)
    h5 = load(start, 5 * LANES)
    h6 = load(start, 6 * LANES)
    h7 = load(start, 7 * LANES)
    for step in range(begin, end):
        t = n_step - 1 - step if reverse else step
        gain, keep = load(gained, t * n_inner + c), load(decay, t * n_inner + c)
        b = first + t * n_packed + n_inner + n
        at = (step - begin) * STATES * LANES
        store(states, at + 0 * LANES, h0)
        h0 = fma(keep, h0, gain * spread(u[b + 0]))
        store(states, at + 1 * LANES, h1)
        h1 = fma(keep, h1, gain * spread(u[b + 1]))
        store(states, at + 2 * LANES, h2)
        h2 = fma(keep, h2, gain * spread(u[b + 2]))
        store(states, at + 3 * LANES, h3)
        h3 = fma(keep, h3, gain * spread(u[b + 3]))
        store(states, at + 4 * LANES, h4)
        h4 = fma(keep, h4, gain * spread(u[b + 4]))
        store(states, at + 5 * LANES, h5)
        h5 = fma(keep, h5, gain * spread(u[b + 5]))
        store(states, at + 6 * LANES, h6)
        h6 = fma(keep, h6, gain * spread(u[b + 6]))
        store(states, at + 7 * LANES, h7)
        h7 = fma(keep, h7, gain * spread(u[b + 7]))
    at = (end - begin) * STATES * LANES
    store(states, at + 0 * LANES, h0)
    store(start, 0 * LANES, h0)
    store(states, at + 1 * LANES, h1)
    store(start, 1 * LANES, h1)
    store(states, at + 2 * LANES, h2)
    store(start, 2 * LANES, h2)
    store(states, at + 3 * LANES, h3)
    store(start, 3 * LANES, h3)
    store(states, at + 4 * LANES, h4)
    store(start, 4 * LANES, h4)
    store(states, at + 5 * LANES, h5)
    store(start, 5 * LANES, h5)
    store(states, at + 6 * LANES, h6)
    store(start, 6 * LANES, h6)
    store(states, at + 7 * LANES, h7)
    store(start, 7 * LANES, h7)


@njit
def _walk_back(
    u, first, gained, decay, begin, end, n_step, n_inner, n_packed, reverse, n_state, c, n, states,
    grad, grad_first, grad_h, to_gain, to_decay, grad_bc,
):  # fmt: skip
    # Gradients of the steps begin..end from those of h after them, which are left at the first:
    # of gained and decay summed up (T, E), and of B and C (T, 2 STATES).
    g0 = load(grad_h, 0 * LANES)
    g1 = load(grad_h, 1 * LANES)
    g2 = load(grad_h, 2 * LANES)
    g3 = load(grad_h, 3 * LANES)
    g4 = load(grad_h, 4 * LANES)
    g5 = load(grad_h, 5 * LANES)
    g6 = load(grad_h, 6 * LANES)
    g7 = load(grad_h, 7 * LANES)
    for back in range(end - begin):
        step = end - 1 - back
        t = n_step - 1 - step if reverse else step
        lane = t * n_inner + c
        gain, keep, coming = load(gained, lane), load(decay, lane), load(grad, grad_first + lane)
        b = first + t * n_packed + n_inner + n
        at = (step - begin) * STATES * LANES  # the state before; the next one is after
        after = at + STATES * LANES
        for_gain, for_decay = load(to_gain, lane), load(to_decay, lane)
        g0 = fma(spread(u[b + n_state + 0]), coming, g0)
        for_gain = fma(spread(u[b + 0]), g0, for_gain)
        for_decay = fma(load(states, at + 0 * LANES), g0, for_decay)
        g1 = fma(spread(u[b + n_state + 1]), coming, g1)
        for_gain = fma(spread(u[b + 1]), g1, for_gain)
        for_decay = fma(load(states, at + 1 * LANES), g1, for_decay)
        g2 = fma(spread(u[b + n_state + 2]), coming, g2)
        for_gain = fma(spread(u[b + 2]), g2, for_gain)
        for_decay = fma(load(states, at + 2 * LANES), g2, for_decay)
        g3 = fma(spread(u[b + n_state + 3]), coming, g3)
        for_gain = fma(spread(u[b + 3]), g3, for_gain)
        for_decay = fma(load(states, at + 3 * LANES), g3, for_decay)
        g4 = fma(spread(u[b + n_state + 4]), coming, g4)
        for_gain = fma(spread(u[b + 4]), g4, for_gain)
        for_decay = fma(load(states, at + 4 * LANES), g4, for_decay)
        g5 = fma(spread(u[b + n_state + 5]), coming, g5)
        for_gain = fma(spread(u[b + 5]), g5, for_gain)
        for_decay = fma(load(states, at + 5 * LANES), g5, for_decay)
        g6 = fma(spread(u[b + n_state + 6]), coming, g6)
        for_gain = fma(spread(u[b + 6]), g6, for_gain)
        for_decay = fma(load(states, at + 6 * LANES), g6, for_decay)
        g7 = fma(spread(u[b + n_state + 7]), coming, g7)
        for_gain = fma(spread(u[b + 7]), g7, for_gain)
        for_decay = fma(load(states, at + 7 * LANES), g7, for_decay)
        store(to_gain, lane, for_gain)
        store(to_decay, lane, for_decay)
        sums = totals(
            gain * g0,
            gain * g1,
            gain * g2,
            gain * g3,
            gain * g4,
            gain * g5,
            gain * g6,
            gain * g7,
            coming * load(states, after + 0 * LANES),
            coming * load(states, after + 1 * LANES),
            coming * load(states, after + 2 * LANES),
            coming * load(states, after + 3 * LANES),
            coming * load(states, after + 4 * LANES),
            coming * load(states, after + 5 * LANES),
            coming * load(states, after + 6 * LANES),
            coming * load(states, after + 7 * LANES),
        )
        at = t * 2 * STATES
        store(grad_bc, at, load(grad_bc, at) + sums)
        g0 = g0 * keep
        g1 = g1 * keep
        g2 = g2 * keep
        g3 = g3 * keep
        g4 = g4 * keep
        g5 = g5 * keep
        g6 = g6 * keep
        g7 = g7 * keep
    store(grad_h, 0 * LANES, g0)
    store(grad_h, 1 * LANES, g1)
    store(grad_h, 2 * LANES, g2)
    store(grad_h, 3 * LANES, g3)
    store(grad_h, 4 * LANES, g4)
    store(grad_h, 5 * LANES, g5)
    store(grad_h, 6 * LANES, g6)
    store(grad_h, 7 * LANES, g7)


@fused
def scan_backward(
    claim, u, dt, a, d, head_dim, n_state, reverse, grad, grad_u, grad_dt, grad_a, grad_d
):
    """Gradients of `scan_forward`; grad_a and grad_d (B, M) are per sequence and come zeroed.

    One state is kept at the start of every chunk; a chunk's states are computed again when the
    sweep back in time reaches it.
    """
    n_batch, n_step, n_packed = u.shape
    n_head = dt.shape[2]
    n_inner = grad.shape[2]
    rows = u.reshape(-1)
    n_chunk = (n_step + CHUNK - 1) // CHUNK
    width = STATES * LANES
    delta = np.zeros(n_step * n_inner + LANES, np.float32)
    gained = np.zeros(n_step * n_inner, np.float32)
    decay = np.zeros(n_step * n_inner + LANES, np.float32)
    to_gain = np.empty((n_step, n_inner), np.float32)
    to_decay = np.empty((n_step, n_inner), np.float32)
    starts = np.empty((n_chunk, width), np.float32)
    states = np.empty((CHUNK + 1) * width, np.float32)
    grad_h = np.empty(width, np.float32)
    grad_bc = np.empty((n_step, 2 * STATES), np.float32)
    i = take(claim)
    while i < n_batch:
        first, grad_first = i * n_step * n_packed, i * n_step * n_inner
        _of_heads(dt, i, a, head_dim, n_inner, delta, decay)
        for t in range(n_step):
            for c in range(0, n_inner, LANES):
                at = t * n_inner + c
                store(gained, at, load(delta, at) * load(u, first + t * n_packed + c))
        to_gain[:] = np.float32(0.0)
        to_decay[:] = np.float32(0.0)
        for n in range(0, n_state, STATES):
            grad_bc[:] = np.float32(0.0)
            for c in range(0, n_inner, LANES):
                grad_h[:] = np.float32(0.0)
                for chunk in range(n_chunk):
                    begin, end = chunk * CHUNK, min(n_step, (chunk + 1) * CHUNK)
                    for k in range(0, width, LANES):
                        store(starts, chunk * width + k, load(grad_h, k))
                    _walk(
                        rows, first, gained, decay, begin, end, n_step, n_inner, n_packed, reverse,
                        c, n, grad_h, states,
                    )  # fmt: skip
                grad_h[:] = np.float32(0.0)
                for rest in range(n_chunk):
                    chunk = n_chunk - 1 - rest
                    begin, end = chunk * CHUNK, min(n_step, (chunk + 1) * CHUNK)
                    _walk(
                        rows, first, gained, decay, begin, end, n_step, n_inner, n_packed, reverse,
                        c, n, starts[chunk], states,
                    )  # fmt: skip
                    _walk_back(
                        rows, first, gained, decay, begin, end, n_step, n_inner, n_packed, reverse,
                        n_state, c, n, states, grad, grad_first, grad_h, to_gain, to_decay, grad_bc,
                    )  # fmt: skip
            for t in range(n_step):
                for k in range(STATES):
                    grad_u[i, t, n_inner + n + k] = grad_bc[t, k]
                    grad_u[i, t, n_inner + n_state + n + k] = grad_bc[t, STATES + k]
        for t in range(n_step):
            for m in range(n_head):
                sum_delta = sum_decay = sum_d = np.float32(0.0)
                for c in range(m * head_dim, (m + 1) * head_dim):
                    sum_delta += to_gain[t, c] * u[i, t, c]
                    sum_decay += to_decay[t, c] * decay[t * n_inner + c]
                    sum_d += grad[i, t, c] * u[i, t, c]
                    grad_u[i, t, c] = to_gain[t, c] * dt[i, t, m] + d[m] * grad[i, t, c]
                grad_dt[i, t, m] = sum_delta + sum_decay * a[m]
                grad_a[i, m] += sum_decay * dt[i, t, m]
                grad_d[i, m] += sum_d
        i = take(claim)
