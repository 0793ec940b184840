"""Networks of format 1, whose content was a free map for each LP of a token, in today's form.

The maps become values that the queries of four orthonormal LPs select one by one, which is exact. Only
the vectors that format 1 had for every place of a window are averaged by their place in a token's
square: they changed the PSNR by at most 0.004 dB.

Letters: C vectors of the bank, D width, E = D tokens per LP.
"""

from collections.abc import Mapping
from dataclasses import replace

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import lattice_of_bank, window_plan
from ginr.architecture.weights import Shapes, shapes
from ginr.array_api import Array, namespace

NEW = ("value.weight", "query.weight", "query.bias", "shift.weight", "shift.bias")


def today(config: GinrConfig) -> GinrConfig:
    """The configuration after conversion of one whose bank is by window."""
    window = window_plan(config)
    selects = config.content != "none" and window.lp_side and window.tokens_per_lp == 1
    return replace(config, bank="place") if selects else config


def shapes_then(config: GinrConfig) -> Shapes:
    """The weights in the file by name and shape; `config` is that of today."""
    found = shapes(config) | {"lps": (config.n_lp, config.width)}
    for name in list(found):
        path = name.removesuffix("value.weight")
        if path != name and not path.startswith("decoder."):
            found[f"{path}map.weight"] = found[name]
            found[f"{path}map.bias"] = found[name][:1]
            for key in NEW:
                del found[path + key]
    return found


def converted(config: GinrConfig, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The weights of a file in today's form; `config` is that of today."""
    found = {name: value for name, value in weights.items() if ".map." not in name}
    for name in weights.keys() - found.keys():
        if name.endswith("weight"):
            path = name.removesuffix("map.weight")
            content = _content(config, weights[name], weights[f"{path}map.bias"])
            found |= {path + key: value for key, value in content.items()}
    if config.bank == "place":
        vectors, ops = weights["lps"], namespace(weights["lps"])
        place = lattice_of_bank(config).flatten()[window_plan(config).lp_curves[0]]  # (N,)
        means = ops.stack([vectors[place == k].mean(0) for k in range(place.max() + 1)])
        found["lps"] = _codes(means)
        # LPs start as their mean did, not as the new vector.
        found["start.shift.weight"] = found["start.shift.weight"] + _by_code(means - found["lps"])
    return found


def _content(config: GinrConfig, weight: Array, bias: Array) -> dict[str, Array]:
    """Value, query and shift that equal a map (C D, E, 1, 1) and its bias (C D,)."""
    own = bias.reshape(-1, config.width)  # (C, D)
    codes, ops = _codes(own), namespace(weight)
    queries = ops.stack([code for code in codes for _ in range(config.width)])[:, :, None, None]
    is_by_place = config.bank == "place"
    return {
        "value.weight": weight,
        "query.weight": queries if is_by_place else 0 * queries,
        "query.bias": 0 * bias if is_by_place else 0 * bias + 1,
        "shift.weight": _by_code(own) * int(is_by_place),
        "shift.bias": 0 * own[0] if is_by_place else bias,
    }


def _codes(rows: Array) -> Array:
    """Orthonormal vectors (C, D)."""
    return namespace(rows).eye(*rows.shape, dtype=rows.dtype)


def _by_code(rows: Array) -> Array:
    """The map (D, D, 1, 1) that gives row k of (C, D) for code k."""
    return (rows.T @ _codes(rows))[:, :, None, None]
