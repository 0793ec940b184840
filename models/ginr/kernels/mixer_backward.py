"""Gradients of `ginr.kernels.mixer.mix`, a window at a time, in its letters.

All but the scans is computed again from the lattices; of the scans their sum and a state per chunk
were kept. Gradients of weights are per window: their sum does not depend on the threads.
"""

import numpy as np

from ginr.kernels.activations import constant, layer_norm_backward, sigmoid
from ginr.kernels.compile import fused, inlined, take
from ginr.kernels.mixer import convolve, gather, project, steps
from ginr.kernels.scan_backward import scan_states_back
from ginr.kernels.simd import ROWS, add_outer, fma, load, spread, store, total
from ginr.kernels.sizes import CHUNK, COLUMNS, LANES, STATES


@inlined(error_model="numpy")
def _gate_back(
    coming, rows, begin, wide, n_step, kept, first, norm, levels, grad_y, grad_rows, grad_norm,
    wide_out,
):  # fmt: skip
    # From the gradient of the normed (T, ..) that of the scans, grad_y (T, E), and of the gates, into
    # grad_rows; levels (T, E): the normed, grad_norm (E,) gains its gradient.
    n_inner = norm.shape[0]
    for t in range(n_step):
        gate_at, coming_at = begin + t * wide, t * wide_out
        square = along = constant(0.0)
        for c in range(0, n_inner, LANES):
            gate, at = load(rows, gate_at + c), t * n_inner + c
            level = load(kept, first + at) * gate * sigmoid(gate) * constant(0.5)
            store(levels, at, level)
            square = fma(level, level, square)
            along = fma(level * load(norm, c), load(coming, coming_at + c), along)
        mean = total(square) / np.float32(n_inner) + np.float32(1e-5)
        factor = np.float32(1) / np.sqrt(mean)
        shared = spread(total(along) / np.float32(n_inner) / mean)
        factor = spread(factor)
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
            store(grad_rows, t * wide + c, given * load(kept, first + at) * slope)


@inlined
def _convolve_back(
    rows, wide, first, n_step, weight, bias, reverse, grad_mixed, slopes, grad_rows, grad_weight,
    grad_bias,
):  # fmt: skip
    # Gradients of `convolve`: grad_rows (T, wide) gains that of rows; slopes is room for T and twice
    # the taps of vectors, with zeros in front and behind.
    n_tap, n_packed = weight.shape
    back = wide if reverse else -wide
    ahead = -LANES if reverse else LANES
    for c in range(0, n_packed, LANES):
        w0, w1 = load(weight, c), load(weight, n_packed + c)
        w2, w3 = load(weight, 2 * n_packed + c), load(weight, 3 * n_packed + c)
        shift, g0, g1, g2, g3, summed = (
            load(bias, c), constant(0.0), constant(0.0), constant(0.0), constant(0.0), constant(0.0),
        )  # fmt: skip
        for t in range(n_step):
            at = first + t * wide + c
            r0, r1 = load(rows, at), load(rows, at + back)
            r2, r3 = load(rows, at + 2 * back), load(rows, at + 3 * back)
            x = fma(w3, r3, fma(w2, r2, fma(w1, r1, fma(w0, r0, shift))))
            for j in range(4, n_tap):
                x = fma(load(weight, j * n_packed + c), load(rows, at + j * back), x)
            part = sigmoid(x)
            slope = part * fma(x, constant(1.0) - part, constant(1.0))
            slope = slope * load(grad_mixed, t * n_packed + c)
            store(slopes, (n_tap + t) * LANES, slope)
            summed = summed + slope
            g0, g1 = fma(slope, r0, g0), fma(slope, r1, g1)
            g2, g3 = fma(slope, r2, g2), fma(slope, r3, g3)
        store(grad_bias, c, summed)
        store(grad_weight, c, g0)
        store(grad_weight, n_packed + c, g1)
        store(grad_weight, 2 * n_packed + c, g2)
        store(grad_weight, 3 * n_packed + c, g3)
        for j in range(4, n_tap):
            summed = constant(0.0)
            for t in range(n_step):
                row = load(rows, first + t * wide + j * back + c)
                summed = fma(load(slopes, (n_tap + t) * LANES), row, summed)
            store(grad_weight, j * n_packed + c, summed)
        for t in range(n_step):
            at, source = t * wide + c, (n_tap + t) * LANES
            given = fma(w0, load(slopes, source), load(grad_rows, at))
            given = fma(w1, load(slopes, source + ahead), given)
            given = fma(w2, load(slopes, source + 2 * ahead), given)
            given = fma(w3, load(slopes, source + 3 * ahead), given)
            for j in range(4, n_tap):
                given = fma(load(weight, j * n_packed + c), load(slopes, source + j * ahead), given)
            store(grad_rows, at, given)


