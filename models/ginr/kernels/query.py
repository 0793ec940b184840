"""The lattice decoder and its base at arbitrary places on the CPU; the decoder has gradients.

Letters: B batch, H W the base, h w codes, J waves, F = 1 + 2 J, Q queries. Arrays are C-contiguous, and
J is a multiple of LANES.
"""

import numpy as np

from ginr.kernels.activations import constant
from ginr.kernels.compile import claim_next, fused, inlined
from ginr.kernels.limits import beside
from ginr.kernels.simd import broadcast, fma, larger, load, nearest, smaller, store, total
from ginr.kernels.sizes import LANES

SHARE = 64  # queries per task


@inlined
def _sine(turns):
    # sin(2 pi t) for |t| <= 1/4, by its Taylor series up to x^11; error 6e-8
    x = turns * constant(6.283185307179586)
    q = x * x
    p = fma(constant(-2.5052108e-8), q, constant(2.7557319e-6))
    p = fma(p, q, constant(-1.9841270e-4))
    p = fma(p, q, constant(8.3333333e-3))
    p = fma(p, q, constant(-1.6666667e-1))
    return fma(x * q, p, x)


@inlined
def _wave(offset_y, offset_x, waves, j, weight):
    # weight cos(waves . offset) and weight sin(waves . offset) for LANES of the waves (2, J).
    n_wave = waves.shape[1]
    turns = broadcast(offset_y) * load(waves, j) + broadcast(offset_x) * load(waves, n_wave + j)
    turns = turns * constant(0.15915494309189535)
    turns = turns - nearest(turns)  # [-1/2, 1/2]
    minus = constant(0.0) - turns
    folded = larger(smaller(turns, constant(0.5) + minus), minus - constant(0.5))
    scale = broadcast(weight)
    return scale * _sine(constant(0.25) - larger(turns, minus)), scale * _sine(folded)


