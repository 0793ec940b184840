"""The network on the CPU without torch, as kernels over NumPy arrays.

It computes the same as `ginr.network.model.Ginr`, for networks with a kernel for every part. Importing
torch takes longer than enlarging most pictures. Weights are packed once; those that the LPs decide
are packed again for other LPs.

Letters: H W the picture, P patch, h w tokens, h' w' LPs, D width.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ginr.architecture.config import GinrConfig
from ginr.architecture.folding import check_traits, content_map, moved_lps, scaled_channels
from ginr.architecture.grain import grain_at
from ginr.architecture.tokens import PicturePlan, lattice_of_bank, picture_plan, window_plan
from ginr.array_api import mirrored
from ginr.array_types import Floats
from ginr.device import HOST, Host, Precision
from ginr.engine.buffers import Buffers
from ginr.engine.field import CpuDecoder, CpuField
from ginr.kernels.available import missing
from ginr.kernels.packing import (
    FeedForwardWeights,
    Lattices,
    LinearWeights,
    MixerKept,
    MixerWeights,
    pack_content,
    pack_feed_forward,
    pack_linear,
    pack_mixer,
)
from ginr.kernels.sizes import STATES, whole

Packed = TypeVar("Packed", MixerWeights, FeedForwardWeights, LinearWeights)
GRAIN_ROWS = 16
_EMPTY = np.empty((0, 0, 0), np.float32)  # tells kernels to save nothing for gradients


def why_not(config: GinrConfig) -> str:
    """Why a network with this configuration cannot run without torch; empty if it can."""
    if reason := missing("numba"):
        return reason
    lp_side = window_plan(config).lp_side
    if config.decoder != "lattice" or lp_side is None or lp_side < config.window:
        return "only a lattice decoder with at least one LP per pixel runs without it"
    if config.mixer != "mamba2":
        return f"its mixer, {config.mixer}, runs in torch only"
    if config.values == "raw":
        return "its mixer, which mixes raw values, runs in torch only"
    if config.bank != "place" and config.content != "none":
        return "its LPs have a vector for each place in the window"
    if config.kernel != 3:
        return f"its kernel is {config.kernel}, not 3"
    return ""


@dataclass(frozen=True)
class _Block:
    mixer: MixerWeights | None
    token_ff: FeedForwardWeights
    lp_ff: FeedForwardWeights
    content: LinearWeights | None


class CpuGinr:
    """The network. Between pictures it keeps only its weights and its largest arrays, for reuse."""

    n_view: ClassVar[int] = 1
    device: ClassVar[Host] = HOST
    consistent: bool = False
    """As in `ginr.network.model.Ginr`."""

    def __init__(self, config: GinrConfig, weights: Mapping[str, NDArray[Any]]) -> None:
        """`weights` are named as in `shapes`. Raises ValueError with the reason of `why_not`."""
        if reason := why_not(config):
            raise ValueError(reason)
        self.config, self._buffers = config, Buffers()
        self._weights = {name: weight.astype(np.float32) for name, weight in weights.items()}
        self._mixers = [
            _own(pack_mixer(part, config.n_state)) if "mixer.skip" in part else None
            for part in (self._under(f"blocks.{index}.") for index in range(config.n_blocks))
        ]
        stem = self._under("stem.")
        self._stem = stem["weight"].reshape(config.width, -1).T, stem["bias"]
        self._decoder = CpuDecoder(
            1 / config.max_scale,
            config.window / (window_plan(config).lp_side or 0),
            self._weights["decoder.waves"],
            _own(pack_linear(self._under("decoder.head."))),
            self._under("decoder.footprint."),
        )
        self._fold(self._weights["lps"])

    def _under(self, prefix: str) -> dict[str, Floats]:
        """The weights whose names begin so, by the rest of their names."""
        every = self._weights.items()
        return {name.removeprefix(prefix): w for name, w in every if name.startswith(prefix)}

    def _fold(self, bank: Floats) -> None:
        """Packs what LPs (C, D) decide."""

        def content(prefix: str) -> LinearWeights | None:
            if not (part := self._under(prefix)):
                return None
            n_square = window_plan(self.config).lps_per_token ** 2
            return _own(pack_content(content_map(part, bank), n_square))

        def feed_forward(prefix: str) -> FeedForwardWeights:
            return _own(pack_feed_forward(scaled_channels(self._under(prefix), bank)))

        self._bank = bank[lattice_of_bank(self.config)]  # (n, n, D), on the lattice of a window
        self._start = content("start.")
        self._blocks = [
            _Block(
                mixer,
                feed_forward(f"blocks.{index}.token_ff."),
                feed_forward(f"blocks.{index}.lp_ff."),
                content(f"blocks.{index}.content."),
            )
            for index, mixer in enumerate(self._mixers)
        ]

    def adapted(self, traits: Floats) -> Self:
        """The network for pictures with these traits (K,), see `ginr.network.model.Ginr.adapted`."""
        check_traits(self.config, traits)
        other = copy(self)
        other._fold(moved_lps(self._weights["lps"], self._weights["traits"], traits))
        return other

    def encode_planes(
        self,
        layers: Sequence[Floats],
        *,
        origin: tuple[int, int],
        size: tuple[int, int],
        precision: Precision = "auto",
    ) -> "CpuField":
        """See `ginr.architecture.contract.Encoder`; computes in float32, whatever the precision."""
        features = [self._features(layer, origin)[None] for layer in layers]
        three = (3, *layers[0].shape[1:])
        base = None
        if self.config.base == "bicubic":
            base = np.stack([np.broadcast_to(layer, three) for layer in layers])
        both = features[0] if len(features) == 1 else np.concatenate(features)
        return CpuField(both, base, size, origin, self._decoder, self.consistent)

    def _features(self, planes: Floats, origin: tuple[int, int]) -> Floats:
        """planes (1 or 3, H, W) that start at `origin` of a picture -> LP features (h', w', D)."""
        from ginr.kernels.feedforward import feed_forward
        from ginr.kernels.linear import add_content

        tokens, shape = self._tokens(planes)
        window = self.config.window
        down, across = (n // window for n in shape)
        side = len(self._bank)
        lps, spare_lps = (
            self._buffers.borrow(1, down * side, across * side, self.config.width) for _ in range(2)
        )
        lps.reshape(down, side, across, side, -1)[:] = self._bank[:, None]
        spare_tokens = self._buffers.borrow(*tokens.shape)
        if self._start is not None:
            add_content(tokens, self._start, lps, lps)
        if self.config.n_grain:
            self._add_grain(lps[0], origin)
        for index, block in enumerate(self._blocks):
            if block.mixer is not None:
                transposed = index // self.config.scan_every % 2 == 1
                plan = picture_plan(self.config, *shape, transposed)
                self._mix(block.mixer, plan, tokens, lps)
            feed_forward(tokens, block.token_ff, _EMPTY[None], spare_tokens)
            tokens, spare_tokens = spare_tokens, tokens
            if block.content is not None:
                add_content(tokens, block.content, lps, lps)
            feed_forward(lps, block.lp_ff, _EMPTY[None], spare_lps)
            lps, spare_lps = spare_lps, lps
        rows, columns = (-(-n * side // window) for n in planes.shape[1:])
        return lps[0, :rows, :columns]

    def _add_grain(self, lps: Floats, origin: tuple[int, int]) -> None:
        """Adds the grain of LPs (h', w', D) whose picture starts at `origin`, in LR pixels."""
        side, window = len(self._bank), self.config.window
        top, left = (start * side // window for start in origin)
        columns = np.arange(left, left + lps.shape[1])
        for row in range(0, len(lps), GRAIN_ROWS):  # the grain of all would be the largest array
            some = lps[row : row + GRAIN_ROWS]
            rows = np.arange(top + row, top + row + len(some))
            some += grain_at(rows, columns, self.config.n_grain) @ self._weights["grain"]

    def _mix(self, weights: MixerWeights, plan: PicturePlan, tokens: Floats, lps: Floats) -> None:
        """Adds the mixer's output to both in place, which is safe since windows are independent."""
        from ginr.kernels.mixer import mix

        both = Lattices(*(v.reshape(1, -1, v.shape[-1]) for v in (tokens, lps)))
        order, n_state = plan.order.reshape(plan.n_window, -1), whole(self.config.n_state, STATES)
        mix(both, order, n_state, weights, MixerKept(_EMPTY, _EMPTY), both)

    def _tokens(self, planes: Floats) -> tuple[Floats, tuple[int, int]]:
        """Tokens (1, h, w, D) of planes (1 or 3, H, W) reflected to whole windows, and the new size."""
        patch, window = self.config.patch, self.config.window
        rows, columns = (mirrored(np.arange(n + -n % window), n) for n in planes.shape[1:])
        shape = len(rows), len(columns)
        pixels = np.zeros((3, shape[0] + 2, shape[1] + 2), np.float32)  # with a zero border
        pixels[:, 1:-1, 1:-1] = planes[:, rows[:, None], columns] - np.float32(0.5)
        patches = np.lib.stride_tricks.sliding_window_view(pixels, (patch + 2, patch + 2), (1, 2))
        patches = patches[:, ::patch, ::patch].transpose(1, 2, 0, 3, 4)  # (h, w, 3, P + 2, P + 2)
        weight, bias = self._stem
        tokens = self._buffers.borrow(1, *patches.shape[:2], len(bias))
        for row, some in enumerate(patches):  # a copy of all patches would be the largest array
            np.matmul(some.reshape(len(some), -1), weight, out=tokens[0, row])
        tokens += bias
        return tokens, shape


def _own(packed: Packed) -> Packed:
    """Contiguous, writable copies, since kernels are compiled separately for other array types."""
    arrays = (np.array(array, np.float32, order="C") for array in packed)
    return type(packed)(*arrays)
