"""Gradients of `ginr.kernels.mixer.mix`, one window per task, with the same letters.

Everything is recomputed from the lattices except the scans, whose sum and one state per chunk were
saved. Weight gradients are per window, so that their sum does not depend on the number of threads.
"""

from collections import namedtuple

import numpy as np

from ginr.kernels.activations import clear, constant, layer_norm_backward, sigmoid
from ginr.kernels.compile import claim_next, fused, inlined
from ginr.kernels.convolution import convolve, convolve_back
from ginr.kernels.mixer import gather, project_in, sizes_of, steps
from ginr.kernels.product import accumulate, multiply, whole_rows
from ginr.kernels.scan_backward import scan_states_back
from ginr.kernels.simd import broadcast, fma, load, store, total
from ginr.kernels.sizes import CHUNK, COLUMNS, LANES, STATES

_Room = namedtuple(
    "_Room",
    "normed rows grad_rows answers coming leaving levels grad_y mixed grad_mixed delta decay gained "
    "to_decay to_gain slopes states sums work",
)


@inlined
def _room(size, weights, back_in, depth, n_out):
    # Rows are whole panels wide; grad_x is the gradient of x.
    n_row, n_number, n_tap = whole_rows(size.n_step), size.n_step * size.n_inner, weights.conv_weight.shape[1]  # fmt: skip
    return _Room(
        normed=np.empty(n_row * depth, np.float32),
        rows=np.zeros(n_row * size.wide + 2 * size.begin, np.float32),  # the projected rows
        grad_rows=np.zeros(n_row * size.wide, np.float32),
        answers=np.zeros(n_row * n_out * COLUMNS, np.float32),  # gradient of the output
        # Gradients of levels and of normed.
        coming=np.empty(n_row * weights.weight_out.shape[0] * COLUMNS, np.float32),
        leaving=np.empty(n_row * back_in.shape[0] * COLUMNS, np.float32),
        levels=np.empty(n_number, np.float32),  # the input of the output projection
        grad_y=np.empty(n_number, np.float32),  # gradient of the sum of both scans
        mixed=np.empty(size.n_step * size.n_packed, np.float32),
        grad_mixed=np.zeros(size.n_step * size.n_packed, np.float32),
        delta=np.empty(n_number + LANES, np.float32),  # dt
        decay=np.empty(n_number + LANES, np.float32),  # exp(dt a)
        gained=np.empty(n_number, np.float32),  # dt x
        to_decay=np.empty(n_number, np.float32),  # gradient of decay
        to_gain=np.empty(n_number, np.float32),  # gradient of gained
        slopes=np.zeros((size.n_step + 2 * n_tap) * LANES, np.float32),  # zeros before and after
        states=np.empty((CHUNK + 1) * STATES * LANES, np.float32),
        sums=np.empty(size.n_step * LANES, np.float32),
        work=np.zeros((weights.step_bias.shape[1], 2, LANES), np.float32),
    )


@inlined
def _gather_coming(coming, i, order, answers, wide):
    # Gathers the gradients of the tokens and LPs `order` (T,) of picture i into answers (T, wide).
    tokens, lps = coming.tokens, coming.lps
    n_token, depth = tokens.shape[1], tokens.shape[2]
    for t in range(order.shape[0]):
        place = order[t]
        for c in range(0, depth, LANES):
            if place < n_token:
                value = load(tokens, (i * n_token + place) * depth + c)
            else:
                value = load(lps, (i * lps.shape[1] + place - n_token) * depth + c)
            store(answers, t * wide + c, value)


