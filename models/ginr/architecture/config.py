"""The architecture of a network as one flat, frozen dataclass; every checkpoint contains it."""

import dataclasses
import json
import math
import reprlib
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ginr.errors import CheckpointError

Placement = Literal["equidistant", "middle", "n_group", "random"]
Bank = Literal["place", "window"]
Content = Literal["none", "start", "blocks"]
Order = Literal["hilbert", "morton", "raster"]

MAX_COUNT = 4096  # a checkpoint with more is damaged, and building it would exhaust memory
MAX_WINDOW = 256
PLAIN = {"mixer": "mamba2", "positions": "none", "values": "normalised", "n_grain": 0}
"""Values of the fields that formats 1 and 2 lack."""
FORMAT_1 = {"bank": "window", "lps_scale": False, "n_trait": 0}
WIDTH_STEP = 16  # widths are multiples of it, since compiled loops read whole vectors


@dataclass(frozen=True)
class GinrConfig:
    """Raises ValueError for values out of range or a combination that cannot be built."""

    patch: int = 2
    """Side P of a patch token, in LR pixels."""
    window: int = 16
    """Side of a window in LR pixels: the part of a picture that one bank of LPs describes."""
    n_lp: int = 256
    """LPs per window, N; 0 for none: the field is decoded from the tokens."""
    placement: Placement = "n_group"
    """Where the LPs are placed in the sequence of a window's tokens."""
    group: int = 4
    """LPs placed next to each other (placement `n_group`)."""
    placement_seed: int = 0
    """Seed of placement `random`."""
    lp_init: Literal["normal", "xavier"] = "normal"
    """Initial LP vectors: normal, of length 1 or (bank `window`) with a deviation of 0.02; or Xavier uniform."""
    bank: Bank = "place"
    """Which vectors are learned: one for each LP of a token's square, or one for each LP of a window."""
    content: Content = "blocks"
    """When an LP reads its tokens, besides the scan: never, at the start, or also after every block."""
    lps_scale: bool = False
    """Whether the LPs also scale and shift the hidden channels of the feed-forwards."""
    n_trait: int = 0
    """Traits of a picture, each with a direction in which it moves the LPs."""
    n_grain: int = 0
    """Random numbers per LP, which make invented texture vary."""
    order: Order = "hilbert"
    """Curve along which the tokens of a window are read; every other scan reads its transpose."""
    width: int = 32
    """Width D of tokens and LPs."""
    n_blocks: int = 6
    scan_every: int = 3
    """Blocks 0, k, 2k, ... have a mixer; the others only convolutions."""
    mixer: Literal["mamba2", "mamba", "transformer"] = "mamba2"
    """How tokens and LPs exchange information: a scan in both directions, or attention within the window."""
    positions: Literal["none", "sinusoidal", "learned", "rope"] = "none"
    """How a transformer encodes positions: as vectors added to tokens and LPs, or as rotations (`rope`)."""
    values: Literal["normalised", "raw"] = "normalised"
    """What the mixer mixes: tokens and LPs normalised, or raw, since LPs without content need their contrast."""
    expand: float = 1.0
    """Inner width E of the mixer as a multiple of D."""
    head_dim: int = 16
    """Channels K per head of the mixer."""
    n_state: int = 16
    """State size S."""
    n_tap: int = 4
    """Taps of the mixer's causal convolution."""
    hidden: int = 48
    """Hidden width of the convolutional feed-forward, and of the attention decoder's bands."""
    kernel: int = 3
    """Side of the feed-forward's convolution, odd."""
    decoder: Literal["lattice", "attention"] = "lattice"
    n_frequency: int = 16
    """Plane waves J per code (lattice decoder) or per band (attention decoder)."""
    base: Literal["bicubic", "none"] = "bicubic"
    """What the field is added to: the picture interpolated, or nothing."""
    max_scale: float = 4.0
    """Largest training scale: beyond it the lattice decoder uses the footprint of this one."""

    def __post_init__(self) -> None:
        for name in ("patch", "window", "n_lp", "group", "n_trait", "n_grain", "width", "n_blocks", "scan_every",
                     "head_dim", "n_state", "n_tap", "hidden", "kernel", "n_frequency"):  # fmt: skip
            most = {"window": MAX_WINDOW, "n_lp": 4 * MAX_WINDOW**2}.get(name, MAX_COUNT)
            least = 0 if name in ("n_lp", "n_trait", "n_grain") else 1
            value = getattr(self, name)
            _check(least <= value <= most, f"{name} = {value}: must be from {least} to {most}")
        fits = math.isfinite(self.expand) and 1 <= self.inner <= MAX_COUNT
        _check(fits, f"expand = {self.expand}: the inner width must be from 1 to {MAX_COUNT}")
        fits = math.isfinite(self.max_scale) and self.max_scale >= 1
        _check(fits, f"max_scale = {self.max_scale}: must be at least 1")
        side = self.window // self.patch
        fits = self.window % self.patch == 0 and side & (side - 1) == 0
        wanted = f"must be patch = {self.patch} times a power of two"
        _check(fits, f"window = {self.window}: {wanted}")
        most = 4 * self.seq_len
        _check(self.n_lp <= most, f"n_lp = {self.n_lp}: must be at most four per token, {most}")
        for name, width in (("width", self.width), ("inner width", self.inner)):
            _check(width % WIDTH_STEP == 0, f"{name} = {width}: must be a multiple of {WIDTH_STEP}")
        wanted = f"must be a multiple of head_dim = {self.head_dim}"
        _check(self.inner % self.head_dim == 0, f"inner width = {self.inner}: {wanted}")
        _check(self.kernel % 2 == 1, f"kernel = {self.kernel}: must be odd")
        _check(
            self.positions == "none" or self.mixer == "transformer",
            f"positions = {self.positions}: {self.mixer} reads positions from the order of the "
            "sequence: set positions = none, or mixer = transformer",
        )
        _check(
            self.positions != "rope" or self.head_dim % 4 == 0,
            f"head_dim = {self.head_dim}: must be a multiple of 4 for positions = rope",
        )
        without = {"content": "none", "lps_scale": False, "n_trait": 0, "n_grain": 0}
        for name, none in without.items():
            value, advice = getattr(self, name), f"set {name} = {str(none).lower()}"
            fits = self.n_lp > 0 or value == none
            _check(fits, f"{name} = {value}: needs LPs, and n_lp is 0: {advice}")

    @property
    def seq_len(self) -> int:
        """Tokens per window, L."""
        return (self.window // self.patch) ** 2

    @property
    def inner(self) -> int:
        """Inner width E of the mixer."""
        return round(self.expand * self.width)

    @property
    def n_head(self) -> int:
        """Heads M of the mixer."""
        return self.inner // self.head_dim

    @property
    def step_rank(self) -> int:
        """Rank R of the steps of Mamba."""
        return self.width // WIDTH_STEP

    @property
    def is_plain(self) -> bool:
        """Whether files of format 2 can hold it: LPs, and Mamba-2."""
        return self.n_lp > 0 and all(getattr(self, name) == v for name, v in PLAIN.items())

    def to_json(self) -> str:
        """Every field, but those that an older ginr does not know if it can read the rest."""
        values = dataclasses.asdict(self)
        return json.dumps({k: v for k, v in values.items() if not (self.is_plain and k in PLAIN)})

    @classmethod
    def from_json(cls, text: str) -> "GinrConfig":
        """The inverse of `to_json`. Raises CheckpointError for missing, unknown or invalid fields.

        Fields that files of older formats lack have the values of `PLAIN` and `FORMAT_1`.
        """
        try:
            values: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"the configuration is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise CheckpointError("the configuration is not a JSON object")
        hints = get_type_hints(cls)
        values = PLAIN | FORMAT_1 | values
        unknown, missing = set(values) - set(hints), set(hints) - set(values)
        if unknown or missing:
            names = ", ".join(sorted(unknown | missing)[:30])
            raise CheckpointError(f"the configuration has unknown or missing fields: {names}")
        for name, kind in hints.items():
            if not _fits(values[name], kind):
                shown = reprlib.repr(values[name])  # bounded, however deep it is
                raise CheckpointError(f"the configuration has an invalid {name} = {shown}")
        try:
            return cls(**values)
        except ValueError as error:
            raise CheckpointError(f"the configuration is invalid: {error}") from None


def _check(fits: bool, complaint: str) -> None:
    if not fits:
        raise ValueError(complaint)


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind is float:
        return type(value) is float or (type(value) is int and abs(value) < 2**53)
    return type(value) is kind


SMALL = GinrConfig(lps_scale=True)
BASE = GinrConfig(width=64, hidden=96, head_dim=32, n_blocks=12)
"""Twice as wide and twice as deep as `small`: 2.0 million weights, for training on a GPU."""
PHOTO = dataclasses.replace(SMALL, n_blocks=10, n_trait=10)
"""A deeper `small`, conditioned on how a picture was damaged."""
PLAIN_LPS = GinrConfig(content="none", order="morton", values="raw")
"""The ablation: LPs that learn of the picture through the mixer alone."""
CRISP = dataclasses.replace(PHOTO, n_grain=8)
"""`photo` with grain, which makes the texture that it invents vary."""
RECONSTRUCT = GinrConfig(
    patch=4, window=32, n_lp=16, placement="equidistant", bank="window", width=64, n_blocks=4, scan_every=2,
    head_dim=32, hidden=64, decoder="attention", n_frequency=32, base="none", max_scale=2.0,
)  # fmt: skip
"""A picture as its LP features alone: one LP of 64 numbers for every 8x8 pixels."""
PRESETS = {
    "small": SMALL, "base": BASE, "photo": PHOTO, "crisp": CRISP, "plain": PLAIN_LPS,
    "reconstruct": RECONSTRUCT,
}  # fmt: skip
