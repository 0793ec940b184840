"""The selective scan of Mamba-1 on the CPU as a fused loop, with gradients.

    h_t[e, s] = exp(dt_t[e] a[e, s]) h_{t-1}[e, s] + dt_t[e] B_t[s] x_t[e]
    y_t[e] = sum over s of C_t[s] h_t[e, s] + d[e] x_t[e]

Letters: B sequences, T steps, E channels, S state size. Arrays are float32 and C-contiguous; E is a
multiple of LANES, S of STATES.
"""

from typing import NamedTuple

import numpy as np

from ginr.kernels.activations import clear, constant, exp
from ginr.kernels.compile import claim_next, fused, inlined
from ginr.kernels.simd import broadcast, fma, load, load_four, store, store_all, totals
from ginr.kernels.sizes import CHUNK, LANES, STATES


@inlined
def _advance(b, at, gain, keep, h):
    # The states after a step, from those before it.
    return (
        fma(keep[0], h[0], gain * broadcast(b[at + 0])),
        fma(keep[1], h[1], gain * broadcast(b[at + 1])),
        fma(keep[2], h[2], gain * broadcast(b[at + 2])),
        fma(keep[3], h[3], gain * broadcast(b[at + 3])),
    )


@inlined
def _decays(step, rates):
    return exp(step * rates[0]), exp(step * rates[1]), exp(step * rates[2]), exp(step * rates[3])


