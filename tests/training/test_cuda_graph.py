"""A graphed or compiled step gives what the plain one gives, batch after batch.

Run: pytest tests/training/test_cuda_graph.py
"""

import dataclasses

import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.errors import GinrError
from ginr.network.model import Ginr
from ginr.training.config import TrainConfig
from ginr.training.cuda_graph import GraphedStep
from ginr.training.loop import _Run, train
from ginr.training.processes import ProcessGroup
from ginr.training.samples import Batch

from .support import Log


def some_batch(seed: int) -> Batch:
    """Six crops of 16x16 with 40 queries each, on the GPU."""
    random = torch.Generator().manual_seed(seed)
    pixels = torch.rand(6, 3, 16, 16, generator=random)
    coords = 2 * torch.rand(6, 40, 2, generator=random) - 1
    cells = 0.02 + 0.1 * torch.rand(6, 1, 2, generator=random)
    target = torch.rand(6, 40, 3, generator=random)
    return Batch(pixels, coords, cells, target).to(torch.device("cuda"))


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore")  # torch.compile warns about itself
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recorded_steps_equal_plain_ones(
    tiny_config: GinrConfig, settings: TrainConfig, precision: str, accumulate: int, compiled: bool
) -> None:
    settings = dataclasses.replace(
        settings, device="cuda", batch=6, accumulate=accumulate, precision=precision
    )
    run = _Run(tiny_config, settings, ProcessGroup("cuda"))
    plain = _Run(tiny_config, settings, ProcessGroup("cuda"))
    if compiled:
        run.model.compile()
    assert isinstance(run.backward, GraphedStep)
    for seed in range(3):
        plain.model.load_state_dict(run.model.state_dict())
        plain.optimizer.zero_grad()
        run.optimizer.zero_grad()
        batch = some_batch(seed)
        expected = plain.plain_backward(batch)
        torch.testing.assert_close(run.backward(batch), expected, rtol=1e-3, atol=1e-6)
        assert_same_gradients(run.model, plain.model, 3e-2 if precision == "bfloat16" else 1e-2)
        run.optimizer.step()  # the graph must read the new weights


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # as above
def test_compiled_blocks_give_what_plain_ones_give(tiny_config: GinrConfig) -> None:
    # Traced and differentiated as for a GPU, but run by torch's own kernels.
    models = [Ginr(tiny_config), Ginr(tiny_config)]
    models[1].load_state_dict(models[0].state_dict())
    models[1].compile(backend="aot_eager")
    answers = []
    for model in models:
        random = torch.Generator().manual_seed(0)
        pixels = torch.rand(2, 3, 16, 16, generator=random)
        coords = 2 * torch.rand(2, 40, 2, generator=random) - 1
        with torch.autocast("cpu", torch.bfloat16):  # so that the CPU kernels are not used
            field = model.encode(pixels)
        field = dataclasses.replace(field, features=field.features.float())
        answer = field.query(coords, torch.full((2, 1, 2), 0.05))
        answer.square().mean().backward()
        answers.append(answer)
    torch.testing.assert_close(answers[1], answers[0])
    assert_same_gradients(models[1], models[0], 3e-2)


def test_compiled_is_for_a_gpu(tiny_config: GinrConfig, settings: TrainConfig) -> None:
    with pytest.raises(GinrError, match="compiled is for a GPU"):
        train(tiny_config, dataclasses.replace(settings, compiled=True), Log())


def assert_same_gradients(model: Ginr, expected: Ginr, tolerance: float) -> None:
    """Up to a fraction `tolerance` of the norm of each."""
    others = dict(expected.named_parameters())
    for name, parameter in model.named_parameters():
        gradient, other = parameter.grad, others[name].grad
        assert gradient is not None and other is not None, name
        assert (gradient - other).norm() <= tolerance * other.norm() + 1e-9, name
