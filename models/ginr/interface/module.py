"""The network as a module of fixed scale, for pipelines in torch and for export to ONNX."""

from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.errors import GinrError, SizeError
from ginr.geometry.size import MAX_SCALE
from ginr.network.compiled import detach
from ginr.network.mixer import Mixer


class UpscalingModule(nn.Module):
    """Enlarges (B, 3, H, W) in [0, 1] to (B, 3, s H, s W) in [0, 1]; in plain torch, with gradients.

    The whole batch is computed at once, without tiles: 600 bytes and more per input pixel.
    """

    input_channels = output_channels = 3

    def __init__(self, scale: int, checkpoint: str | Path) -> None:
        super().__init__()
        self.scale = scale
        self.model = load_checkpoint(checkpoint).build("cpu")
        detach(self.model)
        for module in self.model.modules():
            if isinstance(module, Mixer):
                module.backend = "chunked"

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, H, W) in [0, 1] -> (B, 3, s H, s W) in [0, 1]."""
        size = pixels.shape[-2] * self.scale, pixels.shape[-1] * self.scale
        return self.model.encode(pixels).render(size).clamp(0, 1)

    def export_onnx(
        self, path: "str | PathLike[str]", height: int, width: int, *, batch: int = 1
    ) -> None:
        """Write the module for inputs (batch, 3, height, width), named `pixels`, to an ONNX file.

        The output is named `large`. An ONNX file is for one size, since the order in which the network
        reads a picture depends on it. Needs `pip install "ginr[onnx]"`. Raises GinrError without
        them.
        """
        try:
            import onnxscript  # noqa: F401
        except ImportError:
            raise GinrError('ONNX export needs its packages: pip install "ginr[onnx]"') from None
        pixels = torch.zeros(batch, 3, height, width, device=self.model.device)
        with torch.no_grad():
            self(pixels)  # fills caches, which must not keep the exporter's stand-ins for tensors
            torch.onnx.export(
                self, (pixels,), str(path), dynamo=True, external_data=False, verbose=False,
                input_names=["pixels"], output_names=["large"],
            )  # fmt: skip


def as_module(scale: int, checkpoint: str | Path = "small") -> UpscalingModule:
    """The network as an `nn.Module` from (B, 3, H, W) to (B, 3, scale H, scale W), both in [0, 1].

    `scale` is a whole number from 1 to 30, `checkpoint` a name or file. In evaluation mode, on the
    CPU, in float32; weights need no gradients, inputs may. Raises SizeError and CheckpointError.
    """
    if int(scale) != scale or not 1 <= scale <= MAX_SCALE:
        raise SizeError(f"scale {scale}: a module needs a whole number from 1 to {MAX_SCALE}")
    return UpscalingModule(int(scale), checkpoint).eval()
