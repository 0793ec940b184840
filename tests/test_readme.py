"""The README's commands and code run as they stand: pytest tests/test_readme.py"""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from ginr_cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _commands() -> list[str]:
    return re.findall(r"^\| `ginr ([^`]*)`", README, re.MULTILINE)


def _run(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["ginr", *shlex.split(line)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_main_job_works_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = re.search(r"pip install \. && ginr (.*)", README)
    assert line
    (tmp_path / "sample_images").mkdir()
    sample = Path(shlex.split(line[1])[1])
    (tmp_path / sample).write_bytes((ROOT / sample).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert _run(line[1], monkeypatch) == 0
    with Image.open(tmp_path / "sample_images" / "photo_osprey_x3.7.png") as image:
        assert image.size == (1243, 932)


@pytest.mark.parametrize("line", [c for c in _commands() if not c.startswith("train")])
def test_every_command_of_the_table_runs(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Image.new("RGB", (160, 100), "red")
    (tmp_path / "album").mkdir()
    (tmp_path / "photos").mkdir()
    noise = Image.effect_noise((160, 100), 60).convert("RGB")
    noise.save(tmp_path / "photos" / "noise.png")
    for name in ("photo.jpg", "scan.tif", "album/one.png"):
        picture.save(tmp_path / name)
    Image.new("RGB", (480, 640), "white").save(tmp_path / "page.jpg")
    monkeypatch.chdir(tmp_path)
    assert _run(line, monkeypatch) == 0


def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    (tmp_path / "sample_images").symlink_to(ROOT / "sample_images")
    monkeypatch.chdir(tmp_path)
    exec(compile("".join(code), "README.md", "exec"), {})
    assert (tmp_path / "osprey.safetensors").exists()
    with Image.open(tmp_path / "osprey_large.png") as image:
        assert image.size == (1243, 932)


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
