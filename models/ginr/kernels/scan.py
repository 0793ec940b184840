"""The selective scan of one sequence on the CPU, as a fused loop.

Letters: T steps, C = E + 2 S packed channels (x, then B, then C of the paper), E inner width, S state
size. Arrays are float32 and C-contiguous; C and E are multiples of LANES, S is a multiple of STATES.
`reverse` scans backward in time without flipping or copying anything.
"""

from ginr.kernels.activations import constant
from ginr.kernels.compile import inlined
from ginr.kernels.simd import broadcast, fma, load, store, store_all
from ginr.kernels.sizes import CHUNK, LANES, STATES


@inlined
def scan_states(size, u, gained, decay, reverse, y, starts, starts_at):
    """y (T, E) += C . h for the sequence with packed channels u (T, C).

    gained and decay (T, E) are dt x and exp(dt a), per channel. Unless it is empty, starts receives the
    state at the start of each chunk of CHUNK steps, E S numbers each, from index starts_at.
    """
    for c in range(0, size.n_inner, LANES):
        for n in range(0, size.n_state, STATES):
            h0 = h1 = h2 = h3 = constant(0.0)
            for begin in range(0, size.n_step, CHUNK):
                if starts.size:
                    at = starts_at + start_of(size, begin, c, n)
                    store_all((h0, h1, h2, h3), starts, at, LANES)
                for step in range(begin, min(begin + CHUNK, size.n_step)):
                    t = size.n_step - 1 - step if reverse else step
                    at = t * size.n_inner + c
                    gain, keep, answer = load(gained, at), load(decay, at), load(y, at)
                    b = t * size.n_packed + size.n_inner + n
                    h0 = fma(keep, h0, gain * broadcast(u[b + 0]))
                    h1 = fma(keep, h1, gain * broadcast(u[b + 1]))
                    h2 = fma(keep, h2, gain * broadcast(u[b + 2]))
                    h3 = fma(keep, h3, gain * broadcast(u[b + 3]))
                    b += size.n_state
                    answer = fma(h0, broadcast(u[b + 0]), answer)
                    answer = fma(h1, broadcast(u[b + 1]), answer)
                    answer = fma(h2, broadcast(u[b + 2]), answer)
                    answer = fma(h3, broadcast(u[b + 3]), answer)
                    store(y, at, answer)


@inlined
def start_of(size, step, c, n):
    """Index in `starts` of the state before a step, a multiple of CHUNK: STATES vectors."""
    return (step // CHUNK * size.n_inner + c) * size.n_state + n * LANES