@inlined(error_model="numpy")
def _gate_back(size, kept, first, norm, room, grad_norm, wide_out):
    # From room.coming (T, wide_out), the gradient of the RMS norm's output: room.grad_y, and that of the
    # gates, into room.grad_rows. Recomputes that output, room.levels, and adds to grad_norm (E,).
    rows, coming, levels, grad_y, grad_rows = room.rows, room.coming, room.levels, room.grad_y, room.grad_rows  # fmt: skip
    n_inner, wide = size.n_inner, size.wide
    for t in range(size.n_step):
        gate_at, coming_at = size.begin + t * wide + size.n_packed, t * wide_out
        square = along = constant(0.0)
        for c in range(0, n_inner, LANES):
            gate, at = load(rows, gate_at + c), t * n_inner + c
            level = load(kept, first + at) * gate * sigmoid(gate) * constant(0.5)
            store(levels, at, level)
            square = fma(level, level, square)
            along = fma(level * load(norm, c), load(coming, coming_at + c), along)
        mean = total(square) / np.float32(n_inner) + np.float32(1e-5)
        factor = np.float32(1) / np.sqrt(mean)
        shared = broadcast(total(along) / np.float32(n_inner) / mean)
        factor = broadcast(factor)
        for c in range(0, n_inner, LANES):
            gate, at = load(rows, gate_at + c), t * n_inner + c
            level, given = load(levels, at), load(coming, coming_at + c)
            normed = level * factor
            store(grad_norm, c, fma(given, normed, load(grad_norm, c)))
            store(levels, at, normed * load(norm, c))
            given = (given * load(norm, c) - level * shared) * factor * constant(0.5)
            part = sigmoid(gate)
            store(grad_y, at, given * gate * part)
            slope = part * fma(gate, constant(1.0) - part, constant(1.0))
            store(grad_rows, t * wide + size.n_packed + c, given * load(kept, first + at) * slope)


@inlined
def _gains_back(size, skip, room, grad_skip):
    # From the gradient of gained: that of x, into room.grad_mixed, and of skip. room.to_gain and
    # room.to_decay become the gradients of dt and of dt a, per channel.
    mixed, grad_mixed, grad_y = room.mixed, room.grad_mixed, room.grad_y
    delta, decay, to_gain, to_decay = room.delta, room.decay, room.to_gain, room.to_decay
    for t in range(size.n_step):
        for c in range(0, size.n_inner, LANES):
            at, place = t * size.n_inner + c, t * size.n_packed + c
            x, given, coming = load(mixed, place), load(to_gain, at), load(grad_y, at)
            store(grad_skip, c, fma(coming, x, load(grad_skip, c)))
            coming = fma(load(skip, c), coming, given * load(delta, at))
            store(grad_mixed, place, coming)
            store(to_gain, at, given * x)
            store(to_decay, at, load(to_decay, at) * load(decay, at))


@inlined
def _steps_back(size, step_bias, log_decay, room, grad_step_bias, grad_log_decay):
    # Gradients of `steps`; those of the step columns are added to room.grad_rows.
    n_inner, head_dim, wide = size.n_inner, size.head_dim, size.wide
    column = size.n_packed + n_inner
    rows, grad_rows, work = room.rows, room.grad_rows, room.work
    delta, to_gain, to_decay = room.delta, room.to_gain, room.to_decay
    for m in range(step_bias.shape[0]):
        rate = -np.exp(log_decay[m])
        sum_rate = sum_step = np.float32(0.0)
        for start in range(0, size.n_step, LANES):
            some = min(LANES, size.n_step - start)
            for k in range(some):
                begin = (start + k) * n_inner + m * head_dim
                sum_gain = sum_decay = np.float32(0.0)
                for c in range(begin, begin + head_dim):
                    sum_gain += to_gain[c]
                    sum_decay += to_decay[c]
                sum_rate += sum_decay * delta[begin]
                work[m, 0, k] = rows[size.begin + (start + k) * wide + column + m]
                work[m, 1, k] = sum_gain + rate * sum_decay
            at = m * 2 * LANES
            part = sigmoid(load(work, at) + broadcast(step_bias[m]))
            store(work, at, part * load(work, at + LANES))
            for k in range(some):
                grad_rows[(start + k) * wide + column + m] += work[m, 0, k]
                sum_step += work[m, 0, k]
        grad_log_decay[m] = sum_rate * rate
        grad_step_bias[m] = sum_step


