"""Gradients of the scan of `ginr.kernels.scan`, in its letters: from the kept states, a chunk at a time."""

from ginr.kernels.activations import constant
from ginr.kernels.compile import inlined
from ginr.kernels.scan import start_of
from ginr.kernels.simd import fma, load, spread, store, totals
from ginr.kernels.sizes import CHUNK, LANES, STATES


@inlined
def _walk(
    u, first, gained, decay, begin, end, n_step, n_inner, n_packed, reverse, c, n, starts,
    starts_at, states,
):  # fmt: skip
    # The states before each of the steps begin..end and after the last, from the one kept.
    h0 = load(starts, starts_at + 0 * LANES)
    h1 = load(starts, starts_at + 1 * LANES)
    h2 = load(starts, starts_at + 2 * LANES)
    h3 = load(starts, starts_at + 3 * LANES)
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
    at = (end - begin) * STATES * LANES
    store(states, at + 0 * LANES, h0)
    store(states, at + 1 * LANES, h1)
    store(states, at + 2 * LANES, h2)
    store(states, at + 3 * LANES, h3)


@inlined
def scan_states_back(
    u, first, gained, decay, n_step, n_inner, n_packed, reverse, n_state, starts, starts_first,
    grad, grad_first, states, sums, to_gain, to_decay, to_u, to_first,
):  # fmt: skip
    """Gradients of `scan_states` from those of y: grad (T, E) from grad_first on.

    to_gain, to_decay (T, E) gain those of gained and decay; to_u (T, C) from to_first on is given
    those of B and C. states ((CHUNK + 1) STATES LANES,) and sums (T LANES,) are room to work in.
    """
    for n in range(0, n_state, STATES):
        for k in range(0, n_step * LANES, LANES):
            store(sums, k, constant(0.0))
        for c in range(0, n_inner, LANES):
            g0 = g1 = g2 = g3 = constant(0.0)
            for rest in range((n_step - 1) // CHUNK + 1):
                begin = ((n_step - 1) // CHUNK - rest) * CHUNK
                end = min(begin + CHUNK, n_step)
                _walk(
                    u, first, gained, decay, begin, end, n_step, n_inner, n_packed, reverse, c, n,
                    starts, starts_first + start_of(begin, c, n, n_inner, n_state), states,
                )  # fmt: skip
                for back in range(end - begin):
                    step = end - 1 - back
                    t = n_step - 1 - step if reverse else step
                    lane = t * n_inner + c
                    coming, gain = load(grad, grad_first + lane), load(gained, lane)
                    for_gain, for_decay = load(to_gain, lane), load(to_decay, lane)
                    b = first + t * n_packed + n_inner + n
                    at = (step - begin) * STATES * LANES  # the state before; the next one is after
                    after = at + STATES * LANES
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
                    store(to_gain, lane, for_gain)
                    store(to_decay, lane, for_decay)
                    summed = totals(
                        gain * g0,
                        gain * g1,
                        gain * g2,
                        gain * g3,
                        coming * load(states, after + 0 * LANES),
                        coming * load(states, after + 1 * LANES),
                        coming * load(states, after + 2 * LANES),
                        coming * load(states, after + 3 * LANES),
                    )
                    store(sums, t * LANES, load(sums, t * LANES) + summed)
                    keep = load(decay, lane)
                    g0 = g0 * keep
                    g1 = g1 * keep
                    g2 = g2 * keep
                    g3 = g3 * keep
        for t in range(n_step):
            at = to_first + t * n_packed + n_inner + n
            for k in range(STATES):
                part = t * LANES + 2 * k
                to_u[at + k] = sums[part] + sums[part + 1]
                part += 2 * STATES
                to_u[at + n_state + k] = sums[part] + sums[part + 1]
