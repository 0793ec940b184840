"""`ginr evaluate`: the table, JSON and CSV, and what is not in the means.

Run: pytest tests/cli/test_evaluate.py
"""

import csv
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ginr.measuring.benchmark import PERCEPTUAL_PROTOCOL, PROTOCOL, score
from ginr.measuring.perceptual import PerceptualMeasures
from ginr.measuring.perceptual_weights import load_weights
from ginr.pictures import Picture, read_picture
from ginr.rendering.upscale import upscale
from ginr_cli.load_network import NetworkChoice, load_upscaler

from .support import Core, Run, files, python


def photo(path: str, sample_images: Path, width: int = 64, height: int = 48) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(sample_images / "photo_osprey.png") as image:
        image.crop((100, 100, 100 + width, 100 + height)).save(file)
    return file


@pytest.fixture
def album(here: Path, sample_images: Path) -> Path:
    photo("album/a.png", sample_images)
    photo("album/sub/b.png", sample_images, 50, 60)
    return Path("album")


def test_numbers_are_the_library_s(run: Run, album: Path, tiny_checkpoint: Path) -> None:
    (record,) = run("evaluate", tiny_checkpoint, album, "--scales", "2,6", "--json").records
    assert run.code == 0
    assert record["protocol"] == PROTOCOL and PROTOCOL in run.err
    assert (record["checkpoint"], record["scales"]) == ("tiny", [2, 6])
    model = load_upscaler(NetworkChoice(str(tiny_checkpoint), "auto")).model

    def ours(lr: Any, height: int, width: int) -> Any:
        return upscale(Picture(lr), model, height=height, width=width).samples

    rows = {(row["picture"], row["scale"]): row for row in record["pictures"]}
    assert list(rows) == [
        (f"album/{name}", scale) for name in ("a.png", "sub/b.png") for scale in (2, 6)
    ]
    for (name, scale), row in rows.items():
        expected = score(name, read_picture(Path(name)).samples, scale, ours)
        for key, value in vars(expected).items():
            assert row[key] == value or key == "seconds"
        assert row["seconds"] > 0 and row["folder"] == "album"
        assert (row["psnr_y_x4_lanczos"] is None) == (scale == 2)
    for mean in record["means"]:
        gains = {name: row["gain_y"] for (name, at), row in rows.items() if at == mean["scale"]}
        assert mean["gain_y"] == pytest.approx(sum(gains.values()) / 2)
        assert mean["worst_gain_y"] == min(gains.values()) == gains[mean["worst_picture"]]
        assert (mean["pictures"], mean["folder"]) == (2, "album")


def test_damaged_inputs_are_the_same_each_time(run: Run, core: Core, album: Path) -> None:
    def means(*options: str) -> list[Any]:
        (record,) = run("evaluate", "small", album, "--scales", "2", "--json", *options).records
        assert run.code == 0 and record["degradation"] == (options[-1] if options else "clean")
        assert ("LR is damaged" in run.err) == bool(options)
        return [{**mean, "seconds": 0} for mean in record["means"]]

    web = means("--degradation", "web")
    assert web == means("--degradation", "web")
    assert web[0]["psnr_y_bicubic"] < means()[0]["psnr_y_bicubic"] - 0.3


def test_auto_measures_what_upscale_chooses(run: Run, album: Path) -> None:
    def psnr(checkpoint: str, degradation: str) -> list[float]:
        words = ("--scales", "2", "--degradation", degradation, "--json")
        (record,) = run("evaluate", checkpoint, album, *words).records
        assert run.code == 0 and checkpoint in record["checkpoint"]
        return [row["psnr_y"] for row in record["pictures"]]

    assert psnr("auto", "clean") == psnr("small", "clean")
    assert psnr("auto", "web") != psnr("photo", "web") != psnr("small", "web")  # with detail


def test_an_unknown_degradation_is_refused(run: Run, core: Core, album: Path) -> None:
    run("evaluate", "small", album, "--degradation", "vhs")
    assert run.code == 2
    assert "--degradation is vhs: use one of clean, phone, web, film, photo" in run.err


def test_the_table_has_a_line_per_picture_and_scale(run: Run, core: Core, album: Path) -> None:
    run("evaluate", "small", album, album / "sub", "--scales", "2,3.7")
    assert run.code == 0 and PROTOCOL in run.err and "2 measured" in run.err
    lines = [line.split() for line in run.out.splitlines()]
    assert [(line[0], line[-1]) for line in lines[1:7]] == [
        (scale, name)
        for name in ("album/a.png", "album/sub/b.png", "album/sub/b.png")
        for scale in ("x2", "x3.7")
    ]
    assert lines[0][0] == lines[8][0] == "scale" and lines[7] == []
    assert [(line[0], line[9:13]) for line in lines[9:]] == [
        ("x2", ["2", "pictures", "in", "album,"]),
        ("x3.7", ["2", "pictures", "in", "album,"]),
        ("x2", ["1", "picture", "in", "album/sub,"]),
        ("x3.7", ["1", "picture", "in", "album/sub,"]),
    ]
    assert {len(line) for line in lines[1:7]} == {10}
    assert float(lines[9][1]) == pytest.approx(
        (float(lines[1][1]) + float(lines[3][1])) / 2, abs=0.01
    )


