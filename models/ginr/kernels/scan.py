"""The scan over time for the CPU as a fused loop, a sequence at a time.

Letters: B sequences, T steps, C = E + 2 S packed channels (x, then B, then C of the paper),
E = M K inner width, M heads, K channels per head, S state size.
All arrays are float32 and C-contiguous, C and E multiples of LANES, S one of STATES. `reverse` runs
time backward; nothing is flipped or copied.
"""

from ginr.kernels.activations import constant
from ginr.kernels.compile import inlined
from ginr.kernels.simd import fma, load, spread, store
from ginr.kernels.sizes import CHUNK, LANES, STATES


@inlined
def scan_states(
    u, first, gained, decay, n_step, n_inner, n_packed, reverse, n_state, y, y_first, starts,
    starts_first,
):  # fmt: skip
    """y (T, E) from y_first on += C . h of the sequence whose u (T, C) is from `first` on.

    gained and decay (T, E): dt x and exp(dt a), one number per channel. Unless it is empty, starts
    is given the state before each CHUNK steps, E S numbers each, from starts_first on.
    """
    for c in range(0, n_inner, LANES):
        for n in range(0, n_state, STATES):
            h0 = h1 = h2 = h3 = constant(0.0)
            for begin in range(0, n_step, CHUNK):
                if starts.size:
                    at = starts_first + start_of(begin, c, n, n_inner, n_state)
                    store(starts, at + 0 * LANES, h0)
                    store(starts, at + 1 * LANES, h1)
                    store(starts, at + 2 * LANES, h2)
                    store(starts, at + 3 * LANES, h3)
                for step in range(begin, min(begin + CHUNK, n_step)):
                    t = n_step - 1 - step if reverse else step
                    at = t * n_inner + c
                    gain, keep, answer = load(gained, at), load(decay, at), load(y, y_first + at)
                    b = first + t * n_packed + n_inner + n
                    h0 = fma(keep, h0, gain * spread(u[b + 0]))
                    h1 = fma(keep, h1, gain * spread(u[b + 1]))
                    h2 = fma(keep, h2, gain * spread(u[b + 2]))
                    h3 = fma(keep, h3, gain * spread(u[b + 3]))
                    b += n_state
                    answer = fma(h0, spread(u[b + 0]), answer)
                    answer = fma(h1, spread(u[b + 1]), answer)
                    answer = fma(h2, spread(u[b + 2]), answer)
                    answer = fma(h3, spread(u[b + 3]), answer)
                    store(y, y_first + at, answer)


@inlined
def start_of(step, c, n, n_inner, n_state):
    """Where the state before a step, a multiple of CHUNK, is kept: STATES vectors."""
    return (step // CHUNK * n_inner + c) * n_state + n * LANES