@fused
def scan_channels(claim, given, y, starts):
    """y (B, T, E) of `ScanInputs`; starts (B, N, S, E), unless empty, the states before each chunk."""
    n_batch, n_step, n_channel = given.x.shape
    n_state, x, dt, d = given.a.shape[0], given.x, given.dt, given.d
    b, c = given.b.reshape(-1), given.c.reshape(-1)
    n_chunk = (n_step + CHUNK - 1) // CHUNK
    i = claim_next(claim)
    while i < n_batch:
        for e in range(0, n_channel, LANES):
            for t in range(n_step):
                at = (i * n_step + t) * n_channel + e
                store(y, at, load(d, e) * load(x, at))
            for n in range(0, n_state, STATES):
                rates = load_four(given.a, n * n_channel + e, n_channel)
                zero = constant(0.0)
                h = zero, zero, zero, zero
                for begin in range(0, n_step, CHUNK):
                    if starts.size:
                        at = ((i * n_chunk + begin // CHUNK) * n_state + n) * n_channel + e
                        store_all(h, starts, at, n_channel)
                    for step in range(begin, min(begin + CHUNK, n_step)):
                        t = i * n_step + step
                        at, row = t * n_channel + e, t * n_state + n
                        pace = load(dt, at)
                        h = _advance(b, row, pace * load(x, at), _decays(pace, rates), h)
                        answer = fma(h[0], broadcast(c[row + 0]), load(y, at))
                        answer = fma(h[1], broadcast(c[row + 1]), answer)
                        answer = fma(h[2], broadcast(c[row + 2]), answer)
                        store(y, at, fma(h[3], broadcast(c[row + 3]), answer))
        i = claim_next(claim)


class _Part(NamedTuple):
    """STATES states of LANES channels of a sequence."""

    sequence: int
    channel: int
    state: int


class _Room(NamedTuple):
    """Work arrays."""

    states: np.ndarray  # ((CHUNK + 1) STATES LANES,): before each step, and after the last
    decays: np.ndarray  # (CHUNK STATES LANES,)
    sums: np.ndarray  # (T LANES,): partial sums of the gradients of B and C


@inlined
def _rates(given, part):
    n_channel = given.x.shape[2]
    return load_four(given.a, part.state * n_channel + part.channel, n_channel)


@inlined
def _recompute(given, b, part, begin, end, h, room):
    # Fills room.states and room.decays of the steps begin..end, from the states h before them.
    rates = _rates(given, part)
    for step in range(begin, end):
        t, place = part.sequence * given.x.shape[1] + step, (step - begin) * STATES * LANES
        at = t * given.x.shape[2] + part.channel
        pace = load(given.dt, at)
        keep = _decays(pace, rates)
        store_all(h, room.states, place, LANES)
        store_all(keep, room.decays, place, LANES)
        h = _advance(b, t * given.a.shape[0] + part.state, pace * load(given.x, at), keep, h)
    store_all(h, room.states, (end - begin) * STATES * LANES, LANES)


@inlined
def _chunk_back(given, flat, part, begin, end, room, grad_y, carried, grads):
    # From the gradient of the states after step end - 1, that of the states before `begin`. `carried`
    # is that gradient, four vectors, and the gradient of a so far, four more.
    b, c = flat
    rates = _rates(given, part)
    g0, g1, g2, g3, a0, a1, a2, a3 = carried
    for back in range(end - begin):
        step = end - 1 - back
        t, place = part.sequence * given.x.shape[1] + step, (step - begin) * STATES * LANES
        at, row = t * given.x.shape[2] + part.channel, t * given.a.shape[0] + part.state
        coming, x, pace = load(grad_y, at), load(given.x, at), load(given.dt, at)
        g0 = fma(broadcast(c[row + 0]), coming, g0)
        g1 = fma(broadcast(c[row + 1]), coming, g1)
        g2 = fma(broadcast(c[row + 2]), coming, g2)
        g3 = fma(broadcast(c[row + 3]), coming, g3)
        gain = pace * x
        h0, h1, h2, h3 = load_four(room.states, place + STATES * LANES, LANES)
        summed = totals(
            gain * g0, gain * g1, gain * g2, gain * g3,
            coming * h0, coming * h1, coming * h2, coming * h3,
        )  # fmt: skip
        store(room.sums, step * LANES, load(room.sums, step * LANES) + summed)
        to_gain = broadcast(b[row + 0]) * g0
        to_gain = fma(broadcast(b[row + 1]), g1, to_gain)
        to_gain = fma(broadcast(b[row + 2]), g2, to_gain)
        to_gain = fma(broadcast(b[row + 3]), g3, to_gain)
        k0, k1, k2, k3 = load_four(room.decays, place, LANES)
        g0, g1, g2, g3 = g0 * k0, g1 * k1, g2 * k2, g3 * k3
        h0, h1, h2, h3 = load_four(room.states, place, LANES)
        h0, h1, h2, h3 = h0 * g0, h1 * g1, h2 * g2, h3 * g3  # gradients of dt a
        a0, a1, a2, a3 = fma(h0, pace, a0), fma(h1, pace, a1), fma(h2, pace, a2), fma(h3, pace, a3)
        to_pace = fma(to_gain, x, load(grads.dt, at))
        to_pace = fma(h0, rates[0], to_pace)
        to_pace = fma(h1, rates[1], to_pace)
        to_pace = fma(h2, rates[2], to_pace)
        store(grads.dt, at, fma(h3, rates[3], to_pace))
        store(grads.x, at, fma(to_gain, pace, load(grads.x, at)))
    return g0, g1, g2, g3, a0, a1, a2, a3


@inlined
def _skip_back(given, i, grad_y, grads):
    # Starts the gradients of x and dt of sequence i, and completes that of d.
    n_step, n_channel = given.x.shape[1:]
    for e in range(0, n_channel, LANES):
        total = constant(0.0)
        for t in range(n_step):
            at = (i * n_step + t) * n_channel + e
            coming = load(grad_y, at)
            store(grads.x, at, load(given.d, e) * coming)
            store(grads.dt, at, constant(0.0))
            total = fma(coming, load(given.x, at), total)
        store(grads.d, i * n_channel + e, total)


@fused
def scan_channels_backward(claim, given, starts, grad_y, grads):
    """Gradients of `scan_channels` from that of y, with the same starts.

    `grads` has those of a and d by sequence, (B, S, E) and (B, E).
    """
    n_batch, n_step, n_channel = given.x.shape
    n_state, flat = given.a.shape[0], (given.b.reshape(-1), given.c.reshape(-1))
    to_b, to_c = grads.b.reshape(-1), grads.c.reshape(-1)
    last = (n_step - 1) // CHUNK
    room = _Room(
        np.empty((CHUNK + 1) * STATES * LANES, np.float32),
        np.empty(CHUNK * STATES * LANES, np.float32),
        np.empty(n_step * LANES, np.float32),
    )
    i = claim_next(claim)
    while i < n_batch:
        _skip_back(given, i, grad_y, grads)
        for n in range(0, n_state, STATES):
            clear(room.sums, 0, room.sums.size)
            for e in range(0, n_channel, LANES):
                part, zero = _Part(i, e, n), constant(0.0)
                carried = zero, zero, zero, zero, zero, zero, zero, zero
                for rest in range(last + 1):
                    begin = (last - rest) * CHUNK
                    end = min(begin + CHUNK, n_step)
                    at = ((i * (last + 1) + last - rest) * n_state + n) * n_channel + e
                    h = load_four(starts, at, n_channel)
                    _recompute(given, flat[0], part, begin, end, h, room)
                    carried = _chunk_back(
                        given, flat, part, begin, end, room, grad_y, carried, grads
                    )
                store_all(carried[4:], grads.a, (i * n_state + n) * n_channel + e, n_channel)
            for t in range(n_step):
                row = (i * n_step + t) * n_state + n
                for k in range(STATES):
                    at = t * LANES + 2 * k
                    to_b[row + k] = room.sums[at] + room.sums[at + 1]
                    at += 2 * STATES
                    to_c[row + k] = room.sums[at] + room.sums[at + 1]
        i = claim_next(claim)
