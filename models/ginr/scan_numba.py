"""Fused loops over time for the CPU: one thread per sequence, the state held in its cache.

Letters: B sequences, T steps, C = E + 2 S packed channels (x, then B, then C of the paper),
E = M K inner width, M heads, K channels per head, S state size, J taps of the convolution.
All arrays are float32 and C-contiguous. `reverse` runs time backward; nothing is flipped or copied.
"""

import math

import numpy as np
from numba import njit

from ginr.fused import fused, take

CHUNK = 64  # steps between two stored states in the backward pass (64 x S x E floats stay in L2)


@njit(inline="always")
def _sigmoid(x):
    # Logistic function as (1 + tanh(x/2))/2 with tanh by the rational minimax fit of degree 13/6
    # on [-9, 9] (coefficients: Eigen's ptanh): branch-free, so that LLVM vectorises it.
    h = np.float32(0.5) * x
    h = min(max(h, np.float32(-9.0)), np.float32(9.0))
    q = h * h
    p = np.float32(-2.76076847742355e-16)
    p = p * q + np.float32(2.00018790482477e-13)
    p = p * q + np.float32(-8.60467152213735e-11)
    p = p * q + np.float32(5.12229709037114e-08)
    p = p * q + np.float32(1.48572235717979e-05)
    p = p * q + np.float32(6.37261928875436e-04)
    p = p * q + np.float32(4.89352455891786e-03)
    r = np.float32(1.19825839466702e-06)
    r = r * q + np.float32(1.18534705686654e-04)
    r = r * q + np.float32(2.26843463243900e-03)
    r = r * q + np.float32(4.89352518554385e-03)
    return np.float32(0.5) * h * p / r + np.float32(0.5)


@fused
def conv_silu_forward(claim, u, weight, bias, reverse, out):
    """out = silu(causal depthwise convolution of u); u, out (B, T, C), weight (J, C), bias (C,)."""
    n_batch, n_step, n_channel = u.shape
    n_tap = weight.shape[0]
    n_task = n_batch
    i = take(claim)
    while i < n_task:
        for t in range(n_step):
            for c in range(n_channel):
                out[i, t, c] = bias[c]
            for j in range(n_tap):
                s = t + (n_tap - 1) - j if reverse else t - (n_tap - 1) + j
                if 0 <= s < n_step:
                    for c in range(n_channel):
                        out[i, t, c] += weight[j, c] * u[i, s, c]
            for c in range(n_channel):
                out[i, t, c] = out[i, t, c] * _sigmoid(out[i, t, c])
        i = take(claim)


@fused
def conv_silu_backward(claim, u, weight, bias, reverse, grad, grad_u, grad_weight, grad_bias):
    """Gradients of `conv_silu_forward`; grad_weight (B, J, C) and grad_bias (B, C) are per sequence."""
    n_batch, n_step, n_channel = u.shape
    n_tap = weight.shape[0]
    n_task = n_batch
    i = take(claim)
    while i < n_task:
        pre = np.empty(n_channel, np.float32)
        for t in range(n_step):
            for c in range(n_channel):
                pre[c] = bias[c]
            for j in range(n_tap):
                s = t + (n_tap - 1) - j if reverse else t - (n_tap - 1) + j
                if 0 <= s < n_step:
                    for c in range(n_channel):
                        pre[c] += weight[j, c] * u[i, s, c]
            for c in range(n_channel):
                gate = _sigmoid(pre[c])
                slope = gate * (np.float32(1.0) + pre[c] * (np.float32(1.0) - gate))
                pre[c] = grad[i, t, c] * slope
                grad_bias[i, c] += pre[c]
            for j in range(n_tap):
                s = t + (n_tap - 1) - j if reverse else t - (n_tap - 1) + j
                if 0 <= s < n_step:
                    for c in range(n_channel):
                        grad_weight[i, j, c] += pre[c] * u[i, s, c]
                        grad_u[i, s, c] += pre[c] * weight[j, c]
        i = take(claim)


@fused
def scan_forward(claim, u, dt, a, d, n_state, reverse, y):
    """h_t = exp(dt_t a) h_{t-1} + dt_t B_t x_t and y_t = C_t . h_t + d x_t, from h = 0.

    u (B, T, E + 2 S), dt (B, T, M), a and d (M,), y (B, T, E).
    """
    n_batch, n_step, _ = u.shape
    n_head = dt.shape[2]
    n_inner = u.shape[2] - 2 * n_state
    head_dim = n_inner // n_head
    n_task = n_batch
    i = take(claim)
    while i < n_task:
        h = np.zeros((n_head, n_state, head_dim), np.float32)
        acc = np.empty(head_dim, np.float32)
        for step in range(n_step):
            t = n_step - 1 - step if reverse else step
            for m in range(n_head):
                delta = dt[i, t, m]
                decay = np.float32(math.exp(delta * a[m]))
                x = u[i, t, m * head_dim : (m + 1) * head_dim]
                for k in range(head_dim):
                    acc[k] = d[m] * x[k]
                for n in range(n_state):
                    b_n = delta * u[i, t, n_inner + n]
                    c_n = u[i, t, n_inner + n_state + n]
                    for k in range(head_dim):
                        v = decay * h[m, n, k] + b_n * x[k]
                        h[m, n, k] = v
                        acc[k] += c_n * v
                for k in range(head_dim):
                    y[i, t, m * head_dim + k] = acc[k]
        i = take(claim)


