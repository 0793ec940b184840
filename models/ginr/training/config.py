"""How a network is trained: one frozen dataclass; the string below each field explains it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from ginr.checkpoints.banks import check_name
from ginr.errors import GinrError

LEAST_PATCH = 40
"""Pixels a side of what a perceptual loss looks at."""
MAX_PIXELS = 2**28
"""Of a step: input pixels and queries, hundreds of bytes of memory each."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Raises GinrError for a value out of range."""

    folders: tuple[Path, ...]
    """Folders of pictures to learn from, including their subfolders."""
    run: Path
    """Folder of the run: its checkpoint and what it resumes from."""
    minutes: float = 60.0
    """Length of the whole run, over all calls; the learning rate reaches zero at its end."""
    steps: int | None = None
    """Length in steps, instead of minutes."""
    batch: int = 8
    """Crops per step."""
    crop: int = 32
    """Side of an LR crop in pixels."""
    n_query: int = 4096
    """Pixels queried in each crop; a perceptual loss queries a square of them, so a square number."""
    degradation: Literal["clean", "phone", "web", "film", "photo"] = "clean"
    """How LR is made: by bicubic alone (clean), or damaged as by a phone, the web, film, or any of them (photo)."""
    accumulate: int = 1
    """Parts that a batch is split into, computed one after another to save memory."""
    loss: Literal["l1", "charbonnier", "mse", "perceptual", "perceptual+adversarial"] = "l1"
    """Absolute, smooth absolute (with a corner of 1e-3) or squared error of the colours; or l1 with LPIPS of square patches, and a discriminator of them."""
    perceptual_weight: float = 0.12
    """Weight of LPIPS relative to l1, for the perceptual losses."""
    adversarial_weight: float = 0.02
    """Weight of the discriminator's loss relative to l1, for the adversarial loss."""
    ripple_weight: float = 8.0
    """Weight of texture that repeats with the LR pixels, for the perceptual losses."""
    smooth_weight: float = 3.0
    """More weight of l1 where the original is smooth, text or line art, for the perceptual losses."""
    optimizer: Literal["muon", "adam", "adamw"] = "muon"
    """Muon for the encoder's matrices and AdamW for the rest, or one for all; betas 0.9 and 0.99."""
    weight_decay: float = 0.0
    """Weight decay of all weights, decoupled from the gradient except with Adam."""
    rate: float = 3e-3
    """Learning rate at its peak."""
    rate_lps: float | None = None
    """Learning rate of the LPs, if different."""
    rate_encoder: float | None = None
    """Learning rate of the encoder, if different."""
    rate_decoder: float | None = None
    """Learning rate of the decoder, if different."""
    warm_up: int = 200
    """Steps from zero to the peak rate, at most a tenth of the run."""
    ema: float = 0.999
    """Decay of the averaged weights per step, from 0 to less than 1."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the encoder; weights, scans and the loss stay in float32."""
    compiled: bool = False
    """Fuse the blocks by torch.compile: GPU only, takes a minute before the first step."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    seed: int = 0
    """Random seed of crops and initial weights."""
    n_held_out: int = 16
    """Pictures held out to measure on, at most a fifth of all."""
    save_minutes: float = 3.0
    """Minutes between saves; the averaged weights are measured at each."""
    scales: tuple[float, ...] = (2.0, 3.0, 3.7, 4.0)
    """Scales to measure at."""
    log_steps: int = 50
    """Steps between the lines of metrics.jsonl."""
    data_threads: int = 1
    """Threads that make crops while the network computes."""
    memory_gb: float = 4.0
    """Decoded pictures of more than this are kept in a memory-mapped file in the run folder."""
    tensorboard: bool = False
    """Also write numbers and pictures for TensorBoard into the run folder."""
    init: str | None = None
    """Checkpoint, by name or path, whose weights a new run starts from."""
    teacher: str | None = None
    """Checkpoint, by name or path, whose fields the network also learns to match, at random places and scales."""
    bank: str | None = None
    """Name of a bank: its LPs alone are trained, for the network of `init`, which stays as it is."""

    FREE: ClassVar = {"folders", "run", "minutes", "steps", "save_minutes", "scales", "log_steps",
                      "data_threads", "compiled", "device", "init", "bank", "memory_gb", "tensorboard"}  # fmt: skip
    """Fields that may change when a run is resumed; a change of any other is refused."""

    def __post_init__(self) -> None:
        def check(names: str, wanted: str, fits: Callable[[Any], bool]) -> None:
            for name in names.split():
                value = getattr(self, name)
                if value is not None and not fits(value):
                    raise GinrError(f"{name} is {value}: give {wanted}")

        if not self.folders:
            raise GinrError("folders: name a folder of pictures")
        counts = "batch crop n_query accumulate warm_up n_held_out log_steps data_threads steps"
        check(counts, "1 or more", lambda n: n >= 1)
        check("batch crop n_query data_threads", "65536 or less", lambda n: n <= 2**16)
        if (n_pixel := self.batch * (self.crop**2 + self.n_query)) > MAX_PIXELS:
            raise GinrError(
                f"batch, crop and n_query make {n_pixel} pixels per step: at most {MAX_PIXELS} fit"
            )
        above_0 = "minutes rate rate_lps rate_encoder rate_decoder clip save_minutes memory_gb"
        check(above_0, "a number above 0", lambda x: 0 < x < math.inf)  # NaN fails too
        weights = "weight_decay perceptual_weight adversarial_weight ripple_weight smooth_weight"
        check(weights, "0 or more", lambda x: 0 <= x < math.inf)
        check("scales", "numbers from 1 to 30", lambda s: s and all(1 <= x <= 30 for x in s))
        check("ema", "a number from 0 to less than 1", lambda x: 0 <= x < 1)
        check("seed", f"a number from 0 to {2**63 - 1}", lambda n: 0 <= n < 2**63)
        side = math.isqrt(self.n_query)
        if self.is_perceptual and (side < LEAST_PATCH or side**2 != self.n_query):
            raise GinrError(
                f"n_query is {self.n_query}: the loss looks at a square patch: give a square number "
                f"from {LEAST_PATCH**2}, such as 9216"
            )
        if self.bank is not None:
            check_name(self.bank)
            if self.init is None:
                raise GinrError("bank: name the network that it is for as init")
        if self.batch % self.accumulate:
            raise GinrError(
                f"batch is {self.batch}: not a multiple of accumulate, {self.accumulate}"
            )

    @property
    def is_perceptual(self) -> bool:
        """Whether the loss compares patches."""
        return self.loss.startswith("perceptual")


_PHOTO: Mapping[str, Any] = {"degradation": "photo", "batch": 4, "crop": 48, "rate": 1e-3}
TRAINING: Mapping[str, Mapping[str, Any]] = {
    "base": {"rate": 2e-3, "batch": 32, "crop": 48},
    "photo": _PHOTO,
    "crisp": {**_PHOTO, "loss": "perceptual+adversarial", "n_query": 96**2},
    "reconstruct": {"crop": 64, "n_query": 1024, "rate": 2e-3, "scales": (1.0, 1.5, 2.0)},
}
"""Defaults that differ for a preset of `ginr.architecture.config.PRESETS`."""
BANK_TRAINING: Mapping[str, Any] = {"minutes": 3.0, "batch": 4, "crop": 48, "rate": 1e-2}
"""Defaults that differ for a bank."""
