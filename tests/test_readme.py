"""The commands and the code of README.md and docs/ run as they stand: pytest tests/test_readme.py"""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from ginr.checkpoints.banks import save_bank
from ginr.checkpoints.checkpoint import find_checkpoint, load_checkpoint
from ginr_cli.app import app
from ginr_cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, *ROOT.glob("[CS]*.md"), *(ROOT / "models").rglob("*.md")]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path) -> list[str]:
    """What follows `ginr` in a page's tables and shell blocks, in order."""
    found = re.findall(r"^\| `ginr ([^`]*)`", page.read_text(), re.MULTILINE)
    for block in blocks(page, "sh"):
        for line in re.split(r"&&|\n", block.replace("\\\n", " ")):
            found += re.findall(r"(?:^ *ginr|-m ginr_cli(?: --)?) (.*)", line)
    return [line.strip() for line in found]


COMMANDS = list(dict.fromkeys(line for page in PAGES for line in commands(page)))
# Not here: devices that are lacking, and what has tests of its own: the sample, --watch, and the page, which
# is served until Ctrl+C.
HAS_PYAV = importlib.util.find_spec("av") is not None
CHEAP = [
    line
    for line in COMMANDS
    if not re.search("cuda|sample_images|--watch|^view " + "|clip.mp4" * (not HAS_PYAV), line)
]


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["ginr", *shlex.split(line)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, perceptual_file: Path) -> Path:
    """The current folder, with the pictures and runs that the commands name."""
    monkeypatch.setenv("GINR_PERCEPTUAL", str(perceptual_file))
    noise = Image.effect_noise((160, 100), 60).convert("RGB")
    for folder in ("photos", "Set5", "Set14", "album"):
        (tmp_path / folder).mkdir()
        noise.save(tmp_path / folder / "noise.png")
    Image.new("RGB", (320, 200), "red").save(tmp_path / "large.png")
    for name in ("photo.jpg", "scan.tif"):
        Image.new("RGB", (160, 100), "red").save(tmp_path / name)
    frames = [Image.new("RGB", (16, 10), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:])
    if HAS_PYAV:
        import av

        with av.open(str(tmp_path / "clip.mp4"), "w") as out:
            video = out.add_stream("libx264", rate=25, width=32, height=32, pix_fmt="yuv420p")
            frame = av.VideoFrame.from_image(frames[0].resize((32, 32)))
            out.mux([*video.encode(frame), *video.encode(None)])
    Image.new("RGB", (480, 640), "white").save(tmp_path / "page.jpg")
    for name in ("my_run", "my_photo", "base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").symlink_to(find_checkpoint("small"))
    small = load_checkpoint("small")
    (tmp_path / "my_bank").mkdir()
    bank = tmp_path / "my_bank" / "web.safetensors"
    save_bank(bank, "web", small.weights["lps"], small.header, {})
    (tmp_path / "my_run" / "config.toml").write_text("rate = 1e-3")
    (tmp_path / "sample_images").mkdir()
    for sample in (ROOT / "sample_images").glob("photo_*.png"):
        (tmp_path / "sample_images" / sample.name).write_bytes(sample.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_main_job_works_from_another_folder(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = re.search(r"pip install \. && ginr (.*)", PAGES[0].read_text())
    assert line and run(line[1], monkeypatch) == 0
    with Image.open(elsewhere / "sample_images" / "photo_osprey_x3.7.png") as image:
        assert image.size == (1243, 932)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one_of_the_program(line: str) -> None:
    name, *rest = shlex.split(line)
    get_command(app).commands[name].make_context(name, rest)  # raises for an unknown option


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("line", [line for line in CHEAP if not line.startswith("train")])
def test_every_command_runs(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if line.startswith("reconstruct photo.safetensors"):
        assert run("reconstruct photo.jpg --save-field photo.safetensors", monkeypatch) == 0
    assert run(line, monkeypatch) == 0


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("line", [line for line in CHEAP if line.startswith("train")])
def test_every_setting_of_a_training_is_known(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(f"{line} --show-config", monkeypatch) == 0


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    "options",
    [option for page in PAGES for option in re.findall(r"`(--[a-z-]+ [^`]*)`", page.read_text())],
)
def test_every_option_named_alone_is_one_of_a_command(options: str) -> None:
    name, *_ = shlex.split(options)
    every = (option for c in get_command(app).commands.values() for option in c.params)
    assert any(name in option.opts for option in every)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=str)
def test_the_python_of_a_page_runs(page: Path, elsewhere: Path) -> None:
    before = set(elsewhere.iterdir())
    exec(compile("".join(blocks(page, "python")), page.name, "exec"), {})
    written = {path.name: path for path in {*elsewhere.iterdir()} - before}
    assert written
    if "osprey_large.png" in written:
        with Image.open(written["osprey_large.png"]) as image:
            assert image.size == (1243, 932)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", page.read_text())
    for path, anchor in links:
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_every_package_is_described() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text()
    for package in (ROOT / "models" / "ginr").glob("*/__init__.py"):
        assert f"| `{package.parent.name}/` | " in table
