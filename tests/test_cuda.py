"""A GPU against the CPU: whole pictures, gradients, memory that runs out, several devices.

Run: pytest tests -m cuda
The scan and the convolution by themselves are in test_scan.py.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

import ginr.rendering.upscale as tiles
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.device import choose_device
from ginr.geometry.size import Box
from ginr.network.field import Field
from ginr.network.model import Ginr
from ginr.pictures import Picture, read_picture
from ginr.rendering.tile_size import tile_side
from ginr.rendering.upscale import Precision, upscale

pytestmark = pytest.mark.cuda


@pytest.fixture
def photo(sample_images: Path) -> Picture:
    return read_picture(sample_images / "photo_spices.png")


def on(device: str, name: str = "small") -> Ginr:
    return load_checkpoint(name).build(torch.device(device))


def difference(a: Picture, b: Picture) -> int:
    return int(np.abs(a.samples.astype(int) - b.samples).max())


def test_auto_takes_cuda() -> None:
    device, reason = choose_device()
    assert device.type == "cuda" and reason.startswith("CUDA: ")


@pytest.mark.parametrize(
    ("precision", "limit"), [("float32", 1), ("bfloat16", 2), ("auto", 2)], ids=str
)
@pytest.mark.parametrize("scale", [1.0, 2.0, 3.7, 8.0])
def test_small_makes_the_picture_of_the_cpu(
    photo: Picture, scale: float, precision: Precision, limit: int
) -> None:
    size = {"height": round(scale * photo.height), "width": round(scale * photo.width)}
    expected = upscale(photo, on("cpu"), **size)
    assert difference(upscale(photo, on("cuda"), precision=precision, **size), expected) <= limit


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_grey_and_alpha(photo: Picture, channels: int) -> None:
    samples = np.concatenate([photo.samples, photo.samples[..., :1]], -1)
    picture = Picture(np.ascontiguousarray(samples[..., -channels:]))
    size = {"height": 2 * photo.height, "width": 3 * photo.width}
    made = upscale(picture, on("cuda"), precision="float32", **size)
    # Straight colour under little alpha is divided by it.
    visible = made.samples[..., -1:] > 200 if channels in (2, 4) else np.ones_like(made.samples)
    expected = upscale(picture, on("cpu"), **size)
    away = np.abs(made.samples.astype(int) - expected.samples) * (visible > 0)
    assert away.max() <= (1 if channels == 1 else 2)


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits(photo: Picture, channels: int) -> None:
    levels = photo.samples.astype(np.uint16) * 257
    opaque = np.full((*levels.shape[:2], 1), 65535, np.uint16)
    picture = Picture(np.ascontiguousarray(np.concatenate([levels, opaque], -1)[..., :channels]))
    size = {"height": 2 * photo.height, "width": 2 * photo.width}
    made = upscale(picture, on("cuda"), precision="float32", **size)
    assert made.samples.dtype == np.uint16
    assert difference(made, upscale(picture, on("cpu"), **size)) <= 257


def test_many_tiles_keep_their_place(photo: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    # Strips are copied while the next ones are rendered: none may be read before it is there.
    monkeypatch.setattr(tiles, "STRIP", 4000)
    size = {"height": 4 * photo.height, "width": 4 * photo.width}
    made = upscale(photo, on("cuda"), tile=96, precision="float32", **size)
    assert difference(made, upscale(photo, on("cpu"), tile=96, **size)) <= 1


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_the_second_gpu_makes_the_picture_of_the_first(photo: Picture) -> None:
    size = {"height": 2 * photo.height, "width": 2 * photo.width}
    made = upscale(photo, on("cuda:1"), **size)
    assert difference(made, upscale(photo, on("cuda:0"), **size)) == 0


def test_reconstruct_makes_the_picture_of_the_cpu(photo: Picture) -> None:
    size = {"height": photo.height, "width": photo.width}
    expected = upscale(photo, on("cpu", "reconstruct"), **size)
    assert difference(upscale(photo, on("cuda", "reconstruct"), **size), expected) <= 1


def test_tiles_equal_the_whole(photo: Picture) -> None:
    size = {"height": 2 * photo.height, "width": 2 * photo.width}
    model = on("cuda")
    whole = upscale(photo, model, tile=2048, **size)
    assert difference(upscale(photo, model, tile=64, **size), whole) <= 1
    assert tile_side(model, None) >= 512  # of 2 GiB that are free


def test_gradients_are_those_of_the_cpu(tiny_model: Ginr) -> None:
    pixels, coords = torch.rand(2, 3, 24, 20), torch.rand(2, 50, 2) * 2 - 1
    cells = torch.full((2, 1, 2), 0.04)
    gradients = []
    for device in ("cpu", "cuda"):
        model = tiny_model.to(device)
        model.zero_grad()
        model(pixels.to(device), coords.to(device), cells.to(device)).square().mean().backward()
        gradients.append(
            {
                name: parameter.grad.cpu().clone()  # not what moves along to the GPU
                for name, parameter in model.named_parameters()
                if parameter.grad is not None
            }
        )
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        limit = 2e-2 * expected.abs().max().item() + 1e-6  # convolutions multiply in TF32
        torch.testing.assert_close(gradients[1][name], expected, rtol=0, atol=limit)


def test_out_of_memory_goes_on_with_smaller_tiles(
    photo: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, said = {"height": 2 * photo.height, "width": 2 * photo.width}, list[str]()
    model, encode = on("cuda"), tiles.Tiles.encode
    expected = upscale(photo, model, tile=64, **size)

    def hungry(work: tiles.Tiles[Field], core: Box) -> Field:
        if core[3] - core[1] > 64:
            torch.empty(1 << 50, dtype=torch.uint8, device=model.lps.device)  # a petabyte
        return encode(work, core)

    monkeypatch.setattr(tiles.Tiles, "encode", hungry)
    made = upscale(photo, model, tile=128, notice=said.append, **size)
    assert difference(made, expected) == 0
    assert said == ["out of memory: continuing with tiles of 64 pixels"]
