"""An untrained network without a base reproduces the picture.

Run: pytest tests/network/test_transform_start.py
"""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from ginr.architecture.config import RECONSTRUCT
from ginr.measuring.metrics import psnr_rgb
from ginr.network.model import Ginr
from ginr.pictures import read_picture


@pytest.mark.parametrize(
    ("change", "least"),
    [
        ({}, 29.0),
        ({"n_lp": 4}, 19.5),  # a quarter of the coefficients
        ({"patch": 2, "window": 16, "n_lp": 4}, 23.0),
        ({"patch": 8, "window": 64}, 19.5),
    ],
    ids=str,
)
@torch.no_grad()
def test_the_untrained_network_is_a_transform_and_its_inverse(
    sample_images: Path, change: dict[str, Any], least: float
) -> None:
    model = Ginr(dataclasses.replace(RECONSTRUCT, **change)).eval()
    model.lps.zero_()  # random, and added to the coefficients
    model.decoder.key.weight.zero_()  # random, and decide how squares are blended
    for layer in (
        *(block.content.value for block in model.blocks),
        *(block.lp_ff.out for block in model.blocks),
        *(block.mixer.out for block in model.blocks if block.mixer),
        *model.decoder.out,
    ):
        layer.weight.zero_()  # randomly initialised branches
    image = read_picture(sample_images / "photo_spices.png").samples[:192, :256]
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())[None] / 255
    rgb = model.encode(pixels).render(image.shape[:2])[0]
    result = (rgb.clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).numpy()
    assert psnr_rgb(result, image, 0) > least


def test_where_there_is_no_square_of_tokens_weights_stay_random() -> None:
    for change in ({"placement": "middle"}, {"content": "none"}, {"base": "bicubic"}):
        model = Ginr(dataclasses.replace(RECONSTRUCT, **change))
        assert (model.stem.weight[:48, :, 0] != 0).all()
