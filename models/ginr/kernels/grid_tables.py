"""The tables, one per axis, from which the fused renderer of the lattice decoder renders a grid.

The formula is in `ginr.network.lattice_decoder`. Works on NumPy arrays and tensors, see `ginr.array_api`.

Letters: n places, J waves, F = 1 + 2 J numbers per code and colour, B batch, h w codes, H W the base.
"""

from typing import NamedTuple

import numpy as np

from ginr.architecture.limits import N_LIMIT
from ginr.array_api import Array, as_type, mirrored, namespace, padded
from ginr.kernels.sizes import LANES, whole

Table = tuple[Array, Array, Array, Array]
"""One axis of a grid: neighbours and their weights (n, 2), weighted cos and sin (n, 2, J)."""


class Axis(NamedTuple):
    """Indices and weights for the n places along one axis of a grid."""

    code: Array  # (n, 2): the codes on either side
    code_share: Array  # (n, 2): their weights
    wave: Array  # (n, 2, 2 J): weighted cos, then sin, of every wave at the offset from each code
    tap: Array  # (n, 4): the pixels of the base
    tap_share: Array  # (n, 4): their weights
    pixel: Array  # (n, 2): the pixels on either side, for limits
    pixel_share: Array  # (n, 2): their weights


class Grid(NamedTuple):
    """All inputs of a render besides the codes; J is a multiple of LANES."""

    base: Array  # (B, 3, H, W)
    limits: Array  # (B, 8, H, W), or (B, 8, 0, 0) for none
    y: Axis
    x: Axis


def bicubic_taps(position: Array, n: int) -> tuple[Array, Array]:
    """Keys' cubic (a = -1/2; Keys 1981) at lattice positions (...): indices and weights (..., 4).

    The n pixels are extended by reflection that repeats the edge pixel, as in MATLAB's imresize.
    """
    ops = namespace(position)
    first = ops.floor(position)
    t = ops.abs(ops.stack([position - first - k for k in range(-1, 3)], -1))
    near = ((1.5 * t - 2.5) * t) * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    weight = ops.where(t <= 1, near, ops.where(t < 2, far, 0 * t))
    index = ops.stack([as_type(first, "int64") + k for k in range(-1, 3)], -1)
    return mirrored(index, n), weight


def neighbours(places: Array, pitch: float, length: int) -> tuple[Array, Array, Array]:
    """The two codes next to each place (...): index, weight, offset in LR pixels, (..., 2).

    There are `length` codes, `pitch` LR pixels apart. Beyond the first or last code both neighbours are
    that code, so nothing is extrapolated.
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
    """The table of an axis at places (n,) among `length` codes, with the waves' components along it (J,).

    The footprint's gain (1 + J,) goes into the table of one axis only, since the tables are multiplied.
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
    """The inputs of `ginr.kernels.render` besides the codes, as NumPy arrays.

    shape (B, h, w) of the codes; base (B, 3, H, W); limits (B, 8, H, W); rows (h',) and columns
    (w',) in LR pixels; waves (J, 2); gain (1 + J,).
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
    """Pads each of the parts of x (..., n_first + n_part J) with zeros to a multiple of LANES."""
    n_wave = (x.shape[-1] - n_first) // n_part
    if n_wave % LANES == 0:
        return x
    parts = padded(x[..., n_first:].reshape(*x.shape[:-1], n_part, n_wave), whole(n_wave))
    join = namespace(x).concatenate
    return join([x[..., :n_first], parts.reshape(*x.shape[:-1], -1)], -1)


def trimmed_lanes(x: Array, n_part: int, n_first: int, n_wave: int) -> Array:
    """The inverse of `whole_lanes`: trims each part to its n_wave numbers."""
    if n_wave % LANES == 0:
        return x
    parts = x[..., n_first:].reshape(*x.shape[:-1], n_part, -1)[..., :n_wave]
    join = namespace(x).concatenate
    return join([x[..., :n_first], parts.reshape(*x.shape[:-1], -1)], -1)
