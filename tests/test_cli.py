"""The command line: names, exit codes, streams, and what a bad file does to the others.

Run: pytest tests/test_cli.py
"""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ginr.checkpoint import load_checkpoint, save_checkpoint
from ginr.device import choose_device
from ginr.errors import CheckpointError, GinrError
from ginr.picture import Picture, read_picture
from ginr.upscale import upscale
from ginr_cli.main import main


class Run:
    """Runs the command line in this process and keeps what came of it."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd

    def __call__(self, *arguments: str | Path) -> "Run":
        with pytest.raises(SystemExit) as leave:
            main([str(argument) for argument in arguments])
        self.code = leave.value.code
        self.out, self.err = self.capfd.readouterr()
        return self

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    return Run(capfd)


class Core:
    """Stands in for the network: repeats pixels; `fail` may raise before a picture is made."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.fail: Callable[[Picture], None] = lambda picture: None

    def upscale(self, picture: Picture, model: Any, **options: Any) -> Picture:
        self.calls.append(options)
        self.fail(picture)
        height, width = options["height"], options["width"]
        rows = np.arange(height) * picture.height // height
        columns = np.arange(width) * picture.width // width
        options["progress"](height * width, height * width)
        return Picture(samples=np.ascontiguousarray(picture.samples[rows][:, columns]))


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    def load(name: str) -> Any:
        if name != "small":
            raise CheckpointError(f"{name} is no checkpoint: use small")
        return SimpleNamespace(name=name, build=lambda device: None)

    def place(name: str) -> tuple[str, str]:
        if name == "cuda:7":
            raise GinrError("device 'cuda:7': 1 CUDA devices found; use --device cpu")
        return ("cpu" if name == "auto" else name), "no CUDA device"

    core = Core()
    parts = {
        "checkpoint": {"load_checkpoint": load, "peek": load},
        "device": {"choose_device": place},
        "upscale": {"upscale": core.upscale},
    }
    for name, contents in parts.items():
        module = ModuleType(f"ginr.{name}")
        module.__dict__.update(contents)
        monkeypatch.setitem(sys.modules, f"ginr.{name}", module)
    return core


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GINR_DEBUG", raising=False)
    return tmp_path


def picture(path: str, width: int = 6, height: int = 4, mode: str = "RGB") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (width, height), "red" if mode != "L" else 99).save(file)
    return file


def size(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def files(folder: str | Path = ".") -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
    )


# Start-up


def test_the_console_script_resolves() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="ginr")
    assert script.load() is main


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["upscale", "--help"], 0),
        (["upscale", "missing.png", "--scale", "2"], 1),
        (["upscale", "missing.png", "--scale", "0"], 2),
        (["upscale", "missing.png", "--device", "tpu"], 2),
        (["upscale", "--size"], 2),
    ],
)
def test_help_and_refusals_do_not_wait_for_torch(arguments: list[str], code: int) -> None:
    script = (
        "import sys\nfrom ginr_cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as leave: assert leave.code == {code}, leave\n"
        "assert 'torch' not in sys.modules and 'numba' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_version_is_the_installed_one(run: Run) -> None:
    assert run("--version").code == 0
    assert run.out == f"ginr {importlib.metadata.version('ginr')}\n"


def test_a_reader_that_left_is_not_a_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "ginr_cli", "--version"]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, "")


# One picture


def test_the_default_name_is_beside_the_input(run: Run, core: Core) -> None:
    picture("photo.png")
    run("upscale", "photo.png", "--scale", "3.7")
    assert (run.code, run.out) == (0, "photo_x3.7.png\n")
    assert size("photo_x3.7.png") == (22, 15)
    assert "photo.png 6x4 -> photo_x3.7.png 22x15" in run.err
    assert "\x1b" not in run.err and "%" not in run.err  # no bar, no colour: not a terminal


def test_scale_two_is_said_when_nothing_is_asked(run: Run, core: Core) -> None:
    picture("photo.png")
    run("upscale", "photo.png")
    assert run.out == "photo_x2.png\n" and "enlarging x2" in run.err


