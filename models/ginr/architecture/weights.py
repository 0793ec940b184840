"""The weights of a network by name and shape, whoever computes it."""

from collections.abc import Mapping

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import window_plan

Shapes = dict[str, tuple[int, ...]]


def shapes(config: GinrConfig) -> Shapes:
    """The weights of a network that can run here, by the names of its checkpoint."""
    d, e, m, h = config.width, config.inner, config.n_head, config.hidden
    packed = e + 2 * config.n_state
    square = lps_per_token(config) ** 2
    norm = {"norm.weight": (d,), "norm.bias": (d,)}
    mixer = {
        "to_packed.weight": (packed, d, 1, 1), "to_gate.weight": (e, d, 1, 1),
        "to_step.weight": (m, d, 1, 1), "conv_weight": (2, config.n_tap, packed),
        "conv_bias": (2, packed), "log_decay": (2, m), "step_bias": (2, m), "skip": (2, m),
        "norm": (e,), "out.weight": (d, e, 1, 1),
    }  # fmt: skip
    feed_forward = norm | {
        "conv.weight": (h, d, 3, 3), "conv.bias": (h,), "out.weight": (d, h, 1, 1), "out.bias": (d,)
    }  # fmt: skip
    content = {"map.weight": (square * d, d, 1, 1), "map.bias": (square * d,)}
    n_code, n_wave = 3 * (1 + 2 * config.n_frequency), config.n_frequency
    parts: dict[str, Mapping[str, tuple[int, ...]]] = {
        "stem.": {"weight": (d, 3, config.patch + 2, config.patch + 2), "bias": (d,)},
        "decoder.head.": {"weight": (n_code, d, 1, 1), "bias": (n_code,)},
        "decoder.footprint.0.": {"weight": (16, 2), "bias": (16,)},
        "decoder.footprint.2.": {"weight": (1 + n_wave, 16), "bias": (1 + n_wave,)},
        "": {"lps": (config.n_lp, d), "decoder.waves": (n_wave, 2)},
    }
    if config.content != "none":
        parts["start."] = content
    for index in range(config.n_blocks):
        block = f"blocks.{index}."
        if index % config.scan_every == 0:
            parts[block] = norm
            parts[f"{block}mixer."] = mixer
        parts[f"{block}token_ff."] = parts[f"{block}lp_ff."] = feed_forward
        if config.content == "blocks":
            parts[f"{block}content."] = content
    return {prefix + name: shape for prefix, part in parts.items() for name, shape in part.items()}


def lps_per_token(config: GinrConfig) -> int:
    """LPs per token along one axis."""
    return (window_plan(config).lp_side or 0) * config.patch // config.window
