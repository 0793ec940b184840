"""Every backend of Mamba's scan against the plain loop: values, gradients, odd lengths, extreme decays.

Run: pytest tests/network/test_channel_scan.py
"""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.kernels.available import CHANNEL_SCAN, missing, slow_mixer
from ginr.network import channel_scan as module
from ginr.network.channel_scan import CHUNK, SAVED_EVERY, channel_backend, channel_scan

LENGTHS = (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 2 * SAVED_EVERY + 1)
FAST = [
    "chunked",
    pytest.param("numba", marks=pytest.mark.skipif(bool(missing("numba")), reason="needs numba")),
    "mamba_ssm",  # a stand-in that checks calls against the package's interface
]
TOLERANCE = 2e-5


class Case(NamedTuple):
    x: Tensor
    dt: Tensor
    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor

    def run(self, backend: str, *, reverse: bool = False) -> Tensor:
        return channel_scan(*self, reverse=reverse, backend=backend)


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = ModuleType("selective_scan_interface")
    package.__dict__["selective_scan_fn"] = selective_scan_fn
    monkeypatch.setitem(sys.modules, CHANNEL_SCAN, package)
    missing.cache_clear()
    yield
    missing.cache_clear()


def selective_scan_fn(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,  # noqa: N803
    z: None = None, delta_bias: None = None, delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor:  # fmt: skip
    """As in mamba_ssm 2.2: u and delta (B, D, L), A (D, N), B and C (B, N, L), D (D) -> (B, D, L)."""
    batch, dim, length = u.shape
    assert delta.shape == u.shape and A.shape[0] == dim and A.dtype == torch.float32
    assert B.shape == C.shape == (batch, A.shape[1], length)
    assert D is None or D.shape == (dim,)
    state = u.new_zeros(batch, *A.shape)
    steps = []
    for t in range(length):
        gained = torch.einsum("bd,bn,bd->bdn", delta[..., t], B[..., t], u[..., t])
        state = torch.exp(torch.einsum("bd,dn->bdn", delta[..., t], A)) * state + gained
        steps.append(torch.einsum("bdn,bn->bd", state, C[..., t]))
    y = torch.stack(steps, 2)
    return y if D is None else y + D[:, None] * u


def case(n_step: int, *, batch: int = 2, n_channel: int = 32, n_state: int = 5) -> Case:
    return Case(
        torch.randn(batch, n_step, n_channel),
        F.softplus(torch.randn(batch, n_step, n_channel) - 1),
        -torch.rand(n_channel, n_state) * 3 - 0.1,
        torch.randn(batch, n_step, n_state),
        torch.randn(batch, n_step, n_state),
        torch.randn(n_channel),
    )


def formula(case: Case) -> Tensor:
    """Each channel, state and step by itself, in float64."""
    x, dt, a, b, c, d = (v.double() for v in case)
    rows = []
    for n in range(len(x)):
        for e in range(len(a)):
            state, row = [torch.zeros((), dtype=torch.float64)] * a.shape[1], []
            for t in range(x.shape[1]):
                step = dt[n, t, e]
                state = [
                    torch.exp(step * a[e, s]) * h + step * b[n, t, s] * x[n, t, e]
                    for s, h in enumerate(state)
                ]
                row.append(sum((c[n, t, s] * h for s, h in enumerate(state)), d[e] * x[n, t, e]))
            rows.append(torch.stack(row))
    return torch.stack(rows).unflatten(0, (len(x), len(a))).transpose(1, 2)


def value_and_gradients(case: Case, run: Callable[[Case], Tensor]) -> list[Tensor]:
    inputs = Case(*(v.detach().clone().requires_grad_() for v in case))
    out = run(inputs)
    weighting = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (out * weighting.to(out)).sum().backward()
    assert all(v.grad is not None for v in inputs)
    return [out.detach(), *(v.grad for v in inputs if v.grad is not None)]


def assert_close(actual: list[Tensor], expected: list[Tensor]) -> None:
    for a, e in zip(actual, expected, strict=True):
        scale = max(1.0, e.abs().max().item())
        torch.testing.assert_close(a.double(), e.double(), rtol=0, atol=TOLERANCE * scale)


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_scan_equals_the_formula(backend: str) -> None:
    given = case(2 * CHUNK + 3, batch=1, n_channel=16, n_state=3)
    assert_close(
        value_and_gradients(given, lambda c: c.run(backend)), value_and_gradients(given, formula)
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n_step", LENGTHS)
@pytest.mark.parametrize("backend", FAST)
def test_scan_equals_reference(backend: str, n_step: int, reverse: bool) -> None:
    given = case(n_step)
    assert_close(
        value_and_gradients(given, lambda c: c.run(backend, reverse=reverse)),
        value_and_gradients(given, lambda c: c.run("reference", reverse=reverse)),
    )


@pytest.mark.parametrize("backend", FAST)
def test_scan_keeps_the_type_and_its_state_in_float32(backend: str) -> None:
    given = case(CHUNK + 1)
    low = given._replace(x=given.x.bfloat16(), b=given.b.bfloat16(), c=given.c.bfloat16())
    exact = low._replace(x=low.x.float(), b=low.b.float(), c=low.c.float()).run("reference")
    assert low.run(backend).dtype == torch.bfloat16
    torch.testing.assert_close(low.run(backend), exact.bfloat16(), rtol=1e-2, atol=1e-2)
    with torch.autocast("cpu", torch.bfloat16):
        scanned = given.run(backend)
    assert torch.equal(scanned, given.run(backend))


@pytest.mark.parametrize(("dt", "a"), [(5.0, -10.0), (50.0, -20.0), (1e-8, -1.0)], ids=str)
@pytest.mark.parametrize("backend", FAST)
def test_strong_and_weak_decay_stay_finite(backend: str, dt: float, a: float) -> None:
    given = case(2 * CHUNK + 5)
    given = given._replace(dt=torch.full_like(given.dt, dt), a=torch.full_like(given.a, a))
    actual = value_and_gradients(given, lambda c: c.run(backend))
    assert all(v.isfinite().all() for v in actual)
    assert_close(actual, value_and_gradients(given, lambda c: c.run("reference")))


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_scan_looks_at_the_past_only(backend: str) -> None:
    given, changed_from = case(CHUNK + 30), CHUNK + 10
    changed = given.x.clone()
    changed[:, changed_from:] += 1
    y, after = given.run(backend), given._replace(x=changed).run(backend)
    torch.testing.assert_close(y[:, :changed_from], after[:, :changed_from])
    assert not torch.allclose(y[:, changed_from:], after[:, changed_from:])
    flipped = Case(*(v.flip(1) if v.ndim == 3 else v for v in given))
    torch.testing.assert_close(flipped.run(backend, reverse=True), y.flip(1))


def test_few_sequences_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    given = case(CHUNK + 1, batch=7)
    expected = given.run("chunked")
    monkeypatch.setattr(module, "MOST_STATES", 2 * (CHUNK + 1) * given.a.numel())
    torch.testing.assert_close(given.run("chunked"), expected)


def test_the_fastest_backend_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert channel_backend(cpu) == ("chunked" if missing("numba") else "numba")
    assert channel_backend(cuda) == "mamba_ssm" and slow_mixer(cuda, "mamba") == ""
    monkeypatch.setitem(sys.modules, CHANNEL_SCAN, None)
    missing.cache_clear()
    assert channel_backend(cuda) == "chunked"
    assert "selective_scan_interface failed" in slow_mixer(cuda, "mamba")
    assert slow_mixer(cpu, "transformer") == "no kernel for cpu"
    monkeypatch.setitem(sys.modules, "ginr.kernels.mixer", None)
    missing.cache_clear()
    assert channel_backend(cpu) == "chunked"
    assert "import numba failed" in slow_mixer(cpu, "mamba")
    assert slow_mixer(cuda, "transformer") == ""


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="'fast': expected one of reference, chunked"):
        case(3).run("fast")
