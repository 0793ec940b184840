"""`ginr.upscale` of every kind of picture: pytest tests/interface/test_upscaling.py"""

import io
from itertools import islice
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

import ginr
from ginr.errors import CheckpointError, GinrError, PictureError, SizeError
from ginr.geometry.maps import Projective
from ginr.interface.upscaling import _loaded
from ginr.network.model import Ginr

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
KINDS = (np.uint8, np.uint16, np.float16, np.float32, np.float64)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def as_kind(values: np.ndarray, kind: Any) -> np.ndarray:
    if np.issubdtype(kind, np.floating):
        return values.astype(kind)
    return (values * np.iinfo(kind).max).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 1), (9, 12, 2), (9, 12, 3), (9, 12, 4)])
def test_an_array_comes_back_as_it_was_given(
    tiny_model: Ginr, shape: tuple[int, ...], kind: Any
) -> None:
    x = as_kind(noise(*shape), kind)
    before = x.copy()
    large = ginr.upscale(x, tiny_model, scale=2)
    assert (large.shape, large.dtype) == ((18, 24, *shape[2:]), x.dtype)
    np.testing.assert_array_equal(x, before)
    samples = x if x.dtype.kind == "u" else (x.astype(float) * 65535 + 0.5).astype(np.uint16)
    picture = ginr.Picture(np.ascontiguousarray(samples.reshape(9, 12, -1)))
    wanted = ginr.upscale(picture, tiny_model, height=18, width=24).samples
    peak = np.iinfo(wanted.dtype).max
    found = large if large.dtype.kind == "u" else large.astype(float) * peak
    step = 0.01 if kind != np.float16 else 32
    assert np.abs(found.reshape(wanted.shape).astype(float) - wanted).max() <= step


def test_layouts_in_memory_do_not_matter(tiny_model: Ginr) -> None:
    x = as_kind(noise(9, 12, 3), np.uint16)
    wanted = ginr.upscale(x, tiny_model)
    for other in (np.asfortranarray(x), x[::-1][::-1], x.astype(">u2")):
        np.testing.assert_array_equal(ginr.upscale(other, tiny_model), wanted)
    x.flags.writeable = False
    np.testing.assert_array_equal(ginr.upscale(x, tiny_model), wanted)


def test_floats_may_overshoot_a_little(tiny_model: Ginr) -> None:
    x = noise(8, 8, 3)
    x[0, 0, 0] = 1.0005
    large = ginr.upscale(x, tiny_model)
    assert large.min() >= 0 and large.max() <= 1


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((3, 9, 12)), "an array of shape (3, 9, 12) is not a picture: give (H, W) or"),
        (np.zeros((0, 9, 3)), "an array of shape (0, 9, 3) is not a picture"),
        (np.zeros(9), "an array of shape (9,) is not a picture"),
        (np.zeros((9, 9), np.int64), "numbers of type int64 are not samples"),
        (np.zeros((9, 9), bool), "numbers of type bool are not samples"),
        (np.full((9, 9), 255.0), "floats from 255 to 255: scale them to [0, 1] first"),
        (np.full((9, 9), np.nan), "floats from nan to nan"),
        (torch.zeros(9, 9), "a tensor of shape (9, 9) is not a picture: give (1 to 4, H, W)"),
        (torch.zeros(2, 9, 9, 3), "a tensor of shape (2, 9, 9, 3) is not a picture"),
        (torch.zeros(0, 3, 9, 9), "a tensor of shape (0, 3, 9, 9) is not a picture"),
        (torch.zeros(3, 9, 9, dtype=torch.int64), "numbers of type int64 are not samples"),
        (Image.new("F", (9, 9)), "PIL mode F has no range"),
        ("missing.png", "missing.png does not exist"),
        (Path("missing.png"), "missing.png does not exist"),
    ],
)  # fmt: skip
def test_what_is_no_picture(tiny_model: Ginr, x: Any, words: str) -> None:
    with pytest.raises(PictureError) as error:
        ginr.upscale(x, tiny_model)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("x", [None, 7, [[1, 2], [3, 4]], b"png"])
def test_other_kinds(x: Any) -> None:
    with pytest.raises(TypeError, match=r"is not a picture: give a path, a Picture, a PIL image"):
        ginr.upscale(x)


