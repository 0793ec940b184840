"""Self-ensemble: the mean over four mirrored views of every picture, as one field.

The plane waves of a mirrored view are mirrored plane waves at the same places, so the mean of four
fields is one field with four times as many waves: it can be rendered, warped and tiled like any other.

Letters: B batch, h w the lattice, V views, D width, J waves.
"""

import torch
from torch import Tensor, nn

from ginr.errors import GinrError
from ginr.network.compiled_decoder import CompiledLatticeDecoder
from ginr.network.lattice_decoder import LatticeDecoder
from ginr.network.model import Ginr

VIEWS = ((), (1,), (2,), (1, 2))
"""Axes of (B, h, w, ...) along which each view is mirrored. Eight views, with quarter turns, gain a
fifth more at twice the cost."""


class Ensemble(Ginr):
    """A network whose field is the mean over `VIEWS` (geometric self-ensemble, Lim et al. 2017).

    Its features are those of all views, concatenated: (B, h, w, V D).
    """

    n_view = len(VIEWS)

    def __init__(self, model: Ginr) -> None:
        """Shares the weights of `model`. Raises GinrError unless it has a lattice decoder."""
        if not isinstance(model.decoder, LatticeDecoder):
            raise GinrError("a self-ensemble needs a network with a lattice decoder: leave it out")
        super().__init__(model.config)
        self.load_state_dict(model.state_dict(), assign=True)
        self.decoder = _MirroredDecoder(model.decoder)
        self.consistent = model.consistent
        self.to(model.device).train(model.training)  # what is no weight too

    def _features(self, pixels: Tensor, bank: Tensor, grain: Tensor | None) -> Tensor:
        encode, found = super()._features, []
        for axes in VIEWS:
            own = None if grain is None else grain.flip(axes)
            found.append(encode(pixels.flip(axes), bank, own).flip(axes))
        return torch.cat(found, -1)


class _MirroredDecoder(CompiledLatticeDecoder):
    """Evaluates the codes of all views at once, each with its own mirrored waves."""

    def __init__(self, decoder: LatticeDecoder) -> None:
        nn.Module.__init__(self)
        self.view = decoder
        self.expand, self.pitch, self.min_cell = decoder.expand, decoder.pitch, decoder.min_cell
        waves = decoder.waves.detach()  # (J, 2)
        signs = [waves.new_tensor([-1.0 if k in axes else 1.0 for k in (1, 2)]) for axes in VIEWS]
        self.waves = nn.Parameter(torch.cat([waves * sign for sign in signs]), requires_grad=False)

    def codes(self, features: Tensor) -> Tensor:
        """features (B, h', w', V D) -> codes (B, h, w, 3, 1 + 2 V J)."""
        n_wave, parts = len(self.view.waves), []
        for axes, part in zip(VIEWS, features.chunk(len(VIEWS), -1), strict=True):
            # Mirrors the codes within an LP, too.
            codes = self.view.codes(part.flip(axes)).flip(axes)
            parts.append((codes / len(VIEWS)).split([1, n_wave, n_wave], -1))
        mean, cosine, sine = zip(*parts, strict=True)
        return torch.cat([torch.stack(mean).sum(0), *cosine, *sine], -1)

    def gain(self, cells: Tensor) -> Tensor:
        """(..., 1 + V J): equal for all views, since a footprint is symmetric."""
        mean, waves = self.view.gain(cells).tensor_split([1], -1)
        return torch.cat([mean, *[waves] * len(VIEWS)], -1)