@pytest.mark.parametrize(
    ("options", "name", "pixels"),
    [
        (["--scale", "2x3"], "a_x2x3.png", (12, 12)),
        (["--size", "60x"], "a_60x40.png", (60, 40)),
        (["--size", "60x60"], "a_60x40.png", (60, 40)),
        (["--size", "60x80!"], "a_60x80.png", (60, 80)),
        (["--scale", "150%", "--format", "webp"], "a_x1.5.webp", (9, 6)),
        (["--scale", "2", "-o", "sub/"], "sub/a.png", (12, 8)),
        (["--scale", "2", "-o", "b.tif"], "b.tif", (12, 8)),
        (["--scale", "2", "b.jpg"], "b.jpg", (12, 8)),
        (["--scale", "2", "old"], "old/a.png", (12, 8)),
    ],
)
def test_names_and_sizes(
    run: Run, core: Core, options: list[str], name: str, pixels: tuple[int, int]
) -> None:
    picture("a.png")
    Path("old").mkdir()
    run("upscale", "a.png", *options)
    assert (run.code, run.out) == (0, f"{name}\n")
    assert size(name) == pixels


def test_options_reach_the_network(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "-s", "2", "--tile", "64", "--precision", "float32")
    assert run.code == 0 and core.calls[0]["tile"] == 64
    assert core.calls[0]["precision"] == "float32"
    run("upscale", "a.png", "-s", "3")
    assert core.calls[1]["tile"] is None and core.calls[1]["precision"] == "auto"


def test_devices_have_names(run: Run, core: Core) -> None:
    picture("a.png")
    assert run("upscale", "a.png", "--device", "cuda:1", "--json").records[0]["device"] == "cuda:1"


def test_quality_reaches_the_file(run: Run, core: Core, sample_images: Path) -> None:
    with Image.open(sample_images / "photo_spices.png") as photo:
        photo.crop((0, 0, 60, 40)).save("a.png")
    for quality in ("30", "95"):
        assert run("upscale", "a.png", f"{quality}.jpg", "--quality", quality).code == 0
    assert run("upscale", "a.png", "95.jpg", "--overwrite").code == 0  # 95 is the default
    assert Path("30.jpg").stat().st_size < Path("95.jpg").stat().st_size / 2


def test_quality_is_refused_where_the_format_has_none(run: Run, core: Core) -> None:
    picture("in/a.png")
    picture("in/b.jpg")
    run("upscale", "in", "-o", "out", "--quality", "80")
    assert (run.code, files("out"), len(core.calls)) == (1, ["b.jpg"], 1)
    assert "out/a.png: quality 80 cannot be used: PNG is lossless, leave it out" in run.err


def test_json_is_one_object_per_picture(run: Run, core: Core) -> None:
    picture("a.png")
    (record,) = run("upscale", "a.png", "--scale", "2", "--json").records
    assert record.pop("seconds") >= 0
    assert record == {
        "input": "a.png",
        "status": "done",
        "output": "a_x2.png",
        "input_width": 6,
        "input_height": 4,
        "width": 12,
        "height": 8,
        "device": "cpu",
        "checkpoint": "small",
        "notes": [],
        "error": None,
    }


def test_what_the_output_loses_is_said(run: Run, core: Core) -> None:
    file = picture("a.png", mode="RGBA")
    Image.new("RGBA", (6, 4), (9, 9, 9, 128)).save(file)
    run("upscale", "a.png", "a.jpg")
    assert run.code == 0 and "a.png: alpha" in run.err


def test_existing_outputs_stay_unless_told(run: Run, core: Core) -> None:
    picture("a.png")
    picture("out.png", 1, 1)
    for arguments in (["a.png", "out.png"], ["a.png", "-o", "out.png"]):
        run("upscale", *arguments, "--scale", "2")
        assert run.code == 1 and run.out == ""
        assert "ginr: out.png exists: --overwrite replaces it\n" in run.err
    assert size("out.png") == (1, 1) and core.calls == []
    assert run("upscale", "a.png", "out.png", "--scale", "2", "--overwrite").code == 0
    assert size("out.png") == (12, 8)


def test_the_input_is_never_the_output(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "-o", "a.png", "--overwrite")
    assert run.code == 1 and "a.png is input and output at once" in run.err
    assert size("a.png") == (6, 4)


@pytest.mark.parametrize("name", ["[red]x[b].png", "ä b.png", "-dash.png", "new\nline.png"])
def test_odd_names(run: Run, core: Core, name: str) -> None:
    picture(name)
    run("upscale", "-o", "out/", "--", name)
    assert run.code == 0 and run.out == f"out/{name}\n"
    assert "\nline" not in run.err and name.split("\n")[0] in run.err


@pytest.mark.skipif(sys.platform == "win32", reason="names are UTF-16 there")
def test_names_that_are_not_utf8(run: Run, core: Core) -> None:
    name = os.fsdecode(b"\xff.png")
    picture("a.png").rename(name)
    assert run("upscale", name, "--json").code == 0
    assert run.records[0]["output"] == os.fsdecode(b"\xff_x2.png")


# Refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png", "--scale", "0"], "scale '0' is not a positive number"),
        (["a.png", "--scale", "-1"], "scale '-1' is not a positive number"),
        (["a.png", "--scale", "nan"], "scale 'nan'"),
        (["a.png", "--scale", "1e9"], "scale '1e9' is too large: ginr enlarges, from 1 to 30"),
        (["a.png", "--scale", "0.5"], "scale '0.5' would shrink"),
        (["a.png", "--size", "0x"], "size '0x'"),
        (["a.png", "--scale", "2", "--size", "9x"], "--scale and --size together"),
        (["a.png", "--format", "exe"], "--format exe cannot be written: use one of"),
        (["a.png", "b.png", "--format", "jpg"], "--format and the file b.png together"),
        (["a.png", "out"], "out has no suffix: write out.png for a picture, out/ for a folder"),
        (["a.png", "folder", "-o", "b.png"], "b.png is one file and the inputs are several"),
        (["folder", "b.png"], "b.png is one file and the inputs are several"),
        (["a.png", "--tile", "-1"], "--tile"),
        (["a.png", "-o", "new/", "--device", "cuda:7"], "--device: device 'cuda:7': 1 CUDA"),
        (["a.png", "--quality", "0"], "--quality"),
        (["a.png", "--quality", "101"], "--quality"),
        ([], "INPUT"),
    ],
)
def test_wrong_usage(run: Run, core: Core, arguments: list[str], words: str) -> None:
    picture("a.png")
    picture("folder/c.png")
    run("upscale", *arguments)
    assert (run.code, run.out, core.calls) == (2, "", [])
    assert words in run.err and "Traceback" not in run.err
    assert files() == ["a.png", "folder/c.png"]


def test_sizes_that_do_not_suit_the_picture(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "--size", "3x")
    assert run.code == 1 and "ginr: size 3x would shrink 6x4 pixels" in run.err


def png(width: int, height: int) -> bytes:
    """A whole header and nothing else."""
    import zlib

    body = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("missing.png", None),
        ("empty.png", b""),
        ("text.png", b"this is no picture, whatever its name says"),
        ("bomb.png", png(100_000, 100_000)),
        ("cut.png", png(60, 40)),
    ],
)
def test_bad_inputs_are_one_line(run: Run, core: Core, name: str, contents: bytes | None) -> None:
    if contents is not None:
        Path(name).write_bytes(contents)
    run("upscale", name, "--scale", "2", "--json")
    (line,) = [line for line in run.err.splitlines() if line.startswith("ginr: ")]
    assert run.code == 1 and line.startswith(f"ginr: {name}")
    (record,) = run.records
    assert record["status"] == "failed" and f"ginr: {record['error']}" == line
    assert files() == ([] if contents is None else [name])


def test_a_truncated_picture(run: Run, core: Core) -> None:
    file = picture("photo.jpg", 400, 300)
    file.write_bytes(file.read_bytes()[:-900])
    run("upscale", "photo.jpg")
    assert run.code == 1 and "ginr: photo.jpg" in run.err and files() == ["photo.jpg"]


def test_an_empty_folder(run: Run, core: Core) -> None:
    Path("folder").mkdir()
    Path("folder/notes.txt").write_text("not a picture")
    run("upscale", "folder", "-o", "out")
    assert run.code == 1 and "ginr: folder holds no pictures" in run.err
    assert not Path("out").exists()


def test_an_unknown_suffix_and_a_missing_folder(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "b.xyz")
    assert run.code == 1 and "b.xyz has '.xyz'" in run.err
    run("upscale", "a.png", "no/b.png")
    assert run.code == 1 and "there is no folder no" in run.err
    assert core.calls == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder(run: Run, core: Core, here: Path) -> None:
    picture("locked/a.png")
    Path("locked").chmod(0o555)
    run("upscale", "locked/a.png")
    Path("locked").chmod(0o755)
    assert run.code == 1 and "may not be written" in run.err and core.calls == []


def test_a_checkpoint_that_is_none(run: Run, core: Core) -> None:
    picture("a.png")
    run("upscale", "a.png", "--checkpoint", "huge")
    assert run.code == 1 and run.err.endswith("ginr: huge is no checkpoint: use small\n")


# Trouble on the way