@pytest.mark.parametrize(
    ("mode", "back"),
    [("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA"),
     ("CMYK", "RGB"), ("YCbCr", "RGB"), ("HSV", "RGB"), ("I;16", "I;16"), ("La", "LA"), ("RGBa", "RGBA")],
)  # fmt: skip
def test_pillow_images(tiny_model: Ginr, mode: str, back: str) -> None:
    colour = as_kind(noise(9, 12, 3), np.uint8)
    if mode == "I;16":
        image = Image.fromarray(as_kind(noise(9, 12), np.uint16))
    else:
        between = {"La": "LA", "RGBa": "RGBA"}.get(mode)
        image = Image.fromarray(colour)
        image = (image.convert(between) if between else image).convert(mode)
    image.info.update(icc_profile=SRGB, dpi=(300, 300))
    large = ginr.upscale(image, tiny_model, scale=3)
    assert isinstance(large, Image.Image) and (large.mode, large.size) == (back, (36, 27))
    assert large.info["dpi"] == (300, 300)
    assert (large.info["icc_profile"] == SRGB) == (mode != "CMYK")  # then it is that of libvips


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
@pytest.mark.parametrize("has_profile", [True, False])
def test_ink_of_pillow_has_the_colours_of_its_file(
    tiny_model: Ginr, tmp_path: Path, mode: str, has_profile: bool
) -> None:
    pyvips = pytest.importorskip("pyvips")
    image = Image.fromarray(as_kind(noise(9, 12, 3), np.uint8))
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), lab, outputMode=mode
        )  # type: ignore[assignment]
        profile = ImageCms.ImageCmsProfile(lab).tobytes()
    else:
        image, profile = image.convert(mode), bytes(pyvips.Operation.call("profile_load", "cmyk"))
    image.info = {"icc_profile": profile} if has_profile else {}
    image.save(tmp_path / "ink.tif")
    large = ginr.upscale(image, tiny_model)
    wanted = ginr.upscale(tmp_path / "ink.tif", tiny_model)
    assert large.info.get("icc_profile") == wanted.icc
    assert np.abs(np.asarray(large).astype(int) - wanted.samples).max() <= (
        0 if mode == "CMYK" else 6
    )