@inlined
def _cubic_taps(position, n, index, weight):
    # `ginr.kernels.grid_tables.bicubic_taps` at one position, into index and weight (4,).
    first = np.floor(position)
    t = position - first
    u = 1.0 - t
    weight[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    weight[1] = ((1.5 * t - 2.5) * t) * t + 1.0
    weight[2] = ((1.5 * u - 2.5) * u) * u + 1.0
    weight[3] = ((-0.5 * u + 1.0) * u - 0.5) * u
    for k in range(4):
        at = (np.int64(first) - 1 + k) % (2 * n)
        index[k] = at if at < n else 2 * n - 1 - at


@fused
def query_base(claim, base, places, out):
    """out (B, Q, 3) = bicubic interpolation of base (B, 3, H, W) at places (B, Q, 2)."""
    n_batch, n_query = places.shape[:2]
    height, width = base.shape[2:]
    y, x = np.empty(4, np.int64), np.empty(4, np.int64)
    wy, wx = np.empty(4, np.float32), np.empty(4, np.float32)
    n_share = (n_query + SHARE - 1) // SHARE
    task = claim_next(claim)
    while task < n_batch * n_share:
        i, first = task // n_share, task % n_share * SHARE
        for q in range(first, min(first + SHARE, n_query)):
            _cubic_taps(places[i, q, 0], height, y, wy)
            _cubic_taps(places[i, q, 1], width, x, wx)
            for c in range(3):
                colour = np.float32(0.0)
                for k in range(4):
                    along = np.float32(0.0)
                    for m in range(4):
                        along += wx[m] * base[i, c, y[k], x[m]]
                    colour += wy[k] * along
                out[i, q, c] = colour
        task = claim_next(claim)


@inlined
def _near(place_y, place_x, pitch, height, width, index, weight, offset):
    # The four codes around a place, into index (4,), weight (4,) and offset (4, 2).
    y0, y1, wy0, wy1, dy0, dy1 = beside(place_y, pitch, height)
    x0, x1, wx0, wx1, dx0, dx1 = beside(place_x, pitch, width)
    for k in range(4):
        low, left = k < 2, k % 2 == 0
        index[k] = (y0 if low else y1) * width + (x0 if left else x1)
        weight[k] = (wy0 if low else wy1) * (wx0 if left else wx1)
        offset[k, 0] = dy0 if low else dy1
        offset[k, 1] = dx0 if left else dx1


@fused
def query_forward(claim, codes, places, pitch, gain, waves, out):
    """Colours out (B, Q, 3) at places (B, Q, 2) in LR pixels.

    codes (B, h, w, 3, F), `pitch` LR pixels apart; gain (B, Q or 1, 1 + J); waves (2, J).
    """
    n_batch, n_query = places.shape[:2]
    height, width, _, n_code = codes.shape[1:]
    n_wave, n_gain = waves.shape[1], gain.shape[1]
    index, weight = np.empty(4, np.int64), np.empty(4, np.float32)
    offset = np.empty((4, 2), np.float32)
    n_share = (n_query + SHARE - 1) // SHARE
    task = claim_next(claim)
    while task < n_batch * n_share:
        i, first = task // n_share, task % n_share * SHARE
        for q in range(first, min(first + SHARE, n_query)):
            g = 0 if n_gain == 1 else q
            _near(places[i, q, 0], places[i, q, 1], pitch, height, width, index, weight, offset)
            mean = gain[i, g, 0]
            red = green = blue = constant(0.0)
            for c in range(3):
                out[i, q, c] = np.float32(0.0)
            for k in range(4):
                y, x = index[k] // width, index[k] % width
                at = (i * height * width + index[k]) * 3 * n_code
                for c in range(3):
                    out[i, q, c] += weight[k] * mean * codes[i, y, x, c, 0]
                for j in range(0, n_wave, LANES):
                    cosine, sine = _wave(offset[k, 0], offset[k, 1], waves, j, weight[k])
                    left = load(gain, (i * n_gain + g) * (1 + n_wave) + 1 + j)
                    cosine, sine = cosine * left, sine * left
                    at_cosine, at_sine = at + 1 + j, at + 1 + n_wave + j
                    red = fma(cosine, load(codes, at_cosine), red)
                    red = fma(sine, load(codes, at_sine), red)
                    green = fma(cosine, load(codes, at_cosine + n_code), green)
                    green = fma(sine, load(codes, at_sine + n_code), green)
                    blue = fma(cosine, load(codes, at_cosine + 2 * n_code), blue)
                    blue = fma(sine, load(codes, at_sine + 2 * n_code), blue)
            out[i, q, 0] += total(red)
            out[i, q, 1] += total(green)
            out[i, q, 2] += total(blue)
        task = claim_next(claim)


@fused
def query_backward(
    claim, codes, places, pitch, gain, waves, grad, grad_codes, grad_gain, grad_waves
):
    """Gradients of `query_forward`, one picture per task; grad_waves (B, 2, J) is per picture."""
    n_batch, n_query = places.shape[:2]
    height, width, _, n_code = codes.shape[1:]
    n_wave, n_gain = waves.shape[1], gain.shape[1]
    index, weight = np.empty(4, np.int64), np.empty(4, np.float32)
    offset = np.empty((4, 2), np.float32)
    i = claim_next(claim)
    while i < n_batch:
        grad_codes[i], grad_gain[i] = np.float32(0.0), np.float32(0.0)
        grad_waves[i] = np.float32(0.0)
        for q in range(n_query):
            g = 0 if n_gain == 1 else q
            _near(places[i, q, 0], places[i, q, 1], pitch, height, width, index, weight, offset)
            for k in range(4):
                y, x = index[k] // width, index[k] % width
                dy, dx, w = offset[k, 0], offset[k, 1], weight[k]
                for c in range(3):
                    grad_gain[i, g, 0] += grad[i, q, c] * w * codes[i, y, x, c, 0]
                    grad_codes[i, y, x, c, 0] += grad[i, q, c] * w * gain[i, g, 0]
                for j in range(0, n_wave, LANES):
                    cosine, sine = _wave(dy, dx, waves, j, w)
                    gain_at = (i * n_gain + g) * (1 + n_wave) + 1 + j
                    left = load(gain, gain_at)
                    even, odd = cosine * left, sine * left
                    to_cosine = to_sine = constant(0.0)
                    for c in range(3):
                        go = broadcast(grad[i, q, c])
                        at = ((i * height * width + index[k]) * 3 + c) * n_code + 1 + j
                        to_cosine = fma(go, load(codes, at), to_cosine)
                        to_sine = fma(go, load(codes, at + n_wave), to_sine)
                        store(grad_codes, at, fma(go, even, load(grad_codes, at)))
                        at += n_wave
                        store(grad_codes, at, fma(go, odd, load(grad_codes, at)))
                    along = fma(to_cosine, cosine, to_sine * sine)
                    store(grad_gain, gain_at, load(grad_gain, gain_at) + along)
                    turn = (to_sine * cosine - to_cosine * sine) * left
                    at = i * 2 * n_wave + j
                    store(grad_waves, at, fma(turn, broadcast(dy), load(grad_waves, at)))
                    at += n_wave
                    store(grad_waves, at, fma(turn, broadcast(dx), load(grad_waves, at)))
        i = claim_next(claim)
