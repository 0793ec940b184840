"""`ginr reconstruct` with a tiny network: pytest tests/cli/test_reconstruct.py"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ginr.architecture.config import GinrConfig
from ginr.checkpoints.checkpoint import save_checkpoint
from ginr.network.model import Ginr

from .support import Run, files, picture, size


@pytest.fixture
def photo() -> Path:
    Image.fromarray(np.random.default_rng(0).integers(256, size=(20, 31, 3), dtype=np.uint8)).save(
        "p.png"
    )
    return Path("p.png")


@pytest.fixture(autouse=True)
def checkpoint(tiny_config: GinrConfig, monkeypatch: pytest.MonkeyPatch, here: Path) -> Path:
    """A network that stands in for the shipped one."""
    folder = here / "shipped"
    folder.mkdir()
    path = folder / "reconstruct.safetensors"
    config = dataclasses.replace(
        tiny_config, decoder="attention", base="none", n_lp=4, placement="equidistant"
    )
    save_checkpoint(path, config, Ginr(config).state_dict(), {})
    for module in ("checkpoints.checkpoint", "rendering.field_file"):
        monkeypatch.setattr(f"ginr.{module}.shipped_checkpoints", lambda: {"reconstruct": path})
    return path


@pytest.fixture
def other(tiny_model: Ginr, here: Path) -> Path:
    path = here / "shipped" / "other.safetensors"
    save_checkpoint(path, tiny_model.config, tiny_model.state_dict(), {})
    return path


def test_a_picture_is_measured(run: Run, photo: Path) -> None:
    (record,) = run("reconstruct", photo, "--json").records
    assert run.code == 0
    assert files() == ["p.png", "shipped/reconstruct.safetensors"]
    n_lp = -(-20 // 4) * -(-31 // 4)
    assert record["feature_numbers"] == 16 * n_lp
    assert record["bits_per_pixel"] == pytest.approx(16 * 16 * n_lp / (20 * 31))
    assert record["compression"] == pytest.approx(24 / record["bits_per_pixel"])
    assert record["base_bits_per_pixel"] == 0
    assert record["psnr_rgb_db"] > 5 and record["psnr_y_db"] > 5 and record["ssim_y"] < 1
    assert record["output"] is None and record["field"] is None


def test_the_report_in_words(run: Run, photo: Path) -> None:
    run("reconstruct", photo, "out.png", "--quantize", "8", "--save-field", "f.safetensors")
    assert run.code == 0
    for words in ("640 numbers of 8 bits, ", " per pixel", "PSNR", "SSIM", "out.png, 31x20 pixels"):
        assert words in run.out
    assert size("out.png") == (31, 20)


@pytest.mark.parametrize("quantize", [[], ["--quantize", "8"]], ids=["float16", "8 bits"])
@pytest.mark.parametrize("larger", [[], ["--scale", "2.5"], ["--size", "40x"]], ids=str)
def test_a_saved_field_makes_the_same_picture(
    run: Run, photo: Path, quantize: list[str], larger: list[str]
) -> None:
    run("reconstruct", photo, "a.png", "--save-field", "f.safetensors", *quantize, *larger)
    assert run.code == 0, run.err
    photo.unlink()
    (record,) = run("reconstruct", "f.safetensors", "b.png", *larger, "--json").records
    assert run.code == 0, run.err
    assert record["field_bytes"] == Path("f.safetensors").stat().st_size
    assert record["psnr_rgb_db"] is None
    with Image.open("a.png") as one, Image.open("b.png") as two:
        assert one.size == two.size == (record["output_width"], record["output_height"])
        assert np.array_equal(one, two)


def test_the_base_of_another_checkpoint_is_counted(run: Run, photo: Path, other: Path) -> None:
    run("reconstruct", photo, "-c", other)
    assert "the picture's own pixels, 24.000 bits per pixel" in run.out
    (record,) = run("reconstruct", photo, "-c", other, "--json").records
    assert record["base_bits_per_pixel"] == 24
    assert record["bits_per_pixel"] == 24 + record["feature_bits_per_pixel"]


def test_an_exact_result_has_no_psnr_in_json(run: Run, other: Path) -> None:
    """JSON has no infinity: a black picture with a field of zeros added to its pixels."""
    model_file = other.with_name("still.safetensors")
    from ginr.checkpoints.checkpoint import load_checkpoint

    loaded = load_checkpoint(other)
    still = {
        k: torch.zeros_like(v) if k.startswith("decoder.head") else v
        for k, v in loaded.weights.items()
    }
    save_checkpoint(model_file, loaded.config, still, {})
    picture("black.png", 16, 16)
    (record,) = run("reconstruct", "black.png", "-c", model_file, "--json").records
    assert record["psnr_rgb_db"] is None and record["ssim_y"] == pytest.approx(1)
    assert "RGB inf dB" in run("reconstruct", "black.png", "-c", model_file).out


def test_existing_files_are_kept_without_overwrite(run: Run, photo: Path) -> None:
    for name, arguments in {
        "out.png": ["-o", "out.png"],
        "f.safetensors": ["--save-field", "f.safetensors"],
    }.items():
        Path(name).write_bytes(b"mine")
        assert run("reconstruct", photo, *arguments).code == 1
        assert f"{name} already exists: add --overwrite to replace it" in run.err
        assert Path(name).read_bytes() == b"mine"
        assert run("reconstruct", photo, *arguments, "--overwrite").code == 0
        assert Path(name).read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["p.png", "--scale", "2", "--size", "40x"], 2, "--scale and --size cannot be combined"),
        (["p.png", "--scale", "0.5"], 2, "would shrink the picture"),
        (["p.png", "--quantize", "4"], 2, "8"),
        (["p.png", "--save-field", "f.npz"], 2, "name a .safetensors file"),
        (["p.png", "--save-field", "none/f.safetensors"], 1, "folder none does not exist"),
        (["p.png", "p.png"], 1, "both input and output"),
        (["p.png", "o.xyz"], 1, ".xyz"),
        (["none.png"], 1, "none.png"),
        (["none.safetensors", "o.png"], 1, "none.safetensors"),
        (["shipped/reconstruct.safetensors", "o.png"], 1, "is a checkpoint, not a saved field"),
        (["f.safetensors"], 2, "name an output picture, such as f.png"),
        (["f.safetensors", "o.png", "--quantize", "8"], 2, "is already a saved field"),
        (["f.safetensors", "o.png", "-c", "shipped/other.safetensors"], 1, "made with the checkpoint reconstruct"),
        (["p.png", "-c", "f.safetensors"], 1, "is a saved field, not a checkpoint"),
        (["cut.safetensors", "o.png"], 1, "cut short"),
        (["f.safetensors", "o.png", "--size", "5x"], 1, "ginr only enlarges"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    run: Run, photo: Path, other: Path, arguments: list[str], code: int, words: str
) -> None:
    run("reconstruct", photo, "--save-field", "f.safetensors")
    Path("cut.safetensors").write_bytes(Path("f.safetensors").read_bytes()[:-9])
    before = files()
    assert run("reconstruct", *arguments).code == code
    assert words in run.err
    assert "Traceback" not in run.err
    assert files() == before
