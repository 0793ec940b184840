"""The convolution along a sequence, with SiLU, and its gradients. Letters as in `ginr.kernels.mixer`."""

from ginr.kernels.activations import constant, sigmoid, silu
from ginr.kernels.compile import inlined
from ginr.kernels.simd import fma, load, load_four, store, store_all
from ginr.kernels.sizes import LANES, TAPS


@inlined
def convolve(size, rows, weight, bias, reverse, mixed):
    """mixed (T, C) = silu(convolution of rows); zeros surround the rows."""
    n_tap, n_packed = weight.shape
    back = size.wide if reverse else -size.wide
    for c in range(0, n_packed, LANES):
        w0, w1, w2, w3 = load_four(weight, c, n_packed)
        shift = load(bias, c)
        for t in range(size.n_step):
            at = size.begin + t * size.wide + c
            summed = fma(w0, load(rows, at), shift)
            summed = fma(w1, load(rows, at + back), summed)
            summed = fma(w2, load(rows, at + 2 * back), summed)
            summed = fma(w3, load(rows, at + 3 * back), summed)
            for j in range(TAPS, n_tap):
                tap = load(weight, j * n_packed + c)
                summed = fma(tap, load(rows, at + j * back), summed)
            store(mixed, t * n_packed + c, silu(summed))


@inlined
def _taps_back(size, c, weight, bias, reverse, room, grad_weight, grad_bias):
    # Gradients of the convolution's weights for LANES channels, and of SiLU's input, room.slopes.
    n_tap, n_packed = weight.shape
    back = size.wide if reverse else -size.wide
    rows, slopes, grad_mixed = room.rows, room.slopes, room.grad_mixed
    w0, w1, w2, w3 = load_four(weight, c, n_packed)
    shift = load(bias, c)
    g0 = g1 = g2 = g3 = summed = constant(0.0)
    for t in range(size.n_step):
        at = size.begin + t * size.wide + c
        r0, r1, r2, r3 = load_four(rows, at, back)
        x = fma(w3, r3, fma(w2, r2, fma(w1, r1, fma(w0, r0, shift))))
        for j in range(TAPS, n_tap):
            x = fma(load(weight, j * n_packed + c), load(rows, at + j * back), x)
        part = sigmoid(x)
        slope = part * fma(x, constant(1.0) - part, constant(1.0))
        slope = slope * load(grad_mixed, t * n_packed + c)
        store(slopes, (n_tap + t) * LANES, slope)
        summed = summed + slope
        g0, g1 = fma(slope, r0, g0), fma(slope, r1, g1)
        g2, g3 = fma(slope, r2, g2), fma(slope, r3, g3)
    store(grad_bias, c, summed)
    store_all((g0, g1, g2, g3), grad_weight, c, n_packed)
    for j in range(TAPS, n_tap):
        summed = constant(0.0)
        for t in range(size.n_step):
            row = load(rows, size.begin + t * size.wide + j * back + c)
            summed = fma(load(slopes, (n_tap + t) * LANES), row, summed)
        store(grad_weight, j * n_packed + c, summed)


@inlined
def convolve_back(size, weight, bias, reverse, room, grad_weight, grad_bias):
    """Gradients of `convolve`; that of room.rows is added to room.grad_rows."""
    n_tap, n_packed = weight.shape
    slopes, grad_rows = room.slopes, room.grad_rows
    ahead = -LANES if reverse else LANES
    for c in range(0, n_packed, LANES):
        _taps_back(size, c, weight, bias, reverse, room, grad_weight, grad_bias)
        w0, w1, w2, w3 = load_four(weight, c, n_packed)
        for t in range(size.n_step):
            at, source = t * size.wide + c, (n_tap + t) * LANES
            given = fma(w0, load(slopes, source), load(grad_rows, at))
            given = fma(w1, load(slopes, source + ahead), given)
            given = fma(w2, load(slopes, source + 2 * ahead), given)
            given = fma(w3, load(slopes, source + 3 * ahead), given)
            for j in range(TAPS, n_tap):
                given = fma(load(weight, j * n_packed + c), load(slopes, source + j * ahead), given)
            store(grad_rows, at, given)
