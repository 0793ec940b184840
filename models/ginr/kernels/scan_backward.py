"""Gradients of `ginr.kernels.scan`, chunk by chunk from the saved states, with the same letters."""

from ginr.kernels.activations import clear, constant
from ginr.kernels.compile import inlined
from ginr.kernels.scan import start_of
from ginr.kernels.simd import broadcast, fma, load, load_four, store, store_all, totals
from ginr.kernels.sizes import CHUNK, LANES, STATES


@inlined
def _recompute(size, room, begin, end, reverse, c, n, starts, at):
    # The states before each of the steps begin..end and after the last, from the saved one at `at`.
    u, gained, decay, states = room.mixed, room.gained, room.decay, room.states
    h0, h1, h2, h3 = load_four(starts, at, LANES)
    for step in range(begin, end):
        t = size.n_step - 1 - step if reverse else step
        gain, keep = load(gained, t * size.n_inner + c), load(decay, t * size.n_inner + c)
        b = t * size.n_packed + size.n_inner + n
        at = (step - begin) * STATES * LANES
        store(states, at + 0 * LANES, h0)
        h0 = fma(keep, h0, gain * broadcast(u[b + 0]))
        store(states, at + 1 * LANES, h1)
        h1 = fma(keep, h1, gain * broadcast(u[b + 1]))
        store(states, at + 2 * LANES, h2)
        h2 = fma(keep, h2, gain * broadcast(u[b + 2]))
        store(states, at + 3 * LANES, h3)
        h3 = fma(keep, h3, gain * broadcast(u[b + 3]))
    store_all((h0, h1, h2, h3), states, (end - begin) * STATES * LANES, LANES)


@inlined
def _chunk_back(size, room, begin, end, reverse, c, n, g):
    # From the gradient g of the state after step end - 1, that of the state before `begin`, and the
    # gradients of gained, decay, B and C, those of B and C per lane in room.sums.
    g0, g1, g2, g3 = g
    u, gained, decay, grad = room.mixed, room.gained, room.decay, room.grad_y
    states, sums, to_gain, to_decay = room.states, room.sums, room.to_gain, room.to_decay
    for back in range(end - begin):
        step = end - 1 - back
        t = size.n_step - 1 - step if reverse else step
        lane = t * size.n_inner + c
        coming, gain = load(grad, lane), load(gained, lane)
        for_gain, for_decay = load(to_gain, lane), load(to_decay, lane)
        b = t * size.n_packed + size.n_inner + n
        at = (step - begin) * STATES * LANES  # the state before the step
        after = at + STATES * LANES
        g0 = fma(broadcast(u[b + size.n_state + 0]), coming, g0)
        for_gain = fma(broadcast(u[b + 0]), g0, for_gain)
        for_decay = fma(load(states, at + 0 * LANES), g0, for_decay)
        g1 = fma(broadcast(u[b + size.n_state + 1]), coming, g1)
        for_gain = fma(broadcast(u[b + 1]), g1, for_gain)
        for_decay = fma(load(states, at + 1 * LANES), g1, for_decay)
        g2 = fma(broadcast(u[b + size.n_state + 2]), coming, g2)
        for_gain = fma(broadcast(u[b + 2]), g2, for_gain)
        for_decay = fma(load(states, at + 2 * LANES), g2, for_decay)
        g3 = fma(broadcast(u[b + size.n_state + 3]), coming, g3)
        for_gain = fma(broadcast(u[b + 3]), g3, for_gain)
        for_decay = fma(load(states, at + 3 * LANES), g3, for_decay)
        store(to_gain, lane, for_gain)
        store(to_decay, lane, for_decay)
        h0, h1, h2, h3 = load_four(states, after, LANES)
        summed = totals(
            gain * g0, gain * g1, gain * g2, gain * g3,
            coming * h0, coming * h1, coming * h2, coming * h3,
        )  # fmt: skip
        store(sums, t * LANES, load(sums, t * LANES) + summed)
        keep = load(decay, lane)
        g0, g1, g2, g3 = g0 * keep, g1 * keep, g2 * keep, g3 * keep
    return g0, g1, g2, g3


@inlined
def scan_states_back(size, room, reverse, starts, starts_at):
    """Gradients of `scan_states` from that of y, room.grad_y, with the same starts.

    Those of gained and decay go to room.to_gain and room.to_decay (T, E), those of B and C to
    room.grad_mixed (T, C). Work arrays: room.states ((CHUNK + 1) STATES LANES,), room.sums (T LANES,).
    """
    sums, to_u = room.sums, room.grad_mixed
    clear(room.to_gain, 0, room.to_gain.size)
    clear(room.to_decay, 0, room.to_decay.size)
    for n in range(0, size.n_state, STATES):
        clear(sums, 0, sums.size)
        for c in range(0, size.n_inner, LANES):
            zero = constant(0.0)
            g = zero, zero, zero, zero
            for rest in range((size.n_step - 1) // CHUNK + 1):
                begin = ((size.n_step - 1) // CHUNK - rest) * CHUNK
                end, at = min(begin + CHUNK, size.n_step), starts_at + start_of(size, begin, c, n)
                _recompute(size, room, begin, end, reverse, c, n, starts, at)
                g = _chunk_back(size, room, begin, end, reverse, c, n, g)
        for t in range(size.n_step):
            at = t * size.n_packed + size.n_inner + n
            for k in range(STATES):
                part = t * LANES + 2 * k
                to_u[at + k] = sums[part] + sums[part + 1]
                part += 2 * STATES
                to_u[at + size.n_state + k] = sums[part] + sums[part + 1]
