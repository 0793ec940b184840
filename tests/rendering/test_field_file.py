"""A picture as a field: in tiles as a whole, kept in a file and rendered from it with the same pixels.

Run: pytest tests/rendering/test_field_file.py
"""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from ginr import load_field, save_field
from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import load_checkpoint, peek, save_checkpoint
from ginr.errors import CheckpointError, GinrError
from ginr.measuring.metrics import psnr_rgb, psnr_y, ssim_y
from ginr.measuring.whole_pictures import likeness
from ginr.network.model import Ginr
from ginr.pictures import Picture
from ginr.rendering.field_file import checkpoint_of, peek_field
from ginr.rendering.picture_field import PictureField, encode_picture

KINDS: dict[str, dict[str, Any]] = {
    "one LP per four tokens": {"n_lp": 4, "placement": "equidistant"},
    "windows": {"n_lp": 3, "placement": "middle"},
    "on its own pixels": {"decoder": "lattice", "base": "bicubic"},
}
SIZE = (21, 34)


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_config: GinrConfig, make_model: Callable[..., Ginr]) -> Path:
    return saved(tmp_path / "tiny.safetensors", KINDS["one LP per four tokens"], tiny_config)


def saved(path: Path, change: dict[str, Any], config: GinrConfig) -> Path:
    every = {"decoder": "attention", "base": "none"}
    model = Ginr(dataclasses.replace(config, **every | change))
    with torch.no_grad():
        model.lps.normal_(std=0.3)
    save_checkpoint(path, model.config, model.state_dict(), {})
    return path


def picture(
    channels: int = 3, depth: int = 8, size: tuple[int, int] = SIZE, **more: Any
) -> Picture:
    samples = np.random.default_rng(0).integers(2**depth, size=(*size, channels))
    return Picture(samples.astype(np.uint8 if depth == 8 else np.uint16), **more)


def assert_same(one: Picture, two: Picture) -> None:
    assert one.samples.dtype == two.samples.dtype
    assert np.array_equal(one.samples, two.samples)
    assert one.icc == two.icc


@pytest.mark.parametrize("change", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("channels", "depth"), [(3, 8), (1, 16), (4, 8), (2, 8)])
@pytest.mark.parametrize("quantize", [False, True], ids=["float16", "8 bits"])
def test_a_kept_field_renders_the_same_samples(
    tmp_path: Path,
    tiny_config: GinrConfig,
    change: dict[str, Any],
    channels: int,
    depth: int,
    quantize: bool,
) -> None:
    path = saved(tmp_path / "tiny.safetensors", change, tiny_config)
    model = load_checkpoint(path).build()
    field = encode_picture(picture(channels, depth, icc=b"a profile"), model)
    field = field.quantized() if quantize else field
    save_field(tmp_path / "field.safetensors", field, peek(path))
    header = peek_field(tmp_path / "field.safetensors")
    assert header.size == SIZE
    assert checkpoint_of(header, path).path == path
    kept = load_field(tmp_path / "field.safetensors")
    for height, width in (SIZE, (50, 41)):
        assert_same(
            kept.render(model, height=height, width=width),
            field.render(model, height=height, width=width),
        )
    assert (kept.feature_bits, kept.base_bits) == (field.feature_bits, field.base_bits)


