"""The scripts and the notebook of examples/ run: pytest tests/test_examples.py"""

import json
import runpy
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_a_script_runs_and_writes(
    script: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out and any(elsewhere.iterdir())
    assert f"python examples/{script.name}" in script.read_text()


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    notebook = json.loads((EXAMPLES / "ginr.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
        assert not cell["outputs"] and cell["execution_count"] is None  # it is kept without results
    assert names["large"]._repr_png_().startswith(b"\x89PNG")


def test_the_node_of_comfyui_takes_and_gives_its_images() -> None:
    place = EXAMPLES / "comfyui_node" / "__init__.py"
    names = runpy.run_path(str(place))
    node = names["NODE_CLASS_MAPPINGS"]["GinrUpscale"]
    assert list(node.INPUT_TYPES()["required"]) == ["image", "scale", "checkpoint"]
    image = torch.rand(2, 12, 16, 3) * 1.02 - 0.01  # resamplings overshoot a little
    (large,) = getattr(node(), node.FUNCTION)(image=image, scale=2.5, checkpoint="small")
    assert large.shape == (2, 30, 40, 3) and large.dtype == torch.float32 and large.is_contiguous()
    assert large.min() >= 0 and large.max() <= 1
    (alone,) = node().upscale(image[:1], 2.5, "small")
    assert torch.equal(alone[0], large[0])
    assert node.VALIDATE_INPUTS("small") is True
    assert "nope" in node.VALIDATE_INPUTS("nope")