@fused
def scan_backward(claim, u, dt, a, d, n_state, reverse, grad, grad_u, grad_dt, grad_a, grad_d):
    """Gradients of `scan_forward`; grad_a and grad_d (B, M) are per sequence, grad_u comes zeroed.

    One state is kept at the start of every chunk; a chunk's states are computed again when the
    sweep back in time reaches it.
    """
    n_batch, n_step, _ = u.shape
    n_head = dt.shape[2]
    n_inner = u.shape[2] - 2 * n_state
    head_dim = n_inner // n_head
    n_chunk = (n_step + CHUNK - 1) // CHUNK
    n_task = n_batch
    i = take(claim)
    while i < n_task:
        start = np.zeros((n_chunk, n_state, head_dim), np.float32)
        states = np.empty((CHUNK + 1, n_state, head_dim), np.float32)
        grad_h = np.empty((n_state, head_dim), np.float32)
        grad_x = np.empty(head_dim, np.float32)
        for m in range(n_head):
            lo = m * head_dim
            for n in range(n_state):
                for k in range(head_dim):
                    grad_h[n, k] = np.float32(0.0)
                    states[0, n, k] = np.float32(0.0)
            for chunk in range(n_chunk):
                for n in range(n_state):
                    for k in range(head_dim):
                        start[chunk, n, k] = states[0, n, k]
                for step in range(chunk * CHUNK, min(n_step, (chunk + 1) * CHUNK)):
                    t = n_step - 1 - step if reverse else step
                    delta = dt[i, t, m]
                    decay = np.float32(math.exp(delta * a[m]))
                    for n in range(n_state):
                        b_n = delta * u[i, t, n_inner + n]
                        for k in range(head_dim):
                            states[0, n, k] = decay * states[0, n, k] + b_n * u[i, t, lo + k]
            for rest in range(n_chunk):
                chunk = n_chunk - 1 - rest
                first = chunk * CHUNK
                last = min(n_step, first + CHUNK)
                for n in range(n_state):
                    for k in range(head_dim):
                        states[0, n, k] = start[chunk, n, k]
                for step in range(first, last):
                    t = n_step - 1 - step if reverse else step
                    delta = dt[i, t, m]
                    decay = np.float32(math.exp(delta * a[m]))
                    s = step - first
                    for n in range(n_state):
                        b_n = delta * u[i, t, n_inner + n]
                        for k in range(head_dim):
                            states[s + 1, n, k] = decay * states[s, n, k] + b_n * u[i, t, lo + k]
                for back in range(last - first):
                    s = last - first - 1 - back
                    step = first + s
                    t = n_step - 1 - step if reverse else step
                    delta = dt[i, t, m]
                    decay = np.float32(math.exp(delta * a[m]))
                    x = u[i, t, lo : lo + head_dim]
                    grad_y = grad[i, t, lo : lo + head_dim]
                    sum_d = np.float32(0.0)
                    for k in range(head_dim):
                        sum_d += grad_y[k] * x[k]
                        grad_x[k] = d[m] * grad_y[k]
                    sum_decay = np.float32(0.0)
                    sum_delta = np.float32(0.0)
                    for n in range(n_state):
                        b_n = u[i, t, n_inner + n]
                        c_n = u[i, t, n_inner + n_state + n]
                        sum_b = np.float32(0.0)
                        sum_c = np.float32(0.0)
                        # short loops over one or two arrays each: LLVM vectorises these, and
                        # gives up on one loop over all five
                        for k in range(head_dim):
                            sum_c += states[s + 1, n, k] * grad_y[k]
                        for k in range(head_dim):
                            grad_h[n, k] += c_n * grad_y[k]
                        for k in range(head_dim):
                            sum_b += grad_h[n, k] * x[k]
                        for k in range(head_dim):
                            sum_decay += grad_h[n, k] * states[s, n, k]
                        scaled = delta * b_n
                        for k in range(head_dim):
                            grad_x[k] += scaled * grad_h[n, k]
                        for k in range(head_dim):
                            grad_h[n, k] *= decay
                        grad_u[i, t, n_inner + n] += delta * sum_b
                        grad_u[i, t, n_inner + n_state + n] += sum_c
                        sum_delta += b_n * sum_b
                    for k in range(head_dim):
                        grad_u[i, t, lo + k] = grad_x[k]
                    grad_dt[i, t, m] = sum_delta + sum_decay * decay * a[m]
                    grad_a[i, m] += sum_decay * decay * delta
                    grad_d[i, m] += sum_d
        i = take(claim)
