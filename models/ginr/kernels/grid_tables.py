"""What the fused renderer of the lattice decoder reads of a grid: one small table per axis.

The formula is in `ginr.network.lattice_decoder`. Written for NumPy arrays and tensors alike, see `ginr.array_api`.

Letters: n places, J waves, F = 1 + 2 J numbers per code and colour, B batch, h w codes, H W the base.
"""

from typing import NamedTuple

import numpy as np

from ginr.architecture.limits import N_LIMIT
from ginr.array_api import Array, as_type, namespace, padded
from ginr.kernels.sizes import LANES, whole

Table = tuple[Array, Array, Array, Array]
"""One axis of a grid: neighbours and their weights (n, 2), weighted cos and sin (n, 2, J)."""


class Axis(NamedTuple):
    """What is read along one axis of a grid at each of its n places."""

    code: Array
    """The codes on either side (n, 2)."""
    code_share: Array
    """Their weights (n, 2)."""
    wave: Array
    """Weighted cos, then sin, of every wave at the distance from each of both, (n, 2, 2 J)."""
    tap: Array
    """Four pixels of the base (n, 4)."""
    tap_share: Array
    """Their weights (n, 4)."""
    pixel: Array
    """The pixels on either side whose limits count (n, 2)."""
    pixel_share: Array
    """Their weights (n, 2)."""


class Grid(NamedTuple):
    """A grid of places and what it reads besides codes; J is a multiple of LANES."""

    base: Array
    """(B, 3, H, W)."""
    limits: Array
    """(B, 8, H, W), or (B, 8, 0, 0) for none."""
    y: Axis
    x: Axis


def bicubic_taps(position: Array, n: int) -> tuple[Array, Array]:
    """Keys' cubic (a = -1/2; Keys 1981) at lattice positions (...): indices and weights (..., 4).

    Outside, the picture of n pixels is mirrored with its edge pixel, as MATLAB's imresize does.
    """
    ops = namespace(position)
    first = ops.floor(position)
    t = ops.abs(ops.stack([position - first - k for k in range(-1, 3)], -1))
    near = ((1.5 * t - 2.5) * t) * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    weight = ops.where(t <= 1, near, ops.where(t < 2, far, 0 * t))
    index = ops.stack([as_type(first, "int64") + k for k in range(-1, 3)], -1) % (2 * n)
    return ops.where(index < n, index, 2 * n - 1 - index), weight


def neighbours(places: Array, pitch: float, length: int) -> tuple[Array, Array, Array]:
    """The two codes beside each place (...): index, weight, offset in LR pixels, (..., 2).

    `length` codes are `pitch` LR pixels apart. Outside the outermost ones both are the outermost,
    so that nothing is extrapolated.
    """
    ops = namespace(places)
    position = (places + 0.5) / pitch - 0.5
    first = ops.floor(position)
    both = ops.stack([first, first + 1], -1)
    weight = 1 - ops.abs(position[..., None] - both)
    index = ops.clip(both, 0, length - 1)
    return as_type(index, "int64"), weight, (position[..., None] - index) * pitch


def axis_table(
    places: Array, pitch: float, length: int, waves: Array, gain: Array | None = None
) -> Table:
    """An axis of a grid at places (n,) among `length` codes, by the waves' part along it, (J,).

    The footprint's gain (1 + J,) belongs into the table of one of the two axes: it multiplies the
    product of both.
    """
    index, weight, offset = neighbours(places, pitch, length)
    phase = offset[..., None] * as_type(waves, "float64")  # (n, 2, J)
    wave = weight[..., None]
    if gain is not None:
        wave, weight = wave * gain[1:], weight * gain[0]
    ops = namespace(places)
    tables = (weight, wave * ops.cos(phase), wave * ops.sin(phase))
    return index, *(as_type(table, "float32") for table in tables)


def grid_tables(
    shape: tuple[int, int, int],
    base: Array | None,
    limits: Array | None,
    rows: Array,
    columns: Array,
    pitch: float,
    waves: Array,
    gain: Array,
) -> Grid:
    """What `ginr.kernels.render` reads of a grid besides codes.

    shape (B, h, w) of the codes; base (B, 3, H, W); limits (B, 8, H, W); rows (h',) and columns
    (w',) in LR pixels; waves (J, 2); gain (1 + J,). All are arrays.
    """
    if base is None:
        base = np.zeros((shape[0], 3, 1, 1), np.float32)
    if limits is None:
        limits = np.zeros((shape[0], N_LIMIT, 0, 0), np.float32)

    def axis(places: Array, k: int, gain: Array | None) -> Axis:
        code, code_share, *parts = axis_table(places, pitch, shape[1 + k], waves[:, k], gain)
        wave = np.concatenate([whole_lanes(part, 1, 0) for part in parts], -1)
        tap, tap_share = bicubic_taps(places, base.shape[2 + k])
        pixel, pixel_share, _ = neighbours(places, 1.0, limits.shape[2 + k])
        tap_share, pixel_share = (as_type(v, "float32") for v in (tap_share, pixel_share))
        tables = (code, code_share, wave, tap, tap_share, pixel, pixel_share)
        return Axis(*(np.ascontiguousarray(table) for table in tables))

    whole_base, whole_limits = (np.ascontiguousarray(v) for v in (base, limits))
    return Grid(whole_base, whole_limits, axis(rows, 0, gain), axis(columns, 1, None))


def whole_lanes(x: Array, n_part: int, n_first: int) -> Array:
    """x (..., n_first + n_part J) with every part followed by zeros up to a multiple of LANES."""
    n_wave = (x.shape[-1] - n_first) // n_part
    if n_wave % LANES == 0:
        return x
    parts = padded(x[..., n_first:].reshape(*x.shape[:-1], n_part, n_wave), whole(n_wave))
    join = namespace(x).concatenate
    return join([x[..., :n_first], parts.reshape(*x.shape[:-1], -1)], -1)


def given_lanes(x: Array, n_part: int, n_first: int, n_wave: int) -> Array:
    """The inverse of `whole_lanes` for parts of n_wave numbers."""
    if n_wave % LANES == 0:
        return x
    parts = x[..., n_first:].reshape(*x.shape[:-1], n_part, -1)[..., :n_wave]
    join = namespace(x).concatenate
    return join([x[..., :n_first], parts.reshape(*x.shape[:-1], -1)], -1)
