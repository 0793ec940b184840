"""The scan over time for the CPU as a fused loop, a sequence at a time.

Letters: T steps, C = E + 2 S packed channels (x, then B, then C of the paper), E inner width, S state
size. All arrays are float32 and C-contiguous, C and E multiples of LANES, S one of STATES. `reverse`
runs time backward; nothing is flipped or copied.
"""

from typing import Any, NamedTuple

from ginr.kernels.activations import constant
from ginr.kernels.compile import inlined
from ginr.kernels.simd import broadcast, fma, load, store
from ginr.kernels.sizes import CHUNK, LANES, STATES


class Sizes(NamedTuple):
    """Sizes of a sequence and of its projected rows: the packed channels, the gates, the steps."""

    n_step: Any
    n_inner: Any
    n_packed: Any
    n_state: Any
    head_dim: Any
    wide: Any
    """Numbers in a row: whole panels."""
    begin: Any
    """Where the first row begins; as many zeros are in front of it, and behind the last."""


@inlined
def scan_states(size, u, gained, decay, reverse, y, starts, starts_at):
    """y (T, E) += C . h of the sequence whose packed channels are u (T, C).

    gained and decay (T, E): dt x and exp(dt a), one number per channel. Unless it is empty, starts
    is given the state before each CHUNK steps, E S numbers each, from starts_at on.
    """
    for c in range(0, size.n_inner, LANES):
        for n in range(0, size.n_state, STATES):
            h0 = h1 = h2 = h3 = constant(0.0)
            for begin in range(0, size.n_step, CHUNK):
                if starts.size:
                    at = starts_at + start_of(size, begin, c, n)
                    store(starts, at + 0 * LANES, h0)
                    store(starts, at + 1 * LANES, h1)
                    store(starts, at + 2 * LANES, h2)
                    store(starts, at + 3 * LANES, h3)
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
    """Where the state before a step, a multiple of CHUNK, is kept: STATES vectors."""
    return (step // CHUNK * size.n_inner + c) * size.n_state + n * LANES
