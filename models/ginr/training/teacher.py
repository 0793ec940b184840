"""Distillation: a network also learns to match the field of another one, wherever no pixel is known.

As in Hinton, Vinyals and Dean (2015, arXiv 1503.02531). A field has a colour at any place and scale,
so that every crop gives as many queries as are wanted. Letters: B crops, Q queries per crop.
"""

import numpy as np
import torch
from torch import Tensor

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.errors import GinrError
from ginr.network.field import Field
from ginr.network.model import Ginr
from ginr.training.config import TrainConfig
from ginr.training.samples import Batch

SHARE = 0.5
"""Of the loss; the rest is that of pixels."""


class Teacher:
    """A trained network, whose fields are learned from."""

    def __init__(
        self, name_or_path: str, pupil: GinrConfig, seed: int, device: torch.device
    ) -> None:
        """Raises CheckpointError for a damaged checkpoint, GinrError for one that takes more than `pupil`."""
        found = load_checkpoint(name_or_path)
        if found.config.n_trait not in (0, pupil.n_trait):
            raise GinrError(
                f"teacher {name_or_path} needs to know how a picture was damaged, which the network "
                "that is trained does not: use another one, or preset photo"
            )
        self._model: Ginr = found.build(device)
        self._max_scale, self._seed = pupil.max_scale, seed

    def loss(self, field: Field, part: Batch, step: int, first: int) -> Tensor:
        """The mean absolute difference of a field of the crops in `part` from the teacher's.

        It is queried at random places and scales, which depend on the step and on the places of the
        crops in its batch, from `first` on.
        """
        n_crop, n_query, _ = part.coords.shape
        places, footprints = [], []
        for place in range(first, first + n_crop):
            random = np.random.default_rng((self._seed, step, place, 1))
            places.append(random.uniform(-1, 1, (n_query, 2)))
            scale = random.uniform(1, self._max_scale)
            footprints.append(np.full((1, 2), 2 / (scale * part.pixels.shape[2])))
        coords, cells = (
            torch.from_numpy(np.stack(each)).to(part.coords) for each in (places, footprints)
        )
        with torch.no_grad():
            traits = part.traits if self._model.config.n_trait else None
            target = self._model.encode(part.pixels, traits=traits).query(
                coords, cells, limited=False
            )
        return (field.query(coords, cells, limited=False) - target).abs().mean()


def teacher_of(settings: TrainConfig, pupil: GinrConfig, device: torch.device) -> Teacher | None:
    """The teacher that settings name, if any. Raises as `Teacher`."""
    if settings.teacher is None:
        return None
    return Teacher(settings.teacher, pupil, settings.seed, device)