def test_transparent_colours_of_pillow(tiny_model: Ginr) -> None:
    image = Image.fromarray(as_kind(noise(9, 12, 3), np.uint8)).quantize(16)
    image.info["transparency"] = 3
    large = ginr.upscale(image, tiny_model)
    assert large.mode == "RGBA" and (np.asarray(large)[..., 3] < 255).any()


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 9, 12), (2, 3, 9, 12), (1, 9, 12), (2, 4, 9, 12)])
def test_tensors(tiny_model: Ginr, kind: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.rand(shape)
    x = (x * 255).to(kind) if kind == torch.uint8 else x.to(kind)
    large = ginr.upscale(x, tiny_model, scale=2)
    assert (large.shape, large.dtype) == ((*shape[:-2], 18, 24), kind) and large.is_contiguous()
    if len(shape) == 4:
        torch.testing.assert_close(ginr.upscale(x[1], tiny_model), large[1], rtol=0, atol=0)


def test_a_tensor_is_as_an_array(tiny_model: Ginr) -> None:
    x = torch.rand(3, 9, 12, requires_grad=True)
    large = ginr.upscale(x, tiny_model)
    array = ginr.upscale(x.detach().permute(1, 2, 0).numpy(), tiny_model)
    np.testing.assert_array_equal(large.permute(1, 2, 0).numpy(), array)
    assert not large.requires_grad


@pytest.mark.parametrize("as_path", [str, Path])
def test_a_path_becomes_a_picture(tmp_path: Path, tiny_model: Ginr, as_path: Any) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(as_kind(noise(9, 12, 3), np.uint8)).save(path, dpi=(240, 240))
    large = ginr.upscale(as_path(path), tiny_model, scale=2.5)
    assert isinstance(large, ginr.Picture) and large.dpi == (240, 240)
    assert repr(large) == "<Picture 30x23, RGB, 8 bit>"
    large.save(str(tmp_path / "b.png"))
    with pytest.raises(PictureError, match="already exists"):
        large.save(tmp_path / "b.png")
    large.save(tmp_path / "b.png", overwrite=True)
    np.testing.assert_array_equal(ginr.read_picture(tmp_path / "b.png").samples, large.samples)


def test_a_map_keeps_its_place_on_the_earth(tmp_path: Path, tiny_model: Ginr) -> None:
    tags = [
        (33550, 12, 3, (10.0, 10.0, 0.0), True),
        (33922, 12, 6, (4.0, 8.0, 0.0, 600000.0, 5000000.0, 0.0), True),
        (34735, 3, 8, (1, 1, 0, 1, 1024, 0, 1, 1), True),
    ]
    samples = as_kind(noise(9, 12, 3), np.uint8)
    tifffile.imwrite(tmp_path / "map.tif", samples, photometric="rgb", extratags=tags)
    large = ginr.upscale(tmp_path / "map.tif", tiny_model, scale="4x2")
    large.save(tmp_path / "large.tif")
    with tifffile.TiffFile(tmp_path / "large.tif") as file:
        found = file.pages[0].tags  # type: ignore[union-attr]
        assert found[33550].value == (2.5, 5.0, 0.0)
        assert found[33922].value == (16.0, 16.0, 0.0, 600000.0, 5000000.0, 0.0)
    picture, whole = ginr.read_picture(tmp_path / "map.tif"), Projective(np.eye(3))
    part = ginr.upscale(picture, tiny_model, box=(0, 0, 9, 9))
    warped = ginr.warp(picture, tiny_model, whole, height=9, width=12)
    for placeless in (part, warped):
        placeless.save(tmp_path / "part.tif", overwrite=True)
        assert "GeoTIFF tags dropped" in placeless.notes[-1]
        with tifffile.TiffFile(tmp_path / "part.tif") as file:
            assert 33550 not in file.pages[0].tags  # type: ignore[union-attr]


def test_sizes(tiny_model: Ginr) -> None:
    x = as_kind(noise(9, 12, 3), np.uint8)
    assert ginr.upscale(x, tiny_model).shape == (18, 24, 3)
    assert ginr.upscale(x, tiny_model, scale="2x3").shape == (27, 24, 3)
    assert ginr.upscale(x, tiny_model, height=20, width=30).shape == (20, 30, 3)
    whole = ginr.upscale(x, tiny_model, scale=4)
    part = ginr.upscale(x, tiny_model, scale=4, box=(4, 8, 24, 40))
    np.testing.assert_array_equal(part, whole[4:24, 8:40])
    for wrong in (
        {"scale": 0.5},
        {"scale": 31},
        {"height": 20},
        {"scale": 2, "height": 9, "width": 9},
    ):
        with pytest.raises(SizeError):
            ginr.upscale(x, tiny_model, **wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"box": (0, 0, 5)}, "box (0, 0, 5): give top, left, bottom and right"),
        ({"box": "0,0,25%,25%"}, "box '0,0,25%,25%': give top, left, bottom and right"),
        ({"box": (0, 0, 5.5, 5)}, "box (0, 0, 5.5, 5): give top"),
        ({"height": 20.5, "width": 20}, "height=20.5, width=20: give whole numbers of pixels"),
        ({"height": "20", "width": "20"}, "height='20', width='20': give whole numbers"),
        ({"tile": -5}, "tile=-5: give None, or a whole number of input pixels from 1"),
        ({"tile": "auto"}, "tile='auto': give None"),
        ({"precision": "float16"}, "precision='float16': give one of auto, float32, bfloat16"),
        ({"restore": "off"}, "restore='off': give None, or a number from 0 to 1"),
        ({"detail": "auto"}, "detail='auto': give None, or a number from 0 to 1"),
    ],
)
def test_wrong_arguments_are_named(tiny_model: Ginr, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(GinrError) as error:
        ginr.upscale(np.zeros((8, 8), np.uint8), tiny_model, **wrong)
    assert words in str(error.value)


def test_numbers_of_numpy_are_numbers(tiny_model: Ginr) -> None:
    x, (n, half) = np.zeros((8, 8), np.uint8), (np.int64(9), np.float32(0.5))
    part = ginr.upscale(x, tiny_model, height=n, width=n, box=(n - 9, 0, n - 1, n), tile=n)
    assert part.shape == (8, 9)
    assert ginr.upscale(x, restore=half, detail=half).shape == (16, 16)


@pytest.mark.parametrize("kind", [7, "checkpoint", "module"])
def test_a_model_that_is_no_network(kind: Any) -> None:
    made = {"checkpoint": ginr.load_checkpoint, "module": lambda: ginr.as_module(2)}
    model = made[kind]() if isinstance(kind, str) else kind
    with pytest.raises(TypeError, match=f"{type(model).__name__} is not a network: give a checkp"):
        ginr.upscale(np.zeros((8, 8), np.uint8), model)


def test_a_checkpoint_is_loaded_once(tiny_checkpoint: Path) -> None:
    assert _loaded("small", "auto") is _loaded("small", "auto")
    own = _loaded(tiny_checkpoint, "cpu")
    x = as_kind(noise(9, 12, 3), np.uint8)
    np.testing.assert_array_equal(ginr.upscale(x, tiny_checkpoint), ginr.upscale(x, own))
    assert ginr.upscale(x).shape == (18, 24, 3)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        ginr.upscale(x, "missing")


def test_a_checkpoint_that_was_trained_on_is_read_again(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path, small = tmp_path / "model.safetensors", ginr.load_checkpoint("small").header.path
    x = as_kind(noise(9, 12, 3), np.uint8)
    for checkpoint in (tiny_checkpoint, small):
        copyfile(checkpoint, path)
        np.testing.assert_array_equal(ginr.upscale(x, path), ginr.upscale(x, checkpoint))


def test_many(tiny_model: Ginr) -> None:
    items = [as_kind(noise(8, 8, 3, seed=k), np.uint8) for k in range(3)]
    taken: list[int] = []

    def given() -> Any:
        for k, item in enumerate(items):
            taken.append(k)
            yield item
        yield "missing.png"

    found = ginr.upscale_many(given(), tiny_model, scale=3)
    first = next(found)
    assert taken == [0, 1]  # the next one only
    np.testing.assert_array_equal(first, ginr.upscale(items[0], tiny_model, scale=3))
    assert [large.shape for large in islice(found, 2)] == [(24, 24, 3)] * 2
    with pytest.raises(PictureError, match="does not exist"):
        next(found)
    assert list(ginr.upscale_many([], tiny_model)) == []


def test_an_iterable_that_fails_costs_no_picture(tiny_model: Ginr) -> None:
    def given() -> Any:
        yield from (as_kind(noise(8, 8, 3, seed=k), np.uint8) for k in range(2))
        raise ValueError("the camera is gone")

    found = ginr.upscale_many(given(), tiny_model)
    assert [large.shape for large in islice(found, 2)] == [(16, 16, 3)] * 2
    with pytest.raises(ValueError, match="the camera is gone"):
        next(found)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pictures_for_other_libraries(channels: int, mode: str, kind: Any) -> None:
    samples = as_kind(noise(9, 12, channels), kind)
    picture = ginr.Picture(samples, icc=SRGB)
    assert picture.array.shape == ((9, 12) if channels == 1 else (9, 12, channels))
    image = picture.pil()
    assert image.mode == ("I;16" if kind == np.uint16 and channels == 1 else mode)
    assert image.info["icc_profile"] == SRGB
    assert ginr.upscale(image, scale=1).size == (12, 9)
    with Image.open(io.BytesIO(picture._repr_png_())) as shown:
        assert shown.size == (12, 9)


def test_large_pictures_are_shown_smaller() -> None:
    picture = ginr.Picture(np.zeros((5, 5000, 3), np.uint8))
    with Image.open(io.BytesIO(picture._repr_png_())) as shown:
        assert shown.size == (1667, 2)


def test_assess_takes_every_kind_of_picture(tmp_path: Path) -> None:
    samples = as_kind(noise(64, 64, 3), np.uint8)
    picture = ginr.Picture(samples)
    picture.save(tmp_path / "a.png")
    wanted = ginr.assess(picture)
    assert wanted.noise > 2
    tensor = torch.from_numpy(samples).permute(2, 0, 1)
    for x in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        samples,
        Image.fromarray(samples),
        tensor,
    ):
        assert ginr.assess(x).noise == wanted.noise
    with pytest.raises(PictureError, match="a batch of 2 pictures: give one of them at a time"):
        ginr.assess(tensor.expand(2, -1, -1, -1))
    with pytest.raises(TypeError, match="dict is not a picture"):
        ginr.assess({})


def test_an_enlargement_within_another_is_refused(tiny_model: Ginr) -> None:
    x = as_kind(noise(9, 12, 3), np.uint8)

    def again(n_done: int, n_all: int) -> None:
        ginr.upscale(x, tiny_model)

    with pytest.raises(GinrError, match="was called by its own progress or notice"):
        ginr.upscale(x, tiny_model, progress=again)
    assert ginr.upscale(x, tiny_model).shape == (18, 24, 3)


def test_what_needs_torch_says_so(tiny_checkpoint: Path) -> None:
    network = ginr.load_cpu_network(tiny_checkpoint)
    picture = ginr.Picture(as_kind(noise(9, 12, 3), np.uint8))
    wanted = r"CpuGinr is no network in torch: use load_checkpoint\(...\).build\(\)"
    with pytest.raises(TypeError, match=wanted):
        ginr.encode_picture(picture, network)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=wanted):
        ginr.warp(picture, network, Projective(np.eye(3)), height=9, width=12)  # type: ignore[arg-type]
