"""A ComfyUI node that enlarges images: copy this folder into ComfyUI/custom_nodes."""

from typing import Any

import torch

import ginr


class GinrUpscale:
    """Enlarges a batch of images by any factor from 1 to 30."""

    CATEGORY = "image/upscaling"
    FUNCTION = "upscale"
    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 (ComfyUI calls it so)
        scale = {"default": 2.0, "min": 1.0, "max": 30.0, "step": 0.1}
        return {
            "required": {
                "image": ("IMAGE",),
                "scale": ("FLOAT", scale),
                "checkpoint": ("STRING", {"default": "small"}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, checkpoint: str) -> bool | str:  # noqa: N802
        """True, or what is wrong with the name of a checkpoint, its file or the folder of a run."""
        try:
            ginr.load_checkpoint(checkpoint)
        except ginr.GinrError as error:
            return str(error)
        return True

    def upscale(self, image: torch.Tensor, scale: float, checkpoint: str) -> tuple[torch.Tensor]:
        """Images (B, H, W, C) of floats in [0, 1] to (B, H', W', C); others are clipped."""
        pictures = image.clamp(0, 1).movedim(-1, 1)
        large = ginr.upscale(pictures, checkpoint, scale=round(scale, 3))
        return (large.movedim(1, -1).contiguous(),)


NODE_CLASS_MAPPINGS = {"GinrUpscale": GinrUpscale}
NODE_DISPLAY_NAME_MAPPINGS = {"GinrUpscale": "Upscale (ginr)"}