def test_a_surprise_names_its_type(run: Run, core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(picture: Picture) -> None:
        raise RuntimeError("odd\nthing")

    picture("a.png")
    core.fail = fail
    run("upscale", "a.png")
    assert run.code == 1 and files() == ["a.png"]
    words = "ginr: RuntimeError: odd thing (set GINR_DEBUG=1 for the traceback)\n"
    assert run.err.endswith(words)
    monkeypatch.setenv("GINR_DEBUG", "1")
    with pytest.raises(RuntimeError, match="odd"):
        main(["upscale", "a.png"])


def test_ctrl_c_leaves_130_and_no_half_file(run: Run, core: Core) -> None:
    def fail(picture: Picture) -> None:
        if picture.width == 7:
            raise KeyboardInterrupt

    picture("in/a.png")
    picture("in/b.png", 7)
    core.fail = fail
    run("upscale", "in", "out")
    assert run.code == 130 and "interrupted" in run.err and "1 done" in run.err
    assert files("out") == ["a.png"]


def test_one_bad_picture_does_not_stop_the_others(run: Run, core: Core) -> None:
    def fail(picture: Picture) -> None:
        if picture.width == 7:
            raise GinrError("too hard: use another")

    picture("in/a.png")
    Path("in/b.png").write_bytes(b"broken")
    picture("in/c.png", 7)
    picture("in/d.png")
    core.fail = fail
    run("upscale", "in", "-o", "out", "--json")
    assert run.code == 1 and files("out") == ["a.png", "d.png"]
    status = {record["input"]: record["status"] for record in run.records}
    assert status == {
        "in/a.png": "done",
        "in/b.png": "failed",
        "in/c.png": "failed",
        "in/d.png": "done",
    }
    assert run.err.endswith("2 done, 2 failed\n")


# Folders and several inputs


def test_a_folder_keeps_its_tree_and_is_not_done_twice(run: Run, core: Core) -> None:
    picture("in/a.png")
    picture("in/deep/er/b.JPG")
    picture("in/deep/c.gif", mode="P")
    picture("in/.hidden/d.png")
    picture("in/.e.png")
    Path("in/notes.txt").write_text("not a picture")
    assert run("upscale", "in", "out", "--scale", "2").code == 0
    assert files("out") == ["a.png", "deep/c.png", "deep/er/b.JPG"]
    assert sorted(run.out.splitlines()) == ["out/a.png", "out/deep/c.png", "out/deep/er/b.JPG"]
    Path("out/a.png").unlink()
    run("upscale", "in", "out", "--scale", "2")
    assert run.code == 0 and run.out == "out/a.png\n"
    assert run.err.endswith("1 done, 2 skipped\n") and len(core.calls) == 4
    assert run("upscale", "in", "out", "--scale", "2").err.endswith("3 skipped\n")


def test_an_output_of_another_size_is_not_taken_for_done(run: Run, core: Core) -> None:
    picture("in/a.png")
    run("upscale", "in", "out", "--scale", "2")
    run("upscale", "in", "out", "--scale", "3")
    assert run.code == 1 and "out/a.png exists with 12x8 pixels instead of 18x12" in run.err
    assert run("upscale", "in", "out", "--scale", "3", "--overwrite").code == 0
    assert size("out/a.png") == (18, 12)


def test_outputs_beside_inputs_are_not_inputs(run: Run, core: Core) -> None:
    picture("in/photo.png")
    picture("in/scan_x9000.png")  # nobody's output: there is no scan.png
    for scale, expected in (("2", 2), ("2", 0), ("2x3", 2)):
        before = len(core.calls)
        assert run("upscale", "in", "--scale", scale).code == 0
        assert len(core.calls) - before == expected
    assert "in: 2 outputs of earlier runs left out" in run.err
    assert files("in") == [
        "photo.png",
        "photo_x2.png",
        "photo_x2x3.png",
        "scan_x9000.png",
        "scan_x9000_x2.png",
        "scan_x9000_x2x3.png",
    ]


def test_an_output_folder_inside_the_input_is_not_read(run: Run, core: Core) -> None:
    picture("in/a.png")
    for _ in range(2):
        assert run("upscale", "in", "-o", "in/large").code == 0
    assert files("in") == ["a.png", "large/a.png"]


def test_many_inputs_into_one_folder(run: Run, core: Core) -> None:
    picture("a.png")
    picture("b.jpg")
    picture("folder/sub/c.png")
    run("upscale", "a.png", "b.jpg", "folder", "folder/sub/c.png", "-o", "out", "--format", "png")
    assert run.code == 0 and files("out") == ["a.png", "b.png", "sub/c.png"]


def test_three_pictures_beside_themselves(run: Run, core: Core) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(name)
    assert run("upscale", "a.png", "b.png", "c.png").out.split() == [
        "a_x2.png",
        "b_x2.png",
        "c_x2.png",
    ]


def test_two_inputs_of_one_name_do_not_overwrite_each_other(run: Run, core: Core) -> None:
    picture("one/a.png")
    picture("two/a.png")
    run("upscale", "one/a.png", "two/a.png", "-o", "out")
    assert run.code == 1 and files("out") == ["a.png"]
    assert "two/a.png would overwrite the output of one/a.png, out/a.png" in run.err


# The other commands


def test_the_doctor_names_what_is_broken(
    run: Run, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> tuple[str, str]:
        raise OSError("libcuda is odd")

    monkeypatch.setattr(sys.modules["ginr.device"], "choose_device", broken)
    (record,) = run("doctor", "--json").records
    assert run.code == 0
    assert record["devices"]["broken"].startswith("OSError: libcuda is odd")
    assert record["versions"]["ginr"] == importlib.metadata.version("ginr")
    assert record["scan_backends"]["reference"] == "available"
    assert "PNG" in record["formats"]
    assert "scan backends\n  reference      available\n" in run("doctor").out


def test_inspect_lps(run: Run, tiny_checkpoint: Path) -> None:
    (record,) = run("inspect-lps", tiny_checkpoint, "--json").records
    assert run.code == 0 and run.err == ""
    assert (record["name"], record["n_lp"], record["width"]) == ("tiny", 64, 16)
    assert 0.5 < record["diversity"] < record["diversity_off_diagonal"]
    assert (
        f"diversity               {record['diversity']:.4f}\n"
        in run("inspect-lps", tiny_checkpoint).out
    )
    assert run("inspect-lps", "huge").code == 1 and "huge: no such checkpoint" in run.err


def test_inspect_lps_warns_of_equal_tokens(run: Run, tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    weights = dict(checkpoint.weights) | {"lps": torch.ones(64, 16)}
    save_checkpoint(Path("same.safetensors"), checkpoint.config, weights, {})
    run("inspect-lps", "same.safetensors", "--json")
    assert run.code == 0 and run.records[0]["diversity"] == pytest.approx(0)
    assert run.err.startswith("warning: a diversity of 0.0000 is not above 0.5")


# With a real network


@pytest.mark.parametrize(
    ("mode", "name"), [("RGB", "a.png"), ("RGBA", "a.tif"), ("L", "a.jpg"), ("I;16", "a.png")]
)
def test_the_file_is_what_the_library_makes(
    run: Run, tiny_checkpoint: Path, sample_images: Path, mode: str, name: str
) -> None:
    with Image.open(sample_images / "photo_spices.png") as photo:
        crop = photo.crop((0, 0, 21, 13))
    if mode == "RGBA":
        crop.putalpha(crop.convert("L"))
    elif mode == "L":
        crop = crop.convert("L")
    elif mode == "I;16":
        crop = Image.fromarray(np.asarray(crop.convert("L"), np.uint16) * 257)
    crop.save(name)
    run("upscale", name, "out.png", "--scale", "2.5x3", "--checkpoint", tiny_checkpoint)
    assert (run.code, run.out) == (0, "out.png\n")
    assert "tiny on " in run.err
    picture = read_picture(Path(name))
    model = load_checkpoint(tiny_checkpoint).build(choose_device()[0])
    expected = upscale(picture, model, height=39, width=53)
    result = read_picture(Path("out.png")).samples
    assert result.dtype == picture.samples.dtype
    np.testing.assert_array_equal(result, expected.samples)


def test_a_checkpoint_is_refused_before_torch_is_loaded(tiny_checkpoint: Path) -> None:
    tiny_checkpoint.write_bytes(tiny_checkpoint.read_bytes()[:-1])
    picture("a.png")
    script = (
        "import sys\nfrom ginr_cli.main import main\n"
        "try: main(['upscale', 'a.png', '-o', 'new/', '-c', 'tiny.safetensors'])\n"
        "except SystemExit as leave: assert leave.code == 1, leave\n"
        "assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0 and "cut short" in result.stderr, result.stderr
    assert not Path("new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar_and_the_pipe_gets_the_names(tiny_checkpoint: Path) -> None:
    import pty

    for name in ("in/a.png", "in/b.png"):
        picture(name)
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "ginr_cli", "upscale", "in", "out", "-c", str(tiny_checkpoint)]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=slave, env=environment, text=True
    )
    os.close(slave)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert (result.returncode, result.stdout) == (0, "out/a.png\nout/b.png\n")
    assert "100%" in shown and "MP/s" in shown and "2 done" in shown
    assert "\x1b[3" not in shown  # NO_COLOR
