"""Every scan backend against the plain loop: values, gradients, odd lengths, extreme decays.

Run: pytest tests/network/test_scan.py
"""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.kernels.available import BACKENDS, default_backend, slow_reason
from ginr.kernels.sizes import CHUNK
from ginr.network import scan
from ginr.network.scan import backends, causal_conv_silu, selective_scan

N_STATE = 5
LENGTHS = (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17)
N_TAP = 4

TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}
"""Largest error over the largest value: rounding of sums, and for bfloat16 its 8 bits."""

FAST = [
    "chunked",
    "mamba_ssm",  # on the CPU a stand-in that checks calls against the packages' interfaces
]
TRITON = pytest.mark.skipif(bool(backends()["mamba_ssm"]), reason=backends()["mamba_ssm"] or "-")


@pytest.fixture(autouse=True)
def _stand_ins(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand-ins for the functions of the CUDA packages, computed by the formulas."""
    if "cuda" not in request.keywords:
        triton, extension = ModuleType("ssd_combined"), ModuleType("causal_conv1d")
        triton.__dict__["mamba_chunk_scan_combined"] = mamba_chunk_scan_combined
        extension.__dict__["causal_conv1d_fn"] = causal_conv1d_fn
        monkeypatch.setitem(sys.modules, "mamba_ssm.ops.triton.ssd_combined", triton)
        monkeypatch.setitem(sys.modules, "causal_conv1d", extension)
    scan.missing.cache_clear()
    yield
    scan.missing.cache_clear()


@torch.autocast("cpu", enabled=False)  # Triton ignores autocast
def mamba_chunk_scan_combined(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk_size: int,  # noqa: N803
    D: Tensor | None = None, z: None = None, dt_bias: None = None, initial_states: None = None,  # noqa: N803
    seq_idx: None = None, cu_seqlens: None = None, dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")), return_final_states: bool = False,
    return_varlen_states: bool = False,
) -> Tensor:  # fmt: skip
    """As in mamba_ssm 2.2 and 2.3; what it asserts, and the limits of its kernels' grids.

    x (batch, seqlen, nheads, headdim), dt (batch, seqlen, nheads), A (nheads), B and C (batch,
    seqlen, ngroups, dstate), D (nheads) or (nheads, headdim) -> the shape and dtype of x.
    """
    batch, seqlen, nheads, headdim = x.shape
    ngroups, dstate = B.shape[2:]
    assert dt.shape == (batch, seqlen, nheads) and A.shape == (nheads,)
    assert B.shape == C.shape == (batch, seqlen, ngroups, dstate) and nheads % ngroups == 0
    assert D is None or D.shape in ((nheads,), (nheads, headdim))
    assert B.dtype == C.dtype == x.dtype
    assert chunk_size & (chunk_size - 1) == 0
    assert batch * -(-seqlen // chunk_size) <= scan.GRID and nheads <= 65535
    b, c = (v.float().repeat_interleave(nheads // ngroups, 2) for v in (B, C))
    state = x.new_zeros(batch, nheads, headdim, dstate, dtype=torch.float32)
    steps = []
    for t in range(seqlen):
        gained = torch.einsum("bh,bhp,bhn->bhpn", dt[:, t].float(), x[:, t].float(), b[:, t])
        state = torch.exp(dt[:, t] * A)[..., None, None] * state + gained
        steps.append(torch.einsum("bhn,bhpn->bhp", c[:, t], state))
    y = torch.stack(steps, 1)
    if D is not None:
        y = y + D.reshape(nheads, -1) * x.float()
    return y.to(x.dtype)


def causal_conv1d_fn(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, seq_idx: None = None,
    initial_states: None = None, return_final_states: bool = False, final_states_out: None = None,
    activation: str | None = None,
) -> Tensor:  # fmt: skip
    """As in causal_conv1d 1.5 to 1.7: x (batch, dim, seqlen), weight (dim, width), bias (dim)."""
    dim, width = weight.shape
    assert x.shape[1] == dim and 2 <= width <= 4 and activation in (None, "silu", "swish")
    assert x.stride(1) == 1 or x.stride(2) == 1
    if x.stride(2) > 1:  # channels last
        assert dim % 8 == 0 and x.stride(0) % 8 == 0 and x.stride(2) % 8 == 0
    assert bias is None or (bias.shape == (dim,) and bias.dtype == weight.dtype)
    bias = None if bias is None else bias.float()
    out = F.conv1d(x.float(), weight.float()[:, None], bias, padding=width - 1, groups=dim)
    out = out[..., : x.shape[2]]
    return (F.silu(out) if activation else out).to(x.dtype)


class ScanCase(NamedTuple):
    packed: Tensor
    dt: Tensor
    a: Tensor
    d: Tensor

    def run(self, backend: str, *, reverse: bool = False, n_state: int = N_STATE) -> Tensor:
        return selective_scan(*self, n_state, reverse=reverse, backend=backend)


class ConvCase(NamedTuple):
    u: Tensor
    weight: Tensor
    bias: Tensor

    def run(self, backend: str, *, reverse: bool = False) -> Tensor:
        return causal_conv_silu(*self, reverse=reverse, backend=backend)


def scan_case(
    n_step: int,
    *,
    batch: int = 2,
    n_head: int = 3,
    head_dim: int = 7,
    n_state: int = N_STATE,
    dtype: torch.dtype = torch.float32,
) -> ScanCase:
    return ScanCase(
        torch.randn(batch, n_step, n_head * head_dim + 2 * n_state).to(dtype),
        F.softplus(torch.randn(batch, n_step, n_head) - 1),
        -torch.rand(n_head) * 3 - 0.1,
        torch.randn(n_head),
    )


def conv_case(
    n_step: int, *, n_tap: int = N_TAP, n_channel: int = 11, dtype: torch.dtype = torch.float32
) -> ConvCase:
    return ConvCase(
        torch.randn(2, n_step, n_channel).to(dtype),
        torch.randn(n_tap, n_channel),
        torch.randn(n_channel),
    )


def value_and_gradients(
    case: ScanCase | ConvCase, run: Callable[..., Tensor], device: str = "cpu"
) -> list[Tensor]:
    """The output and the gradient of every input, for a fixed random weighting of the output."""
    inputs = [v.detach().to(device).requires_grad_() for v in case]
    out = run(type(case)(*inputs))
    weighting = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (out.double() * weighting.to(device).double()).sum().backward()
    assert all(v.grad is not None and v.grad.dtype == v.dtype for v in inputs)
    return [out.detach(), *(v.grad for v in inputs if v.grad is not None)]


def assert_close(actual: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for a, e in zip(actual, expected, strict=True):
        a, e = a.double().cpu(), e.double().cpu()
        assert a.isfinite().all()
        torch.testing.assert_close(a, e, rtol=0, atol=tolerance * max(1.0, e.abs().max().item()))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n_step", LENGTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("backend", FAST)
def test_scan_equals_reference(
    backend: str, dtype: torch.dtype, n_step: int, reverse: bool
) -> None:
    case = scan_case(n_step, dtype=dtype)
    expected = value_and_gradients(case, lambda c: c.run("reference", reverse=reverse))
    actual = value_and_gradients(case, lambda c: c.run(backend, reverse=reverse))
    assert actual[0].dtype == dtype
    assert_close(actual, expected, TOLERANCE[dtype])


@pytest.mark.skipif(bool(backends()["numba"]), reason=backends()["numba"] or "-")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n_step", LENGTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_the_scan_of_mamba_equals_reference(dtype: torch.dtype, n_step: int, reverse: bool) -> None:
    case = scan_case(n_step, n_head=4, head_dim=8, dtype=dtype)  # whole vectors, as in any network
    expected = value_and_gradients(case, lambda c: c.run("reference", reverse=reverse))
    actual = value_and_gradients(case, lambda c: c.run("numba", reverse=reverse))
    assert actual[0].dtype == dtype
    assert_close(actual, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("backend", FAST)
def test_scan_stays_in_float32_under_autocast(backend: str) -> None:
    case = scan_case(CHUNK + 1)
    with torch.autocast("cpu", torch.bfloat16):
        scanned = case.run(backend)
    assert torch.equal(scanned, case.run(backend))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 1, 5, 16), (1, 4, 24, 16), (2, 2, 33, 1)])
@pytest.mark.parametrize("backend", FAST)
def test_scan_of_other_widths(backend: str, shape: tuple[int, int, int, int]) -> None:
    batch, n_head, head_dim, n_state = shape
    case = scan_case(70, batch=batch, n_head=n_head, head_dim=head_dim, n_state=n_state)
    expected = value_and_gradients(case, lambda c: c.run("reference", n_state=n_state))
    actual = value_and_gradients(case, lambda c: c.run(backend, n_state=n_state))
    assert_close(actual, expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_scan_is_accurate(backend: str) -> None:
    case = scan_case(300)
    exact = formula_in_float64(ScanCase(*(v.double() for v in case)))
    assert_close([case.run(backend)], [exact], 1e-6)


def test_reference_by_hand() -> None:
    # One channel, one state, decay 1/2: h = 1, then 1/2 + 2 = 5/2; y = C h + D x.
    a = -torch.log(torch.tensor([2.0]))
    packed = torch.tensor([[[1.0, 1.0, 3.0], [2.0, 1.0, 5.0]]])  # x, B, C
    y = selective_scan(packed, torch.ones(1, 2, 1), a, torch.tensor([10.0]), 1, backend="reference")
    torch.testing.assert_close(y, torch.tensor([[[13.0], [32.5]]]))


@pytest.mark.parametrize(
    ("dt", "a"), [(5.0, -10.0), (50.0, -20.0), (1e-4, -1e-3), (1e-8, -1.0)], ids=str
)
@pytest.mark.parametrize("backend", FAST)
def test_strong_and_weak_decay_stay_finite(backend: str, dt: float, a: float) -> None:
    case = scan_case(2 * CHUNK + 5)
    case = case._replace(dt=torch.full_like(case.dt, dt), a=torch.full_like(case.a, a))
    expected = value_and_gradients(case, lambda c: c.run("reference"))
    actual = value_and_gradients(case, lambda c: c.run(backend))
    assert_close(actual, expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("backend", FAST)
def test_one_strong_step_forgets_the_past_only(backend: str) -> None:
    case = scan_case(CHUNK + 20)
    dt = case.dt.clone()
    dt[:, 30] = 20
    case = case._replace(dt=dt)
    expected = value_and_gradients(case, lambda c: c.run("reference"))
    actual = value_and_gradients(case, lambda c: c.run(backend))
    assert_close(actual, expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_a_reversed_scan_is_a_scan_of_the_reversed(backend: str) -> None:
    case = scan_case(CHUNK + 3)
    flipped = case._replace(packed=case.packed.flip(1), dt=case.dt.flip(1))
    torch.testing.assert_close(case.run(backend, reverse=True), flipped.run(backend).flip(1))


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_scan_looks_at_the_past_only(backend: str) -> None:
    case = scan_case(CHUNK + 30)
    changed = case.packed.clone()
    changed[:, CHUNK + 10 :] += 1
    y, after = case.run(backend), case._replace(packed=changed).run(backend)
    torch.testing.assert_close(y[:, : CHUNK + 10], after[:, : CHUNK + 10])
    assert not torch.allclose(y[:, CHUNK + 10 :], after[:, CHUNK + 10 :])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", FAST)
def test_scan_of_strided_inputs(backend: str, reverse: bool) -> None:
    case = scan_case(CHUNK + 2)
    strided = ScanCase(
        torch.stack([case.packed, case.packed], -1)[..., 0],
        case.dt.transpose(1, 2).contiguous().transpose(1, 2),
        torch.stack([case.a, case.a], -1)[:, 0],
        torch.stack([case.d, case.d], -1)[:, 0],
    )
    assert not any(v.is_contiguous() for v in strided)
    expected = value_and_gradients(case, lambda c: c.run("reference", reverse=reverse))
    actual = value_and_gradients(strided, lambda c: c.run(backend, reverse=reverse))
    assert_close(actual, expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("backend", FAST)
def test_scan_of_an_expanded_gradient(backend: str) -> None:
    # The gradient of sum() is one number expanded to the output's shape.
    case = ScanCase(*(v.requires_grad_() for v in scan_case(20)))
    case.run(backend).sum().backward()
    twin = ScanCase(*(v.detach().clone().requires_grad_() for v in case))
    twin.run("reference").sum().backward()
    assert_close([v.grad for v in case], [v.grad for v in twin], TOLERANCE[torch.float32])  # type: ignore[misc]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n_step", [1, N_TAP - 2, N_TAP - 1, N_TAP, N_TAP + 1, CHUNK + 1])
@pytest.mark.parametrize("n_channel", [11, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("backend", FAST)
def test_convolution_equals_the_formula(
    backend: str, dtype: torch.dtype, n_channel: int, n_step: int, reverse: bool
) -> None:
    case = conv_case(n_step, n_channel=n_channel, dtype=dtype)
    expected = value_and_gradients(case, lambda c: conv_formula(c, reverse))
    actual = value_and_gradients(case, lambda c: c.run(backend, reverse=reverse))
    assert actual[0].dtype == dtype
    assert_close(actual, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("n_tap", [1, 2, 5])
@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_convolution_of_other_lengths(backend: str, n_tap: int) -> None:
    case = conv_case(9, n_tap=n_tap, n_channel=3)
    expected = value_and_gradients(case, lambda c: conv_formula(c, False))
    actual = value_and_gradients(case, lambda c: c.run(backend))
    assert_close(actual, expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_convolution_of_large_values(backend: str) -> None:
    case = conv_case(12)
    case = case._replace(u=case.u * 1e4)
    expected = value_and_gradients(case, lambda c: conv_formula(c, False))
    actual = value_and_gradients(case, lambda c: c.run(backend))
    assert_close(actual, expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_convolution_reversed_and_strided(backend: str) -> None:
    case = conv_case(CHUNK + 1)
    strided = case._replace(
        u=case.u.transpose(1, 2).contiguous().transpose(1, 2),
        weight=case.weight.t().contiguous().t(),
        bias=torch.stack([case.bias, case.bias], -1)[:, 0],
    )
    assert not any(v.is_contiguous() for v in strided)
    flipped = case._replace(u=case.u.flip(1)).run(backend).flip(1)
    torch.testing.assert_close(strided.run(backend, reverse=True), flipped)


def test_backends_say_why_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuple(backends()) == BACKENDS
    assert backends()["reference"] == backends()["chunked"] == ""
    if not torch.cuda.is_available():
        assert backends()["mamba_ssm"] == "needs a CUDA device, none was found"
    assert default_backend(torch.device("cuda")) == "mamba_ssm"
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.triton.ssd_combined", None)
    monkeypatch.setitem(sys.modules, "ginr.kernels.mixer", None)
    scan.missing.cache_clear()
    reasons = backends()
    assert "import mamba_ssm failed" in reasons["mamba_ssm"]
    assert "import numba failed" in reasons["numba"]
    assert all("\n" not in reason for reason in reasons.values())
    assert default_backend(torch.device("cpu")) == "chunked"
    assert default_backend(torch.device("cuda")) == "chunked"
    assert slow_reason(torch.device("cuda")) == reasons["mamba_ssm"]
    assert slow_reason(torch.device("xpu")) == "no kernels for xpu"


def test_more_sequences_than_a_grid_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    case = scan_case(CHUNK + 1, batch=7)
    expected = value_and_gradients(case, lambda c: c.run("reference"))
    monkeypatch.setattr(scan, "GRID", 5)  # two sequences of two chunks
    actual = value_and_gradients(case, lambda c: c.run("mamba_ssm"))
    assert_close(actual, expected, TOLERANCE[torch.float32])


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="'fast': expected one of reference, chunked"):
        scan_case(3).run("fast")


@pytest.mark.cuda
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n_step", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("backend", ["chunked", pytest.param("mamba_ssm", marks=TRITON)])
def test_scan_on_cuda_equals_reference(
    backend: str, dtype: torch.dtype, n_step: int, reverse: bool
) -> None:
    case = scan_case(n_step, n_head=2, head_dim=24, n_state=16, dtype=dtype)
    expected = value_and_gradients(
        case, lambda c: c.run("reference", reverse=reverse, n_state=16), "cuda"
    )
    actual = value_and_gradients(
        case, lambda c: c.run(backend, reverse=reverse, n_state=16), "cuda"
    )
    assert actual[0].dtype == dtype
    # Tensor cores round float32 factors to ten bits of mantissa.
    assert_close(actual, expected, {torch.float32: 5e-3, torch.bfloat16: 3e-2}[dtype])


@pytest.mark.cuda
@TRITON
def test_more_sequences_than_a_cuda_grid_holds() -> None:
    case = scan_case(2 * CHUNK, batch=scan.GRID // 2 + 5, n_head=1, head_dim=8, n_state=16)
    run = ScanCase(*(v.cuda() for v in case)).run
    expected = run("chunked", n_state=16)
    assert_close([run("mamba_ssm", n_state=16)], [expected], 5e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("n_channel", "n_tap"), [(96, 4), (80, 2), (11, 4), (16, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("backend", ["chunked", pytest.param("mamba_ssm", marks=TRITON)])
def test_convolution_on_cuda_equals_the_formula(
    backend: str, dtype: torch.dtype, n_channel: int, n_tap: int, reverse: bool
) -> None:
    case = conv_case(CHUNK + 1, n_tap=n_tap, n_channel=n_channel, dtype=dtype)
    expected = value_and_gradients(case, lambda c: conv_formula(c, reverse))
    actual = value_and_gradients(case, lambda c: c.run(backend, reverse=reverse), "cuda")
    assert_close(actual, expected, {torch.float32: 5e-3, torch.bfloat16: 3e-2}[dtype])


def formula_in_float64(case: ScanCase) -> Tensor:
    x, b, c = case.packed.split([case.packed.shape[-1] - 2 * N_STATE, N_STATE, N_STATE], -1)
    x = x.unflatten(-1, (case.dt.shape[-1], -1))  # (B, T, M, K)
    state = x.new_zeros(*x[:, 0].shape, N_STATE)
    steps = []
    for t in range(x.shape[1]):
        gained = torch.einsum("bm,bmk,bs->bmks", case.dt[:, t], x[:, t], b[:, t])
        state = torch.exp(case.dt[:, t] * case.a)[..., None, None] * state + gained
        steps.append(torch.einsum("bs,bmks->bmk", c[:, t], state) + case.d[:, None] * x[:, t])
    return torch.stack(steps, 1).flatten(2)


def conv_formula(case: ConvCase, reverse: bool) -> Tensor:
    """The sum over taps, each a shifted copy, in float64."""
    u, weight, bias = (v.double() for v in case)
    u = u.flip(1) if reverse else u
    n_tap, n_step = weight.shape[0], u.shape[1]
    padded = torch.cat([u.new_zeros(u.shape[0], n_tap - 1, u.shape[2]), u], 1)
    total = sum((weight[j] * padded[:, j : j + n_step] for j in range(n_tap)), bias)
    out = F.silu(total)
    return (out.flip(1) if reverse else out).to(case.u.dtype)