@pytest.mark.parametrize("degradation", ["clean", "web"])
def test_perceptual_measures_are_in_the_table_and_in_json(
    run: Run,
    core: Core,
    album: Path,
    perceptual_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    degradation: str,
) -> None:
    monkeypatch.setenv("GINR_PERCEPTUAL", str(perceptual_file))
    words = ["evaluate", "small", album, "--scales", "2", "--degradation", degradation]
    (plain,) = run(*words, "--json").records
    keys = ("lpips", "lpips_bicubic", "dists", "dists_bicubic")
    assert all(row[key] is None for row in plain["pictures"] + plain["means"] for key in keys)
    (record,) = run(*words, "--perceptual", "--json", "--csv", "out.csv").records
    assert run.code == 0 and record["protocol"] == f"{PROTOCOL} {PERCEPTUAL_PROTOCOL}"
    assert all(0 < row[key] < 1 for row in record["pictures"] for key in keys)
    (mean,) = record["means"]
    for key in keys:
        values = [row[key] for row in record["pictures"]]
        assert mean[key] == pytest.approx(sum(values) / 2)
    for found, expected in zip(record["pictures"], plain["pictures"], strict=True):
        assert found == {**expected, "seconds": found["seconds"], **{k: found[k] for k in keys}}
    run(*words, "--perceptual")
    assert PERCEPTUAL_PROTOCOL in run.err
    lines = [line.split() for line in run.out.splitlines()]
    assert lines[0][-5:] == ["LPIPS", "bicubic", "DISTS", "bicubic", "picture"]
    row = record["pictures"][0]
    assert lines[1][-5:-1] == [f"{row[key]:.4f}" for key in keys]
    assert lines[5][9:13] == [f"{mean[key]:.4f}" for key in keys]


def test_perceptual_measures_leave_the_border_out(
    sample_images: Path, perceptual_file: Path
) -> None:
    measures = PerceptualMeasures(load_weights(perceptual_file), torch.device("cpu"))
    hr = read_picture(sample_images / "photo_osprey.png").samples[:50, :60]
    framed = hr.copy()
    framed[:2] = framed[-2:] = framed[:, :2] = framed[:, -2:] = 0
    found = score("a.png", hr, 2, lambda lr, height, width: framed, perceptual=measures)
    assert (found.lpips, found.dists) == pytest.approx((0, 0), abs=1e-6)
    assert found.lpips_bicubic and found.lpips_bicubic > 1e-3


