"""The network as a module, and in ONNX Runtime: pytest tests/interface/test_module.py"""

from pathlib import Path

import numpy as np
import pytest
import torch

import ginr
from ginr.errors import SizeError


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_it_computes_what_upscale_does(scale: int) -> None:
    x = torch.rand(2, 3, 13, 22)
    module = ginr.as_module(scale)
    large = module(x)
    assert large.shape == (2, 3, 13 * scale, 22 * scale) and module.scale == scale
    assert not module.training and large.min() >= 0 and large.max() <= 1
    other = ginr.upscale(x, "small", scale=scale)
    torch.testing.assert_close(large, other, rtol=0, atol=1e-4)


def test_gradients_reach_the_pixels(tiny_checkpoint: Path) -> None:
    x = torch.rand(1, 3, 10, 10, requires_grad=True)
    ginr.as_module(2, tiny_checkpoint)(x).mean().backward()
    assert x.grad is not None and bool((x.grad != 0).any())


@pytest.mark.parametrize("shape", [(3, 9, 11), (9, 11), (1, 1, 9, 11)])
def test_other_shapes_are_named(tiny_checkpoint: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(SizeError, match=r"give \(B, 3, H, W\)"):
        ginr.as_module(2, tiny_checkpoint)(torch.zeros(shape))


@pytest.mark.parametrize("scale", [0, 31, 2.5, -1])
def test_scales_are_whole(scale: int) -> None:
    with pytest.raises(SizeError, match="needs a whole number from 1 to 30"):
        ginr.as_module(scale)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter
def test_onnx_runtime_computes_the_same(tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"needs {name}: pip install 'ginr[onnx]' onnxruntime")
    import onnxruntime

    module = ginr.as_module(2)
    module.export_onnx(tmp_path / "small.onnx", 20, 28, batch=2)
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    x = torch.rand(2, 3, 20, 28)
    (large,) = session.run(["large"], {"pixels": x.numpy()})
    np.testing.assert_allclose(large, module(x).detach().numpy(), rtol=0, atol=1e-4)


def test_export_without_its_packages(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ginr.GinrError, match=r'pip install "ginr\[onnx\]"'):
        ginr.as_module(2, tiny_checkpoint).export_onnx("a.onnx", 8, 8)
