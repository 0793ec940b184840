"""The weights of a network by name and shape, for torch and for the CPU engine alike."""

from ginr.architecture.config import GinrConfig
from ginr.architecture.tokens import bank_size, window_plan

Shapes = dict[str, tuple[int, ...]]

N_BAND = 3
"""Bands of plane waves of the attention decoder, from coarse to fine."""
N_KEY = 13
"""Numbers of an LP's key: a constant, and sine and cosine of three harmonics along each axis."""
N_FOOTPRINT = 16
"""Hidden width of the lattice decoder's footprint correction."""


def shapes(config: GinrConfig) -> Shapes:
    """Every weight of a network, by its name in a checkpoint. Raises ValueError if there is none."""
    d = config.width
    window, mixer = window_plan(config), _mixer(config)
    norm: Shapes = {"norm.weight": (d,), "norm.bias": (d,)}
    n_mixed = window.lps_per_token**2 * d
    content: Shapes = {"value.weight": (n_mixed, window.tokens_per_lp**2 * d, 1, 1)}
    content |= _layer("query", d, n_mixed) | _layer("shift", d, d)
    feed_forward: dict[str, Shapes] = {"token_ff.": norm | _feed_forward(config, config.kernel)}
    if config.n_lp:
        feed_forward["lp_ff."] = norm | _feed_forward(
            config, config.kernel if window.lp_side else 1
        )
    parts: dict[str, Shapes] = {"": {"lps": (bank_size(config), d)} if config.n_lp else {}}
    if config.n_trait:
        parts[""]["traits"] = (config.n_trait, bank_size(config), d)
    if config.n_grain:
        if window.lp_side is None:
            raise ValueError(
                f"n_grain = {config.n_grain}: needs LPs spread evenly over squares of tokens: "
                "set placement = equidistant, or n_grain = 0"
            )
        parts[""]["grain"] = (config.n_grain, d)
    parts["stem."] = {"weight": (d, 3, config.patch + 2, config.patch + 2), "bias": (d,)}
    parts["decoder."] = _lattice(config) if config.decoder == "lattice" else _attention(config)
    if config.positions == "learned":
        parts["positions."] = {"table": (config.seq_len + config.n_lp, d)}
    if config.content != "none":
        parts["start."] = content
    for index in range(config.n_blocks):
        block = f"blocks.{index}."
        if index % config.scan_every == 0:
            parts |= {block: norm, f"{block}mixer.": mixer}
        parts |= {block + name: part for name, part in feed_forward.items()}
        if config.content == "blocks":
            parts[f"{block}content."] = content
    return {prefix + name: shape for prefix, part in parts.items() for name, shape in part.items()}


def _layer(name: str, n_in: int, n_out: int) -> Shapes:
    """A linear map as a 1x1 convolution."""
    return {f"{name}.weight": (n_out, n_in, 1, 1), f"{name}.bias": (n_out,)}


def _mixer(config: GinrConfig) -> Shapes:
    d, e, m, s = config.width, config.inner, config.n_head, config.n_state
    ends: Shapes = {"out.weight": (d, e, 1, 1)}
    if config.mixer == "transformer":
        return ends | {f"{name}.weight": (e, d, 1, 1) for name in ("query", "key", "value")}
    n_channel = e
    if config.mixer == "mamba2":
        n_channel += 2 * s
        scan: Shapes = {"to_step.weight": (m, d, 1, 1), "log_decay": (2, m), "step_bias": (2, m),
                        "skip": (2, m)}  # fmt: skip
        if config.values == "normalised":
            scan["norm"] = (e,)
    else:
        rank = config.step_rank
        scan = {"to_scan.weight": (rank + 2 * s, e, 1, 1), "to_step.weight": (e, rank, 1, 1),
                "log_decay": (2, e, s), "step_bias": (2, e), "skip": (2, e)}  # fmt: skip
    return ends | scan | {
        "to_packed.weight": (n_channel, d, 1, 1), "to_gate.weight": (e, d, 1, 1),
        "conv_weight": (2, config.n_tap, n_channel), "conv_bias": (2, n_channel),
    }  # fmt: skip


def _feed_forward(config: GinrConfig, kernel: int) -> Shapes:
    d, h = config.width, config.hidden
    found = {"conv.weight": (h, d, kernel, kernel), "conv.bias": (h,)} | _layer("out", h, d)
    if config.lps_scale:
        found |= {"scale.weight": (h, d, 1, 1), "shift.weight": (h, d, 1, 1)}
    return found


def lattice_side(config: GinrConfig) -> int:
    """Codes along one axis of a window, one for each LP (without LPs, for each token), for the lattice decoder. Raises ValueError without a lattice."""
    side = window_plan(config).decoded_side
    if side is None:
        raise ValueError(
            f"the lattice decoder needs LPs spread evenly over squares of tokens, "
            f"not {config.n_lp} placed {config.placement} among {config.seq_len} "
            f"along {config.order} order: set decoder = attention, or placement = equidistant, "
            "order = hilbert and n_lp to a power of 4"
        )
    return side


def _lattice(config: GinrConfig) -> Shapes:
    d, n_wave, lp_side = config.width, config.n_frequency, lattice_side(config)
    expand = max(1, round(config.window / lp_side))  # codes per LP along one axis
    spread = _layer("spread", d, d * expand**2) if expand > 1 else {}
    return spread | _layer("head", d, 3 * (1 + 2 * n_wave)) | {
        "waves": (n_wave, 2), "footprint.0.weight": (N_FOOTPRINT, 2),
        "footprint.0.bias": (N_FOOTPRINT,), "footprint.2.weight": (1 + n_wave, N_FOOTPRINT),
        "footprint.2.bias": (1 + n_wave,),
    }  # fmt: skip


def _attention(config: GinrConfig) -> Shapes:
    d, n_wave, h = config.width, config.n_frequency, config.hidden
    found = _layer("key", d, N_BAND * N_KEY) | _layer("value", d, 2 * N_BAND * n_wave)
    found |= {"slope": (N_BAND,), "waves": (N_BAND, n_wave, 2), "bias": (3,)}
    for k in range(N_BAND):
        found |= {f"colour.{k}.weight": (3, n_wave), f"out.{k}.weight": (3, h)}
        found |= {f"band.{k}.weight": (h, n_wave), f"band.{k}.bias": (h,)}
        if k:
            found[f"carry.{k - 1}.weight"] = (h, h)
    return found
