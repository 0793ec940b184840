"""Activations and layer normalisation on SIMD vectors, for use inside kernels."""

import numpy as np

from ginr.kernels.compile import inlined
from ginr.kernels.simd import broadcast, fma, larger, load, nearest, power, smaller, store, total
from ginr.kernels.sizes import LANES


@inlined
def constant(number):
    """A vector of LANES equal numbers."""
    return broadcast(np.float32(number))


@inlined
def clear(x, first, end):
    """Set x[first:end] to zero; the length is a multiple of LANES."""
    for k in range(first, end, LANES):
        store(x, k, constant(0.0))


@inlined
def exp(x):
    """e^x with x clamped to [-87, 88]; relative error 3e-7."""
    turns = smaller(larger(x, constant(-87.0)), constant(88.0)) * constant(1.4426950408889634)
    whole = nearest(turns)
    part = turns - whole  # [-1/2, 1/2]
    p = fma(constant(0.00015461447461837517), part, constant(0.0013390867351613025))
    p = fma(p, part, constant(0.009618056669890332))
    p = fma(p, part, constant(0.05550357104252173))
    p = fma(p, part, constant(0.24022650922342734))
    p = fma(p, part, constant(0.6931471880293436))
    return power(whole) * fma(p, part, constant(1.0))


@inlined
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return constant(1.0) / (constant(1.0) + exp(constant(0.0) - x))


@inlined
def silu(x):
    """x / (1 + e^-x)."""
    return x / (constant(1.0) + exp(constant(0.0) - x))


@inlined
def softplus(x):
    """log(1 + e^x), with a rational fit of log(1 + u) / u on [0, 1]; error 9e-10."""
    u = exp(smaller(x, constant(0.0) - x))
    p = fma(constant(0.003417254220191945), u, constant(0.2381565916638814))
    p = fma(p, u, constant(1.0662168337186537))
    p = fma(p, u, constant(0.9999999990598153))
    q = fma(constant(0.07528692435966905), u, constant(0.6879345368585363))
    q = fma(q, u, constant(1.5662167031687637))
    q = fma(q, u, constant(1.0))
    return fma(u, p / q, larger(x, constant(0.0)))


@inlined
def normal_cdf(x):
    """Phi(x), the normal CDF, as 1/2 + a rational fit with x clamped to [-5.4, 5.4]; error 1.4e-7."""
    h = smaller(larger(x, constant(-5.4)), constant(5.4))
    q = h * h
    p = fma(constant(-1.8875351195125353e-08), q, constant(6.608229308676669e-06))
    p = fma(p, q, constant(0.0005152325278971843))
    p = fma(p, q, constant(0.006759440794248412))
    p = fma(p, q, constant(0.0700130341319997))
    p = fma(p, q, constant(0.39894167669934477))
    r = fma(constant(0.00017340930409668486), q, constant(0.0038593894916926896))
    r = fma(r, q, constant(0.04899153119249277))
    r = fma(r, q, constant(0.3421517287911565))
    r = fma(r, q, constant(1.0))
    return fma(h, p / r, constant(0.5))


@inlined
def gelu(x):
    """x Phi(x)."""
    return x * normal_cdf(x)


@inlined
def gelu_slope(x, cdf):
    """The derivative of x Phi(x), given cdf = Phi(x)."""
    density = constant(0.3989422804014327) * exp(constant(-0.5) * x * x)
    return fma(x, density, cdf)


@inlined(error_model="numpy")
def _moments(x, x_at, n):
    # Mean and 1 / standard deviation of n numbers, each broadcast to a vector.
    mean = constant(0.0)
    for c in range(0, n, LANES):
        mean = mean + load(x, x_at + c)
    mean = broadcast(total(mean) / np.float32(n))
    square = constant(0.0)
    for c in range(0, n, LANES):
        away = load(x, x_at + c) - mean
        square = fma(away, away, square)
    return mean, broadcast(
        np.float32(1) / np.sqrt(total(square) / np.float32(n) + np.float32(1e-5))
    )


@inlined
def layer_norm(x, x_at, scale, shift, out, out_at, n):
    """Layer normalisation (epsilon 1e-5) of n numbers; n is a multiple of LANES."""
    mean, factor = _moments(x, x_at, n)
    for c in range(0, n, LANES):
        level = (load(x, x_at + c) - mean) * factor
        store(out, out_at + c, fma(level, load(scale, c), load(shift, c)))


@inlined
def layer_norm_backward(
    x, at, scale, grad, grad_at, past, out, grad_scale, grad_shift, n
):  # fmt: skip
    """out = past + the gradient of `layer_norm` by its input x, all three starting at `at`.

    grad is the gradient of the output; grad_scale and grad_shift (n,) are accumulated.
    """
    mean, factor = _moments(x, at, n)
    straight = along = constant(0.0)
    for c in range(0, n, LANES):
        level = (load(x, at + c) - mean) * factor
        coming = load(grad, grad_at + c)
        store(grad_scale, c, fma(coming, level, load(grad_scale, c)))
        store(grad_shift, c, load(grad_shift, c) + coming)
        coming = coming * load(scale, c)
        straight = straight + coming
        along = fma(coming, level, along)
    straight = broadcast(total(straight) / np.float32(n))
    along = broadcast(total(along) / np.float32(n))
    for c in range(0, n, LANES):
        level = (load(x, at + c) - mean) * factor
        coming = fma(load(grad, grad_at + c), load(scale, c), constant(0.0) - straight)
        store(out, at + c, fma(factor, coming - along * level, load(past, at + c)))