@inlined
def _heads_back(
    mixed, n_packed, delta, decay, skip, log_decay, grad_y, to_gain, to_decay, rows, wide, first,
    step_bias, head_dim, work, grad_mixed, grad_rows, grad_log_decay, grad_step_bias, grad_skip,
):  # fmt: skip
    # From the gradients of gained and decay those of x, into grad_mixed, of the steps, into
    # grad_rows from the column where they begin, and of what goes with each head.
    n_inner, n_head = skip.shape[0], step_bias.shape[0]
    n_step = grad_y.shape[0] // n_inner
    for t in range(n_step):
        for c in range(0, n_inner, LANES):
            at, place = t * n_inner + c, t * n_packed + c
            x, given, coming = load(mixed, place), load(to_gain, at), load(grad_y, at)
            store(grad_skip, c, fma(coming, x, load(grad_skip, c)))
            coming = fma(load(skip, c), coming, given * load(delta, at))
            store(grad_mixed, place, coming)
            store(to_gain, at, given * x)
            store(to_decay, at, load(to_decay, at) * load(decay, at))
    for m in range(n_head):
        rate = -np.exp(log_decay[m])
        sum_rate = sum_step = np.float32(0.0)
        for start in range(0, n_step, LANES):
            some = min(LANES, n_step - start)
            for k in range(some):
                begin = (start + k) * n_inner + m * head_dim
                sum_gain = sum_decay = np.float32(0.0)
                for c in range(begin, begin + head_dim):
                    sum_gain += to_gain[c]
                    sum_decay += to_decay[c]
                sum_rate += sum_decay * delta[begin]
                work[m, 0, k] = rows[first + (start + k) * wide + m]
                work[m, 1, k] = sum_gain + rate * sum_decay
            at = m * 2 * LANES
            part = sigmoid(load(work, at) + spread(step_bias[m]))
            store(work, at, part * load(work, at + LANES))
            for k in range(some):
                grad_rows[(start + k) * wide + n_packed + n_inner + m] += work[m, 0, k]
                sum_step += work[m, 0, k]
        grad_log_decay[m] = sum_rate * rate
        grad_step_bias[m] = sum_step


