"""Folds the LPs into the weights of a network: LP-queried content and scaled channels as plain maps.

An LP decides what it takes from its token x: content = sum over j of (Q_j lp + q_j) * (V_j x) + S lp + s,
where * is elementwise. Given the LPs, this is a linear map of x, and scaled hidden channels are
channels of another convolution. So a network with given LPs runs as a plain one, at the same speed.

Works on NumPy arrays and tensors, see `ginr.array_api`.

Letters: C vectors of the bank, D width, E = D tokens per LP, J maps, H hidden width, K traits.
"""

from collections.abc import Mapping

from ginr.architecture.config import GinrConfig
from ginr.array_api import Array, namespace
from ginr.errors import GinrError

Weights = Mapping[str, Array]
"""The weights of a module, named as in its checkpoint."""


def moved_lps(lps: Array, directions: Array, traits: Array) -> Array:
    """lps (C, D) moved along directions (K, C, D) by traits (K,)."""
    return lps + (directions * traits[:, None, None]).sum(0)


def check_traits(config: GinrConfig, traits: Array) -> None:
    """Raises GinrError unless a network accepts these traits."""
    if not config.n_trait:
        raise GinrError("this network was not trained to restore: use the checkpoint photo")
    if traits.shape != (config.n_trait,):
        raise GinrError(f"traits of shape {traits.shape}: this network has {config.n_trait}")


def content_map(weights: Weights, lps: Array) -> dict[str, Array]:
    """The map of a content path from a token to the LPs (C, D): weight (C D, E, 1, 1) and bias (C D,)."""
    n, width = lps.shape
    value = weights["value.weight"]  # (J D, E, 1, 1)
    values = value.reshape(-1, width, value.shape[1])  # (J, D, E)
    gates = (_mapped(weights, "query", lps)).reshape(n, -1, width)  # (C, J, D)
    weight = namespace(lps).einsum("cjd,jde->cde", gates, values)
    bias = _mapped(weights, "shift", lps)  # (C, D)
    return {"map.weight": weight.reshape(n * width, -1, 1, 1), "map.bias": bias.reshape(n * width)}


def scaled_channels(weights: Weights, lps: Array) -> dict[str, Array]:
    """The weights of a feed-forward whose hidden channels the LPs (C, D) scale and shift."""
    found = dict(weights)
    if "scale.weight" not in found:
        return found
    mean = lps.mean(0)
    scale, shift = (found.pop(f"{name}.weight")[:, :, 0, 0] @ mean for name in ("scale", "shift"))
    found["conv.weight"] = found["conv.weight"] * (1 + scale)[:, None, None, None]
    found["conv.bias"] = found["conv.bias"] * (1 + scale) + shift
    return found


def _mapped(weights: Weights, name: str, rows: Array) -> Array:
    return rows @ weights[f"{name}.weight"][:, :, 0, 0].T + weights[f"{name}.bias"]
