"""Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308) on vectors of LANES channels.

A tile of 4x4 positions takes 36 products per channel, of its spectrum, instead of 144:
y = A^T ((G w G^T) (B^T d B)) A in the paper's letters. Gradients use the transposed transforms.
"""

from ginr.kernels.activations import constant
from ginr.kernels.compile import inlined
from ginr.kernels.simd import fma, load, load_four, store, store_all
from ginr.kernels.sizes import FAR, LANES, NEAR, SPAN, TILE


@inlined
def _into(d0, d1, d2, d3, d4, d5):
    # B^T d of the paper
    both = constant(-(NEAR**2) - FAR**2)
    even_near, odd_near = fma(constant(-(FAR**2)), d2, d4), constant(NEAR) * d3 - constant(FAR) * d1
    even_far, odd_far = fma(constant(-(NEAR**2)), d2, d4), constant(FAR) * d3 - constant(NEAR) * d1
    return (
        fma(both, d2, d0 + d4),
        even_near + odd_near,
        even_near - odd_near,
        even_far + odd_far,
        even_far - odd_far,
        fma(both, d3, d1 + d5),
    )


@inlined
def _out_of(m0, m1, m2, m3, m4, m5):
    # A^T m of the paper
    even_near, odd_near, even_far, odd_far = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return (
        m0 + even_near + even_far,
        fma(constant(NEAR), odd_near, constant(FAR) * odd_far),
        fma(constant(NEAR**2), even_near, constant(FAR**2) * even_far),
        fma(constant(NEAR**3), odd_near, fma(constant(FAR**3), odd_far, m5)),
    )


@inlined
def _into_back(t0, t1, t2, t3, t4, t5):
    # B t, the transpose of `_into`
    both = constant(-(NEAR**2) - FAR**2)
    even_near, odd_near, even_far, odd_far = t1 + t2, t1 - t2, t3 + t4, t3 - t4
    return (
        t0,
        t5 - fma(constant(FAR), odd_near, constant(NEAR) * odd_far),
        fma(both, t0, constant(-(FAR**2)) * even_near + constant(-(NEAR**2)) * even_far),
        fma(both, t5, fma(constant(NEAR), odd_near, constant(FAR) * odd_far)),
        t0 + even_near + even_far,
        t5,
    )


@inlined
def _out_of_back(y0, y1, y2, y3):
    # A y, the transpose of `_out_of`
    even_near = fma(constant(NEAR**2), y2, y0)
    odd_near = fma(constant(NEAR**3), y3, constant(NEAR) * y1)
    even_far = fma(constant(FAR**2), y2, y0)
    odd_far = fma(constant(FAR**3), y3, constant(FAR) * y1)
    return (
        y0,
        even_near + odd_near,
        even_near - odd_near,
        even_far + odd_far,
        even_far - odd_far,
        y3,
    )


@inlined
def _load_six(x, at, step):
    return *load_four(x, at, step), load(x, at + 4 * step), load(x, at + 5 * step)


@inlined
def tile_in(normed, at, row, width, work, out, out_at, out_step):
    """Transforms SPAN^2 positions from `at`, row stride `row`, to a spectrum with stride out_step."""
    for c in range(0, width, LANES):
        for x in range(SPAN):
            store_all(
                _into(*_load_six(normed, at + x * width + c, row)), work, x * LANES, SPAN * LANES
            )
        for y in range(SPAN):
            t = _into(*_load_six(work, y * SPAN * LANES, LANES))
            store_all(t, out, out_at + y * SPAN * out_step + c, out_step)


@inlined
def tile_out(summed, at, step, bias, hidden, work, out, out_at, out_row):
    """Transforms a spectrum, stride `step`, to the 4x4 positions of its tile, and adds the bias."""
    for c in range(0, hidden, LANES):
        for x in range(SPAN):
            t = _out_of(*_load_six(summed, at + x * step + c, SPAN * step))
            store_all(t, work, x * LANES, SPAN * LANES)
        shift = load(bias, c)
        for y in range(TILE):
            t = _out_of(*_load_six(work, y * SPAN * LANES, LANES))
            for x, value in enumerate(t):
                store(out, out_at + y * out_row + x * hidden + c, value + shift)


@inlined
def tile_out_back(grad, at, row, hidden, work, out, out_at, out_step):
    """Gradient of a spectrum from that of its tile's 4x4 positions: `tile_out` transposed."""
    for c in range(0, hidden, LANES):
        for x in range(TILE):
            t = _out_of_back(*load_four(grad, at + x * hidden + c, row))
            store_all(t, work, x * LANES, TILE * LANES)
        for y in range(SPAN):
            t = _out_of_back(*load_four(work, y * TILE * LANES, LANES))
            store_all(t, out, out_at + y * SPAN * out_step + c, out_step)


@inlined
def tile_in_back(spectrum, at, step, width, work, out, out_at, row):
    """Adds the gradient of a spectrum to that of its SPAN^2 positions: `tile_in` transposed."""
    for c in range(0, width, LANES):
        for x in range(SPAN):
            t = _into_back(*_load_six(spectrum, at + x * step + c, SPAN * step))
            store_all(t, work, x * LANES, SPAN * LANES)
        for y in range(SPAN):
            t = _into_back(*_load_six(work, y * SPAN * LANES, LANES))
            for x, value in enumerate(t):
                place = out_at + y * row + x * width + c
                store(out, place, load(out, place) + value)
