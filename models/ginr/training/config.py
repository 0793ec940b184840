"""How a network is trained: one flat frozen dataclass; what each field means stands below it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from ginr.errors import GinrError


@dataclass(frozen=True)
class TrainConfig:
    """How to train; `run` holds everything that is written. Raises GinrError for nonsense."""

    folders: tuple[Path, ...]
    """Folders of pictures to learn from, those in subfolders included."""
    run: Path
    """Where the run is kept: its checkpoint, and how to go on."""
    minutes: float = 60.0
    """Length of the whole run, over all the times it goes on; the rate reaches zero at its end."""
    steps: int | None = None
    """Length in steps, instead of minutes."""
    batch: int = 8
    """Crops per step."""
    crop: int = 32
    """Side of an LR crop in pixels."""
    n_query: int = 4096
    """Pixels asked for in each crop."""
    degradation: Literal["clean", "phone", "web", "film", "photo"] = "clean"
    """How LR is made: by bicubic alone (clean), or damaged as by a phone, the web, film, or all of it (photo)."""
    accumulate: int = 1
    """Parts that a batch is worked through in, one after another, to save memory."""
    loss: Literal["l1", "charbonnier", "mse"] = "l1"
    """How far a colour is off: absolute, smooth absolute (a corner of 1e-3) or squared."""
    optimizer: Literal["muon", "adam", "adamw"] = "muon"
    """Muon for the encoder's matrices and AdamW for the rest, or one for all; betas 0.9 and 0.99."""
    weight_decay: float = 0.0
    """Pull of all weights towards zero; but for Adam's it is apart from the gradient."""
    rate: float = 3e-3
    """Learning rate at its peak."""
    rate_lps: float | None = None
    """That of the LPs, where it differs."""
    rate_encoder: float | None = None
    """That of the encoder, where it differs."""
    rate_decoder: float | None = None
    """That of the decoder, where it differs."""
    warm_up: int = 200
    """Steps from zero to the peak, a tenth of the run at the most."""
    ema: float = 0.999
    """What the averaged weights keep of themselves at each step, from 0 to less than 1."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What most of the network computes in; weights, scans and the loss stay in float32."""
    compiled: bool = False
    """Have torch.compile fuse the blocks: for a GPU, a minute before the first step."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    seed: int = 0
    """Another seed, other crops and weights."""
    n_held_out: int = 16
    """Pictures kept aside to measure with, a fifth of them all at the most."""
    save_minutes: float = 3.0
    """Minutes between saves; the averaged weights are measured at each."""
    scales: tuple[float, ...] = (2.0, 3.0, 3.7, 4.0)
    """Scales to measure at."""
    log_steps: int = 50
    """Steps between the lines of metrics.jsonl."""
    data_threads: int = 1
    """Threads that cut crops while the network works."""
    memory_gb: float = 4.0
    """Decoded pictures beyond it are kept in a file of the run folder and mapped into memory."""
    tensorboard: bool = False
    """Also write numbers and pictures for TensorBoard into the run folder."""
    init: str | None = None
    """Checkpoint, by name or path, whose weights a new run starts from."""

    FREE: ClassVar = frozenset(
        {
            "folders",
            "run",
            "minutes",
            "steps",
            "save_minutes",
            "scales",
            "log_steps",
            "data_threads",
            "compiled",
        }
        | {"device", "init", "memory_gb", "tensorboard"}
    )
    """Fields that may differ when a run goes on; another value of any other is another run."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise GinrError("folders: name a folder of pictures")
        counts = ("batch", "crop", "n_query", "accumulate", "warm_up", "n_held_out", "log_steps",
                  "data_threads", "steps")  # fmt: skip
        for name in counts:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise GinrError(f"{name} is {value}: give 1 or more")
        for name in ("minutes", "rate", "rate_lps", "rate_encoder", "rate_decoder", "clip",
                     "save_minutes", "memory_gb"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:  # NaN is not either
                raise GinrError(f"{name} is {value}: give a number above 0")
        if not 0 <= self.weight_decay < math.inf:
            raise GinrError(f"weight_decay is {self.weight_decay}: give 0 or more")
        if not self.scales or not all(1 <= scale <= 30 for scale in self.scales):
            raise GinrError(f"scales is {list(self.scales)}: give numbers from 1 to 30")
        if not 0 <= self.ema < 1:
            raise GinrError(f"ema is {self.ema}: give a number from 0 to less than 1")
        if not 0 <= self.seed < 2**63:
            raise GinrError(f"seed is {self.seed}: give a number from 0 to {2**63 - 1}")
        if self.batch % self.accumulate:
            raise GinrError(
                f"batch is {self.batch}: not a multiple of accumulate, {self.accumulate}"
            )


TRAINING: Mapping[str, Mapping[str, Any]] = {
    "base": {"rate": 2e-3, "batch": 32, "crop": 48},
    "reconstruct": {"crop": 64, "n_query": 1024, "rate": 2e-3, "scales": (1.0, 1.5, 2.0)},
}
"""How a preset of `ginr.architecture.config.PRESETS` is trained unless told otherwise, where that differs."""