@inlined(inline="always")
def _scan_back(size, weights, direction, room, starts, starts_at, grads, task):
    # Gradients of one direction, from room.grad_y into room.grad_rows and grads.
    rows, delta, mixed, gained = room.rows, room.delta, room.mixed, room.gained
    reverse = direction == 1
    bias, rates = weights.step_bias[direction], weights.log_decay[direction]
    steps(size, rows, bias, rates, delta, room.decay, room.work)
    taps, shifts = weights.conv_weight[direction], weights.conv_bias[direction]
    convolve(size, rows, taps, shifts, reverse, mixed)
    for t in range(size.n_step):
        for c in range(0, size.n_inner, LANES):
            at = t * size.n_inner + c
            store(gained, at, load(delta, at) * load(mixed, t * size.n_packed + c))
    scan_states_back(size, room, reverse, starts, starts_at)
    _gains_back(size, weights.skip[direction], room, grads.skip[task, direction])
    to_bias, to_rates = grads.step_bias[task, direction], grads.log_decay[task, direction]
    _steps_back(size, bias, rates, room, to_bias, to_rates)
    to_taps, to_shifts = grads.conv_weight[task, direction], grads.conv_bias[task, direction]
    convolve_back(size, taps, shifts, reverse, room, to_taps, to_shifts)


@inlined
def _norm_back(x, i, order, scale, leaving, wide, coming, grad_x, grad_scale, grad_shift):
    # grad_x = coming + the gradients of `gather`, at the tokens and LPs `order` (T,) of picture i.
    tokens, lps, n_token, depth = x.tokens, x.lps, x.tokens.shape[1], x.tokens.shape[2]
    coming_tokens, coming_lps, grad_tokens, grad_lps = coming.tokens, coming.lps, grad_x.tokens, grad_x.lps  # fmt: skip
    for t in range(order.shape[0]):
        place = order[t]
        if place < n_token:
            layer_norm_backward(
                tokens, (i * n_token + place) * depth, scale, leaving, t * wide,
                coming_tokens, grad_tokens, grad_scale, grad_shift, depth,
            )  # fmt: skip
        else:
            layer_norm_backward(
                lps, (i * lps.shape[1] + place - n_token) * depth, scale, leaving, t * wide,
                coming_lps, grad_lps, grad_scale, grad_shift, depth,
            )  # fmt: skip


@fused
def mix_backward(claim, x, order, n_state, weights, back_in, kept, coming, grad_x, grads):
    """grad_x and, per window, the gradients `grads` of the weights of `mix`, from that of out, `coming`.

    weights.weight_out must be transposed; back_in is weights.weight_in transposed.
    """
    size, depth, n_window = sizes_of(order, n_state, weights), x.tokens.shape[2], order.shape[0]
    n_out = grads.weight_out.shape[1]
    wide_y, wide_x = weights.weight_out.shape[0] * COLUMNS, back_in.shape[0] * COLUMNS
    room = _room(size, weights, back_in, depth, n_out)
    n_task, n_start = x.tokens.shape[0] * n_window, kept.starts.shape[2]
    task = claim_next(claim)
    while task < n_task:
        i, places = task // n_window, order[task % n_window]
        grads.weight_in[task], grads.weight_out[task] = np.float32(0.0), np.float32(0.0)
        grads.scale[task], grads.shift[task] = np.float32(0.0), np.float32(0.0)
        grads.skip[task], grads.norm[task] = np.float32(0.0), np.float32(0.0)
        gather(x, i, places, weights, room.normed)
        project_in(size, weights, room.normed, room.rows)
        clear(room.grad_rows, 0, room.grad_rows.size)
        _gather_coming(coming, i, places, room.answers, n_out * COLUMNS)
        multiply(room.answers, 0, size.n_step, weights.weight_out, room.coming, 0)
        kept_at = task * size.n_step * size.n_inner
        _gate_back(size, kept.sums, kept_at, weights.norm, room, grads.norm[task], wide_y)
        accumulate(room.levels, 0, size.n_step, room.answers, 0, grads.weight_out[task])
        for direction in range(2):
            starts_at = (direction * n_task + task) * n_start
            _scan_back(size, weights, direction, room, kept.starts, starts_at, grads, task)
        accumulate(room.normed, 0, size.n_step, room.grad_rows, 0, grads.weight_in[task])
        multiply(room.grad_rows, 0, size.n_step, back_in, room.leaving, 0)
        _norm_back(
            x, i, places, weights.scale, room.leaving, wide_x, coming, grad_x,
            grads.scale[task], grads.shift[task],
        )  # fmt: skip
        task = claim_next(claim)