def test_pictures_too_small_for_lpips_are_named(
    run: Run, core: Core, album: Path, perceptual_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GINR_PERCEPTUAL", str(perceptual_file))
    run("evaluate", "small", album, "--scales", "2,8.5", "--perceptual")
    assert run.code == 0 and "2 measured, 2 too small for some scale\n" in run.err
    assert "pixels are too few to measure x8.5: 31 must be left inside a border of 9" in run.err


@pytest.mark.parametrize(
    "content", [None, b"", b"\x80\x04K\x01."], ids=["no file", "empty", "pickle"]
)
def test_perceptual_measures_need_their_weights(
    run: Run, core: Core, album: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        Path("weights").write_bytes(content)
    monkeypatch.setenv("GINR_PERCEPTUAL", "weights")
    monkeypatch.setattr("ginr.pictures.probe_picture", None)  # no picture is looked at
    run("evaluate", "small", album, "--perceptual")
    assert (run.code, run.out, core.calls) == (1, "", [])
    assert run.err.startswith("ginr: weights: ") and run.err.count("\n") == 1
    if content is None:
        assert "make it by benchmarks/fetch_perceptual.py" in run.err


def test_csv_holds_what_json_says(run: Run, core: Core, album: Path) -> None:
    run("evaluate", "small", album, "--scales", "2,8", "--json", "--csv", "out.csv")
    with Path("out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert run.code == 0 and files() == ["album/a.png", "album/sub/b.png", "out.csv"]
    assert list(rows[0])[:5] == ["folder", "picture", "scale", "width", "height"]
    for row, record in zip(rows, run.records[0]["pictures"], strict=True):
        assert list(row) == list(record)
        assert row == {key: "" if value is None else str(value) for key, value in record.items()}


def test_an_existing_csv_file_is_kept_without_overwrite(run: Run, core: Core, album: Path) -> None:
    Path("out.csv").write_text("mine")
    assert run("evaluate", "small", album, "--csv", "out.csv").code == 1
    assert "out.csv already exists" in run.err and Path("out.csv").read_text() == "mine"
    assert run("evaluate", "small", album, "--csv", "no/out.csv").code == 1
    assert "folder no does not exist" in run.err and core.calls == []
    Path("link.csv").symlink_to("out.csv")
    run("evaluate", "small", album, "--scales", "2", "--csv", "link.csv", "--overwrite")
    assert run.code == 0 and Path("out.csv").read_text().startswith("folder,picture")
    assert Path("link.csv").is_symlink()
    if os.path.exists(os.devnull):
        run("evaluate", "small", album, "--csv", os.devnull, "--overwrite")
        assert run.code == 2 and "is not a regular file" in run.err


def test_pictures_too_small_for_a_scale_are_named(
    run: Run, core: Core, album: Path, sample_images: Path
) -> None:
    photo("album/tiny.png", sample_images, 20, 20)
    (record,) = run("evaluate", "small", album, "--scales", "2,8", "--json").records
    assert run.code == 0
    assert "album/tiny.png: 20x20 pixels are too few to measure x8" in run.err
    assert "3 measured, 1 too small for some scale\n" in run.err
    assert record["too_small"] == [{"folder": "album", "picture": "album/tiny.png", "scale": 8}]
    assert [mean["pictures"] for mean in record["means"]] == [3, 2]
    run("evaluate", "small", "album/tiny.png", "--scales", "8")
    assert (run.code, run.out) == (1, "") and "0 measured" in run.err


def test_a_flat_picture_is_not_in_the_mean(run: Run, core: Core, album: Path) -> None:
    Image.new("L", (40, 40), 7).save("album/flat.png")
    (record,) = run("evaluate", "small", album, "--scales", "2", "--json", "--csv", "o.csv").records
    assert run.code == 0 and "x2: infinite PSNR, not in the mean: album/flat.png" in run.err
    assert record["means"][0]["pictures"] == 2 and math.isfinite(record["means"][0]["psnr_y"])
    (row,) = [row for row in record["pictures"] if row["picture"] == "album/flat.png"]
    assert row["psnr_y"] is row["psnr_y_bicubic"] is None and row["gain_y"] == 0
    assert row["ssim_y"] == pytest.approx(1)
    assert "Infinity" not in run.out and ",inf," in Path("o.csv").read_text()


def test_unreadable_pictures_are_counted(run: Run, core: Core, album: Path) -> None:
    Path("album/text.png").write_text("no picture")
    cut = (album / "a.png").read_bytes()
    Path("album/cut.png").write_bytes(cut[: len(cut) // 2])
    (record,) = run("evaluate", "small", album, "none", "--scales", "2", "--json").records
    assert run.code == 1 and "2 measured, 3 failed" in run.err
    assert {row["input"] for row in record["failed"]} == {"album/text.png", "album/cut.png", "none"}
    assert len([line for line in run.err.splitlines() if line.startswith("ginr: ")]) == 3
    assert record["means"][0]["pictures"] == 2


def test_measuring_without_alpha_or_depth_is_noted(run: Run, core: Core, here: Path) -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 65536, (40, 40), np.uint16)
    Image.fromarray(samples).save("deep.png")
    Image.fromarray(rng.integers(0, 256, (40, 40, 4), np.uint8)).save("clear.png")
    (record,) = run("evaluate", "small", "deep.png", "clear.png", "--scales", "2", "--json").records
    assert run.code == 0 and "deep.png: measured at 8 bit" in run.err
    assert record["notes"] == [
        {"picture": "deep.png", "notes": ["measured at 8 bit"]},
        {"picture": "clear.png", "notes": ["measured without its alpha"]},
    ]


def test_limit_and_tile(run: Run, core: Core, album: Path) -> None:
    run("evaluate", "small", album, "--scales", "2,2", "--limit", "1", "--tile", "64")
    assert run.code == 0 and len(core.calls) == 1 and core.calls[0]["tile"] == 64
    assert "1 measured" in run.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        *((["small", "album", "--scales", text], "--scales") for text in ("0", "0.5", "nan", "a")),
        (["small", "album", "--scales", "2,31"], "scale '31' is too large"),
        (["small", "album", "--scales", "2,,3"], "scale ''"),
        (["small", "album", "--scales", "2x3"], "'2x3' has two factors"),
        (["small", "album", "--device", "cuda:7"], "--device: device 'cuda:7'"),
        (["small", "album", "--limit", "0"], "--limit"),
        (["small"], "FOLDER"),
    ],
)
def test_wrong_usage(run: Run, core: Core, album: Path, arguments: list[str], words: str) -> None:
    run("evaluate", *arguments)
    assert (run.code, run.out, core.calls) == (2, "", [])
    assert words in run.err and "Traceback" not in run.err


def test_refusals_do_not_load_torch(album: Path, tiny_checkpoint: Path) -> None:
    script = (
        "import sys\nfrom ginr_cli.main import main\n"
        "def leave(code, *arguments):\n"
        "    try: main(['evaluate', *arguments])\n"
        "    except SystemExit as exit: assert exit.code == code, (exit, arguments)\n"
        "leave(2, 'tiny.safetensors', 'album', '--scales', '0')\n"
        "leave(1, 'nothing.safetensors', 'album')\n"
        "leave(1, 'tiny.safetensors', 'missing')\n"
        "import os; os.environ['GINR_PERCEPTUAL'] = 'nothing'\n"
        "leave(1, 'tiny.safetensors', 'album', '--perceptual')\n"
        "leave(0, '--help')\n"
        "assert 'torch' not in sys.modules and 'numba' not in sys.modules"
    )
    assert (result := python(script)).returncode == 0, result.stderr
