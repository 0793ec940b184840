"""Which weights are trained, by which optimizer and at which rate."""

import torch

from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.network.model import Ginr
from ginr.training.config import TrainConfig
from ginr.training.muon import Muon

OPTIMIZERS = {"muon": Muon, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def freeze_all_but_lps(model: Ginr, settings: TrainConfig) -> None:
    """Gives a network the weights of `init`, and lets training change the LPs alone.

    Raises CheckpointError for a damaged checkpoint.
    """
    model.load_state_dict(load_checkpoint(settings.init or "").build().state_dict())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name == "lps")


def optimizer_of(model: Ginr, settings: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of `settings`, with a group for each part of the network that is not frozen.

    The encoder's linear maps and convolutions are a group too: the matrices of Muon.
    """
    parts: dict[str, list[torch.nn.Parameter]]
    parts = {"matrices": [], "encoder": [], "lps": [], "decoder": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = name.partition(".")[0]
        if part not in parts:  # the stem, the start or a block
            part = "matrices" if parameter.ndim == 4 else "encoder"
        parts[part].append(parameter)
    groups = []
    for part, parameters in parts.items():
        rate = getattr(settings, f"rate_{part.replace('matrices', 'encoder')}") or settings.rate
        groups.append({"params": parameters, "peak": rate, "matrices": part == "matrices"})
    optimizer: torch.optim.Optimizer = OPTIMIZERS[settings.optimizer](
        groups, 0.0, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
    )
    return optimizer
