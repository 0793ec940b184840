"""Tiles, sizes, channels and memory of whole pictures: pytest tests/rendering/test_upscale.py"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ginr.rendering.upscale as module
from ginr.checkpoints.checkpoint import load_cpu_network
from ginr.errors import GinrError, SizeError
from ginr.geometry.size import Box, output_box
from ginr.network.compiled_decoder import CompiledLatticeDecoder
from ginr.network.field import Field
from ginr.network.model import Ginr
from ginr.pictures import Picture, read_picture
from ginr.pictures.resize import resize
from ginr.rendering.upscale import upscale, upscale_bands


def _random(height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> Picture:
    peak = np.iinfo(dtype).max
    values = np.random.default_rng(0).integers(0, peak, (height, width, channels), endpoint=True)
    return Picture(values.astype(dtype))


@pytest.mark.parametrize("out", [(74, 111), (75, 113), (20, 30), (333, 50)])
def test_cores_share_out_every_output_pixel_once(out: tuple[int, int]) -> None:
    size = (20, 30)
    count = np.zeros(out, int)
    for core in module.cut_box((0, 0, *size), 8):
        top, left, bottom, right = output_box(core, size, out)
        count[top:bottom, left:right] += 1
        for edge, low, high, axis in ((top, core[0], core[2], 0), (left, core[1], core[3], 1)):
            if edge < out[axis]:  # the first pixel's centre lies in the core
                centre = (edge + 0.5) * size[axis] / out[axis]
                assert low <= centre or edge == 0
                assert centre < high or low == high or top == bottom or left == right
    assert (count == 1).all()


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.7])
def test_tiles_equal_the_whole(tiny_model: Ginr, sample_images: Path, scale: float) -> None:
    picture = read_picture(sample_images / "photo_spices.png")
    picture = Picture(np.ascontiguousarray(picture.samples[:100, :140]))
    height, width = round(100 * scale), round(140 * scale)
    with torch.no_grad():  # as small as a trained network's, whose fields are corrections
        tiny_model.decoder.head.weight *= 0.1
        tiny_model.decoder.head.bias *= 0.1
    whole = upscale(picture, tiny_model, height=height, width=width, tile=1000).samples
    tiled = upscale(picture, tiny_model, height=height, width=width, tile=16).samples
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert whole.std() > 10


@pytest.mark.parametrize("channels", [1, 4])
def test_bands_are_the_rows_in_order(
    tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    picture = _random(50, 60, channels)
    expected = upscale(picture, tiny_model, height=131, width=100, tile=1000).samples
    monkeypatch.setattr(
        module, "BAND", 24 * 131 * 100 * channels // 50 + 99
    )  # three windows of 8 rows
    bands = list(upscale_bands(picture, tiny_model, height=131, width=100, tile=1000))
    assert [len(band) for band in bands] == [63, 63, 5]
    assert all(band.flags.c_contiguous and band.shape[1:] == (100, channels) for band in bands)
    assert np.abs(np.concatenate(bands).astype(int) - expected).max() <= 1


def test_a_box_is_the_crop_and_costs_no_more(
    tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, encoded = _random(200, 220, 4), list[Box]()
    options = {"height": 540, "width": 660, "tile": 64}
    whole = upscale(picture, tiny_model, **options).samples
    encode = module.Tiles.encode

    def heard(tiles: module.Tiles[Field], core: Box) -> Field:
        encoded.append(tiles.read_box(core))
        return encode(tiles, core)

    monkeypatch.setattr(module.Tiles, "encode", heard)
    part = upscale(picture, tiny_model, box=(301, 333, 313, 421), **options).samples
    assert part.shape == (12, 88, 4)
    assert np.abs(whole[301:313, 333:421].astype(int) - part).max() <= 1
    # 301 is in LR row 111, 312 in row 115; 333 in column 111, 420 in column 140
    assert encoded == [(104 - 32, 104 - 32, 120 + 32, 144 + 32)]


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 5, 4, 9), (0, 0, 19, 18), (-1, 0, 9, 9)])
def test_a_box_outside_is_refused(tiny_model: Ginr, box: Box) -> None:
    with pytest.raises(SizeError, match="of 18x18 pixels: give top < bottom"):
        upscale(_random(9, 9), tiny_model, height=18, width=18, box=box)


def test_windows_of_tiles_are_windows_of_the_picture(tiny_model: Ginr) -> None:
    tiles = module.Tiles(_random(100, 90), tiny_model, "auto")
    boxes = [tiles.read_box(core) for core in module.cut_box((0, 0, 100, 90), 24)]
    assert all(box[0] % 8 == 0 and box[1] % 8 == 0 for box in boxes)
    assert all(box[2] % 8 == 0 or box[2] == 100 for box in boxes)


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (17, 1), (8, 8), (9, 33)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_shape_and_kind(
    tiny_model: Ginr, shape: tuple[int, int], channels: int, dtype: type
) -> None:
    picture = _random(*shape, channels, dtype)
    out = upscale(picture, tiny_model, height=2 * shape[0], width=3 * shape[1], tile=8)
    assert out.samples.shape == (2 * shape[0], 3 * shape[1], channels)
    assert out.samples.dtype == dtype


def test_opaque_alpha_stays_opaque_and_changes_no_colour(tiny_model: Ginr) -> None:
    picture = _random(20, 24)
    alpha = np.full((20, 24, 1), 255, np.uint8)
    with_alpha = Picture(np.concatenate([picture.samples, alpha], -1))
    plain = upscale(picture, tiny_model, height=50, width=60).samples
    out = upscale(with_alpha, tiny_model, height=50, width=60).samples
    assert (out[..., 3] == 255).all()
    assert np.array_equal(out[..., :3], plain)


def test_no_halo_around_transparency(tiny_model: Ginr) -> None:
    with torch.no_grad():  # the base alone: what is wrong then is wrong in the handling of alpha
        for parameter in tiny_model.decoder.head.parameters():
            parameter.zero_()
    samples = np.zeros((16, 16, 4), np.uint8)
    samples[:, :8] = (200, 100, 50, 255)  # beside it: black, wholly transparent
    out = upscale(Picture(samples), tiny_model, height=64, width=64).samples.astype(int)
    visible = out[..., 3] > 8
    assert np.abs(out[visible][:, :3] - (200, 100, 50)).max() <= 16  # 1/16 of alpha is 4 bits
    solid = out[..., 3] > 128
    assert np.abs(out[solid][:, :3] - (200, 100, 50)).max() <= 1
    assert out[:, :24, 3].min() == 255 or out[:, :24, 3].min() > 250


def test_metadata_is_carried(tiny_model: Ginr) -> None:
    picture = Picture(_random(9, 9).samples, icc=b"profile", dpi=(300.0, 300.0))
    out = upscale(picture, tiny_model, height=18, width=18)
    assert (out.icc, out.dpi) == (b"profile", (300.0, 300.0))


def test_progress_rises_to_the_end(tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIP", 500)
    heard: list[tuple[int, int]] = []
    upscale(
        _random(30, 40), tiny_model, height=60, width=80, tile=16,
        progress=lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    done = [d for d, _ in heard]
    assert done == sorted(set(done))
    assert heard[-1] == (4800, 4800)
    assert len(heard) > 6


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("could not create a primitive"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_out_of_memory_halves_the_tiles(
    tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    picture, said = _random(50, 60), list[str]()
    expected = upscale(picture, tiny_model, height=100, width=120, tile=16).samples
    encode = module.Tiles.encode

    def limited(tiles: module.Tiles[Field], core: Box) -> Field:
        if core[2] - core[0] > 16:
            raise error
        return encode(tiles, core)

    monkeypatch.setattr(module.Tiles, "encode", limited)
    out = upscale(picture, tiny_model, height=100, width=120, tile=64, notice=said.append)
    assert np.array_equal(out.samples, expected)
    assert said == [f"out of memory: continuing with tiles of {n} pixels" for n in (32, 16)]


def test_memory_that_runs_out_while_a_tile_is_rendered(
    tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, progress, n_render = _random(50, 60), list[int](), 0
    expected = upscale(picture, tiny_model, height=100, width=120, tile=16).samples
    render = Field.render

    def limited(field: Field, *rest: Any) -> torch.Tensor:
        nonlocal n_render
        n_render += 1
        if n_render == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return render(field, *rest)

    monkeypatch.setattr(module, "STRIP", 480)
    monkeypatch.delattr(CompiledLatticeDecoder, "render_samples")
    monkeypatch.setattr(Field, "render", limited)
    out = upscale(
        picture, tiny_model, height=100, width=120, tile=32,
        progress=lambda done, _: progress.append(done),
    )  # fmt: skip
    assert np.abs(out.samples.astype(int) - expected).max() <= 1
    assert progress[-1] == 12000 and n_render > 20


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_way_of_a_gpu_is_that_of_the_cpu(
    tiny_model: Ginr,
    monkeypatch: pytest.MonkeyPatch,
    channels: int,
    opaque: bool,
    dtype: type[np.unsignedinteger[Any]],
) -> None:
    picture = _random(20, 24, channels, dtype)
    if opaque and picture.has_alpha:
        picture.samples[..., -1] = np.iinfo(dtype).max
    expected = upscale(picture, tiny_model, height=50, width=70).samples
    monkeypatch.delattr(CompiledLatticeDecoder, "render_samples")
    monkeypatch.setattr(module, "STRIP", 1000)
    assert np.array_equal(upscale(picture, tiny_model, height=50, width=70).samples, expected)


def test_hopeless_memory_is_an_error(tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> object:
        raise MemoryError

    monkeypatch.setattr(module.Tiles, "encode", never)
    words = "out of memory with tiles of 8 pixels, the smallest: close other programs$"
    with pytest.raises(GinrError, match=words):
        upscale(_random(50, 60), tiny_model, height=100, width=120)


def test_other_errors_are_not_taken_for_memory(
    tiny_model: Ginr, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(module.Tiles, "encode", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        upscale(_random(9, 9), tiny_model, height=18, width=18)


def test_sizes_below_one_are_refused(tiny_model: Ginr) -> None:
    with pytest.raises(SizeError, match="0x18"):
        upscale(_random(9, 9), tiny_model, height=18, width=0)


def test_a_size_that_cannot_be_held_is_refused(tiny_model: Ginr) -> None:
    with pytest.raises(GinrError, match="GiB: choose a smaller size"):
        upscale(_random(9, 9), tiny_model, height=10**9, width=10**9)


def test_bfloat16_stays_close(tiny_model: Ginr) -> None:
    picture = _random(24, 24)
    exact = upscale(picture, tiny_model, height=48, width=48).samples.astype(int)
    half = upscale(picture, tiny_model, height=48, width=48, precision="bfloat16").samples
    assert 0 < np.abs(exact - half).mean() < 4


@pytest.mark.parametrize("scale", [2.0, 3.0, 3.7, 4.0])
def test_results_shrink_back_to_their_picture(sample_images: Path, scale: float) -> None:
    picture = read_picture(sample_images / "photo_colosseum.png")
    height, width = picture.height, picture.width
    model = load_cpu_network("small")
    out = upscale(picture, model, height=round(height * scale), width=round(width * scale))
    difference = np.abs(resize(out.samples, height, width) - picture.samples)[2:-2, 2:-2]
    assert difference.mean() < 0.15
    assert np.quantile(difference, 0.999) < 0.75  # beside white and black, colours are clipped
    model.consistent = False
    out = upscale(picture, model, height=round(height * scale), width=round(width * scale))
    unheld = np.abs(resize(out.samples, height, width) - picture.samples)[2:-2, 2:-2]
    assert unheld.mean() > 2 * difference.mean()


def test_tiles_of_a_consistent_network_equal_the_whole(sample_images: Path) -> None:
    picture = read_picture(sample_images / "photo_osprey.png")
    model, size = load_cpu_network("small"), {"height": 630, "width": 840}
    whole = upscale(picture, model, **size).samples.astype(int)
    tiled = upscale(picture, model, tile=96, **size).samples
    assert np.abs(tiled - whole).max() <= 1
    box = (100, 90, 400, 333)
    part = upscale(picture, model, box=box, **size).samples
    assert np.abs(part - whole[100:400, 90:333]).max() <= 1