@pytest.mark.parametrize("change", KINDS.values(), ids=KINDS)
def test_tiles_are_the_whole(
    tmp_path: Path, tiny_config: GinrConfig, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is rendered in tiles as in one piece; in the encoder the margin is all that counts."""
    model = load_checkpoint(saved(tmp_path / "tiny.safetensors", change, tiny_config)).build()
    large = picture(size=(90, 130))
    whole = encode_picture(large, model)
    size = {"height": 141, "width": 200}
    one_piece = whole.render(model, **size).samples.astype(int)
    monkeypatch.setattr("ginr.rendering.picture_field.TILE", 32)
    tiles = whole.render(model, **size).samples
    assert np.abs(one_piece - tiles).max() <= 1
    apart = encode_picture(large, model).features.float() - whole.features.float()
    assert apart.abs().max() < 0.02 * whole.features.float().std()


def test_what_is_kept_is_the_network_s_field(checkpoint: Path) -> None:
    model = load_checkpoint(checkpoint).build()
    original = picture()
    heard: list[tuple[int, int]] = []
    field = encode_picture(original, model, progress=lambda *done: heard.append(done))
    assert heard == [(21 * 34, 21 * 34)]
    pixels = torch.from_numpy(original.pixels(0, 0, *SIZE))[None]
    with torch.inference_mode():
        direct = model.encode(pixels).render((30, 50))[0].clamp(0, 1) * 255
    ours = field.render(model, height=30, width=50).samples
    assert np.abs(ours - direct.permute(1, 2, 0).numpy()).max() < 0.5 + 0.3  # float16 features
    assert field.feature_bits == 16 * field.features.numel()
    assert field.base_bits == 0


def test_codes_are_within_half_a_step(checkpoint: Path) -> None:
    field = encode_picture(picture(), load_checkpoint(checkpoint).build())
    field = dataclasses.replace(field, features=field.features * 3 + 7)
    field.features[..., 0] = 5  # a channel that says nothing
    codes = field.quantized()
    assert codes.levels is not None
    least, step = codes.levels
    error = codes.features.float() * step + least - field.features.float()
    assert (error.abs() <= 0.501 * step + 1e-6).all()
    assert codes.feature_bits == 8 * codes.features.numel() + 2 * 16 * 32
    assert error[..., 0].abs().max() == 0


def test_features_beyond_float16_are_refused(checkpoint: Path) -> None:
    model = load_checkpoint(checkpoint).build()
    model.lps.fill_(1e6)
    with pytest.raises(GinrError, match="beyond float16"):
        encode_picture(picture(), model)


# What is wrong with a file is said in one line that names it.


@pytest.fixture
def field_file(tmp_path: Path, checkpoint: Path) -> Path:
    path = tmp_path / "field.safetensors"
    field = encode_picture(picture(), load_checkpoint(checkpoint).build())
    save_field(path, field.quantized(), peek(checkpoint))
    return path


def refusal(action: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        action(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def rewritten(
    path: Path, metadata: dict[str, str | None] | None = None, **tensors: torch.Tensor | None
) -> None:
    with safe_open(path, framework="pt") as file:
        old = dict(file.metadata())
    facts = {k: v for k, v in (old | (metadata or {})).items() if v is not None}
    every = {
        k: v for k, v in (safetensors.torch.load_file(path) | tensors).items() if v is not None
    }
    safetensors.torch.save_file(every, path, facts)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"ginr.field": "3"}, "field format 3, this ginr reads 1, 2:"),
        ({"ginr.field": None}, "not a saved field of ginr"),
        ({"ginr.facts": None}, "damaged header"),
        ({"ginr.facts": "[]"}, "damaged header"),
        ({"ginr.facts": "{}"}, "height = None"),
        ({"ginr.config": "{}"}, "missing fields"),
        ({"ginr.config": None}, "damaged header"),
    ],
)
def test_wrong_metadata_is_refused(
    field_file: Path, metadata: dict[str, str | None], words: str
) -> None:
    rewritten(field_file, metadata)
    assert words in refusal(peek_field, field_file)
    assert words in refusal(load_field, field_file)


@pytest.mark.parametrize(
    ("name", "value"),
    [("height", 0), ("width", 2**40), ("width", 3.5), ("channels", 5), ("depth", 12),
     ("depth", True), ("sha256", 4), ("checkpoint", None)],
)  # fmt: skip
def test_wrong_facts_are_refused(field_file: Path, name: str, value: object) -> None:
    with safe_open(field_file, framework="pt") as file:
        facts = json.loads(file.metadata()["ginr.facts"])
    rewritten(field_file, {"ginr.facts": json.dumps(facts | {name: value})})
    assert f"{name} = {value!r} is not valid" in refusal(load_field, field_file)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"features": None}, "missing tensors features"),
        ({"levels": None}, "missing tensors levels"),
        ({"more": torch.zeros(3)}, "unknown tensors more"),
        ({"base": torch.zeros(3, dtype=torch.uint8)}, "unknown tensors base"),
        ({"features": torch.zeros(1, 6, 9, 15, dtype=torch.uint8)}, "tensor features is U8"),
        ({"features": torch.zeros(3, 6, 9, 16, dtype=torch.uint8)}, "tensor features is U8"),
        ({"features": torch.zeros(1, 6, 9, 16), "levels": None}, "tensor features is F32"),
        ({"features": torch.zeros(()), "levels": None}, "tensor features is F32 ()"),
        ({"levels": torch.zeros(2, 15)}, "tensor levels is F32 (2, 15)"),
        ({"levels": torch.full((2, 16), math.nan)}, "tensor levels holds NaN"),
        ({"icc": torch.zeros(3)}, "tensor icc is F32"),
    ],
)
def test_wrong_tensors_are_refused(
    field_file: Path, tensors: dict[str, torch.Tensor | None], words: str
) -> None:
    rewritten(field_file, **tensors)
    assert words in refusal(load_field, field_file)


@pytest.mark.parametrize("n_byte", [0, 7, 100, -1])
def test_a_file_cut_short_is_refused(field_file: Path, n_byte: int) -> None:
    field_file.write_bytes(field_file.read_bytes()[:n_byte])
    assert "cut short" in refusal(load_field, field_file)


def test_a_checkpoint_is_no_field_and_a_field_no_checkpoint(
    field_file: Path, checkpoint: Path
) -> None:
    assert "is a checkpoint, not a saved field" in refusal(load_field, checkpoint)
    assert "is a saved field, not a checkpoint" in refusal(load_checkpoint, field_file)
    assert "cannot be read" in refusal(load_field, field_file.with_name("none.safetensors"))


def test_another_checkpoint_is_refused(
    field_file: Path, checkpoint: Path, tiny_config: GinrConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = peek_field(field_file)
    other = saved(checkpoint.with_name("other.safetensors"), {"n_lp": 4}, tiny_config)
    text = refusal(lambda path: checkpoint_of(header, other), field_file)
    assert header.sha256[:12] in text and str(other) in text
    assert "does not ship" in refusal(lambda path: checkpoint_of(header), field_file)
    # With the same shipped checkpoint it needs no name.
    monkeypatch.setattr(
        "ginr.checkpoints.checkpoint.shipped_checkpoints", lambda: {"renamed": checkpoint}
    )
    monkeypatch.setattr(
        "ginr.rendering.field_file.shipped_checkpoints", lambda: {"renamed": checkpoint}
    )
    assert checkpoint_of(header).path == checkpoint


@pytest.mark.parametrize(("channels", "depth"), [(3, 8), (1, 8), (3, 16)])
def test_likeness_in_bands_is_that_of_the_whole(
    channels: int, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ginr.measuring.whole_pictures.BAND", 7)
    one, two = (picture(channels, depth, size=(45, 31)) for _ in range(2))
    two.samples[20:, :] //= 2
    found = likeness(one, two)
    a, b = (
        p.samples if depth == 8 else np.round(p.samples / 257).astype(np.uint8) for p in (one, two)
    )
    assert found.psnr_rgb == pytest.approx(psnr_rgb(a, b, 0))
    assert found.psnr_y == pytest.approx(psnr_y(a, b, 0))
    assert found.ssim_y == pytest.approx(ssim_y(a, b, 0))
    assert likeness(one, one).psnr_y == math.inf
    assert likeness(*(picture(size=(10, 40)) for _ in range(2))).ssim_y is None


def test_colour_below_no_alpha_does_not_count() -> None:
    one, two = picture(4), picture(4)
    for each, colour in ((one, 0), (two, 255)):
        each.samples[:9, :, :3], each.samples[:9, :, 3] = colour, 0
    assert likeness(one, two).psnr_rgb == math.inf


def test_a_path_may_be_text(checkpoint: Path, tmp_path: Path) -> None:
    field = encode_picture(picture(), load_checkpoint(checkpoint).build())
    name = str(tmp_path / "field.safetensors")
    save_field(name, field, peek(checkpoint))
    assert torch.equal(load_field(name).features, field.features)


def test_a_model_of_another_form_is_refused(
    checkpoint: Path, tmp_path: Path, tiny_config: GinrConfig
) -> None:
    field = encode_picture(picture(), load_checkpoint(checkpoint).build())
    other = saved(tmp_path / "other.safetensors", KINDS["on its own pixels"], tiny_config)
    with pytest.raises(GinrError, match="the field is of another network"):
        field.render(load_checkpoint(other).build(), height=30, width=40)


def test_python_names() -> None:
    import ginr

    assert ginr.PictureField is PictureField
    assert ginr.encode_picture is encode_picture