@fused
def mix_backward(
    claim, tokens, lps, order, n_window, scale, shift, weight_in, back_in, n_state, conv_weight,
    conv_bias, log_decay, step_bias, skip, norm, back_out, kept, starts, coming_tokens, coming_lps,
    grad_tokens, grad_lps, grad_scale, grad_shift, grad_in, grad_conv_weight, grad_conv_bias,
    grad_log_decay, grad_step_bias, grad_skip, grad_norm, grad_out,
):  # fmt: skip
    """Gradients of `mix` from coming_tokens, coming_lps: those of the lattices, and per window of all
    that was packed.

    back_in and back_out are the panels of the transposed weight_in and weight_out.
    """
    n_batch, n_token, depth = tokens.shape
    n_step, n_inner, n_packed = kept.shape[1], kept.shape[2], conv_bias.shape[1]
    head_dim = n_inner // step_bias.shape[1]
    n_in, n_out = weight_in.shape[0], grad_out.shape[1]
    wide, wide_out = n_in * COLUMNS, n_out * COLUMNS
    wide_y, wide_x = back_out.shape[0] * COLUMNS, back_in.shape[0] * COLUMNS
    n_row = (n_step + ROWS - 1) // ROWS * ROWS
    n_tap = conv_weight.shape[1]
    begin = n_tap * wide
    n_number = n_step * n_inner
    normed = np.empty(n_row * depth, np.float32)
    rows = np.zeros(n_row * wide + 2 * begin, np.float32)
    grad_rows = np.zeros(n_row * wide, np.float32)
    answers = np.zeros(n_row * wide_out, np.float32)
    coming = np.empty(n_row * wide_y, np.float32)
    leaving = np.empty(n_row * wide_x, np.float32)
    levels = np.empty(n_number, np.float32)
    grad_y = np.empty(n_number, np.float32)
    mixed = np.empty(n_step * n_packed, np.float32)
    grad_mixed = np.zeros(n_step * n_packed, np.float32)
    delta = np.empty(n_number + LANES, np.float32)
    decay = np.empty(n_number + LANES, np.float32)
    gained = np.empty(n_number, np.float32)
    to_gain = np.empty(n_number, np.float32)
    to_decay = np.empty(n_number, np.float32)
    slopes = np.zeros((n_step + 2 * n_tap) * LANES, np.float32)
    states = np.empty((CHUNK + 1) * STATES * LANES, np.float32)
    sums = np.empty(n_step * LANES, np.float32)
    work = np.zeros((step_bias.shape[1], 2, LANES), np.float32)
    task = take(claim)
    while task < n_batch * n_window:
        i, first = task // n_window, task % n_window * n_step
        grad_in[task], grad_out[task] = np.float32(0.0), np.float32(0.0)
        grad_scale[task], grad_shift[task] = np.float32(0.0), np.float32(0.0)
        grad_skip[task], grad_norm[task] = np.float32(0.0), np.float32(0.0)
        gather(tokens, lps, i, order, first, n_step, scale, shift, normed)
        project(normed, n_step, weight_in, rows, begin)
        for k in range(begin + n_step * wide, begin + n_row * wide):
            rows[k] = np.float32(0.0)
        grad_rows[:] = np.float32(0.0)
        for t in range(n_step):
            place = order[first + t]
            for c in range(0, depth, LANES):
                if place < n_token:
                    value = load(coming_tokens, (i * n_token + place) * depth + c)
                else:
                    value = load(coming_lps, (i * lps.shape[1] + place - n_token) * depth + c)
                store(answers, t * wide_out + c, value)
        project(answers, n_step, back_out, coming, 0)
        kept_at = task * n_number
        _gate_back(
            coming, rows, begin + n_packed, wide, n_step, kept, kept_at, norm, levels, grad_y,
            grad_rows[n_packed:], grad_norm[task], wide_y,
        )  # fmt: skip
        for panel in range(n_out):
            column = panel * COLUMNS
            for h in range(0, n_inner, ROWS):
                at = ((task * n_out + panel) * n_inner + h) * COLUMNS
                add_outer(
                    levels, h, n_inner, n_step, answers, column, wide_out, grad_out, at, COLUMNS
                )
        for direction in range(2):
            reverse = direction == 1
            bias, rates, ahead = step_bias[direction], log_decay[direction], skip[direction]
            steps_at = begin + n_packed + n_inner
            steps(rows, wide, steps_at, n_step, bias, rates, head_dim, delta, decay, work)
            taps, shifts = conv_weight[direction], conv_bias[direction]
            convolve(rows, wide, begin, n_step, taps, shifts, reverse, mixed)
            for t in range(n_step):
                for c in range(0, n_inner, LANES):
                    at = t * n_inner + c
                    store(gained, at, load(delta, at) * load(mixed, t * n_packed + c))
            to_gain[:] = np.float32(0.0)
            to_decay[:] = np.float32(0.0)
            scan_states_back(
                mixed, 0, gained, decay, n_step, n_inner, n_packed, reverse, n_state,
                starts, (direction * n_batch * n_window + task) * starts.shape[2], grad_y, 0,
                states, sums, to_gain, to_decay, grad_mixed, 0,
            )  # fmt: skip
            _heads_back(
                mixed, n_packed, delta, decay, ahead, rates, grad_y, to_gain, to_decay, rows, wide,
                steps_at, bias, head_dim, work, grad_mixed, grad_rows, grad_log_decay[task, direction],
                grad_step_bias[task, direction], grad_skip[task, direction],
            )  # fmt: skip
            _convolve_back(
                rows, wide, begin, n_step, taps, shifts, reverse, grad_mixed, slopes, grad_rows,
                grad_conv_weight[task, direction], grad_conv_bias[task, direction],
            )  # fmt: skip
        for panel in range(n_in):
            column = panel * COLUMNS
            for c in range(0, depth, ROWS):
                at = ((task * n_in + panel) * depth + c) * COLUMNS
                add_outer(normed, c, depth, n_step, grad_rows, column, wide, grad_in, at, COLUMNS)
        project(grad_rows, n_step, back_in, leaving, 0)
        for t in range(n_step):
            place = order[first + t]
            if place < n_token:
                layer_norm_backward(
                    tokens, (i * n_token + place) * depth, scale, leaving, t * wide_x,
                    coming_tokens, grad_tokens, grad_scale[task], grad_shift[task], depth,
                )  # fmt: skip
            else:
                layer_norm_backward(
                    lps, (i * lps.shape[1] + place - n_token) * depth, scale, leaving, t * wide_x,
                    coming_lps, grad_lps, grad_scale[task], grad_shift[task], depth,
                )  # fmt: skip
        task = take(claim)
